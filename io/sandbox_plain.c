#include "io/sandbox.h"

const bool sandbox_limits_memory = true;
const bool sandbox_keeps_stderr = false;
const int sandbox_further_calls[] = {-1};
