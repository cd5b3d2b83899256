/* The tests of test_commit.c, and what they share with test_base.c. */
#ifndef EYESORE_TESTS_BASE_TEST_COMMIT_H
#define EYESORE_TESTS_BASE_TEST_COMMIT_H

extern char folder[]; /* the tests' */

void inside(const char *name, char path[256]);
int count_entries(void);

void test_first_commit_wins(void **state);
void test_commit_without_noreplace(void **state);
void test_faults_of_the_place(void **state);
void test_mode_and_names(void **state);

#endif
