/* load: options of the load generator. */
#ifndef PERIGEE_BENCH_LOAD_H
#define PERIGEE_BENCH_LOAD_H
#include "base/conf.h"

struct load_options {
    const char *host; /* loopback only */
    int64_t port;
    const char *path; /* "%s" in it stands for an id of --ids-from */
    int64_t connections;
    int64_t requests; /* 0: until `seconds` are over */
    int64_t seconds;
    int64_t deadline;     /* seconds after which it ends whatever happens */
    int64_t warmup;       /* answers that are not counted */
    bool server_ids;      /* orders without order_id: the server makes it */
    bool key;             /* send an Idempotency-Key */
    bool retry;           /* go on after connection errors; `requests` then counts 2xx answers */
    const char *acks;     /* file: the order id of each 2xx answer, a line each, written before it is counted */
    const char *ids_from; /* GET path for each id of this file instead of posting orders */
};
/* 0: run; 1: help was printed; -1: e. */
int load_options(int argc, char **argv, struct load_options *ret, struct err *e);

#endif
