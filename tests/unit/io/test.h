/* What every test here starts with: cmocka wants these before itself. */
#ifndef EYESORE_TESTS_IO_TEST_H
#define EYESORE_TESTS_IO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
