/* Worker threads that use one store at once; see hammer.c. */
#ifndef PERIGEE_TEST_HAMMER_H
#define PERIGEE_TEST_HAMMER_H
#include "local/local.h"

int hammer(struct local *l, int threads, int rounds, long *ret_sent, long *ret_received, struct err *e);

#endif
