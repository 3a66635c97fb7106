/* A script with its handlers loaded, for tests. */
#ifndef PERIGEE_TESTS_IN_LOAD_H
#define PERIGEE_TESTS_IN_LOAD_H
#include "script/script.h"

int load_script(const struct script_config *c, const struct function *functions, size_t n, struct script **ret,
                struct err *e);

#endif
