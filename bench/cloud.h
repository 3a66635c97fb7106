/* cloud: what perigee_cloud_load asks a server for (cloud_calls.c), and how it asks (cloud_load.c). */
#ifndef PERIGEE_BENCH_CLOUD_H
#define PERIGEE_BENCH_CLOUD_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

enum { CLOUD_ITEMS = 1000, CLOUD_OBJECT = 20000 };

/* A request to be signed. */
struct cloud_request {
    const char *service, *method, *path;
    struct str target; /* X-Amz-Target; empty: S3 */
    struct str body;
};

struct cloud_answer {
    int status;
    struct str body;
    bool close; /* the connection ends with it */
};

/* Asks and waits, for preparations. Fatal when there is no answer; *ret lives until the next one. */
struct cloud;
void cloud_ask(struct cloud *c, const struct cloud_request *r, struct cloud_answer *ret);

/* What one connection does: `next` writes its next request, body into `text`; `done` looks at the answer: whether it is
 * counted. `step` is the connection's own, 0 at first. */
struct cloud_turn {
    int step;
    struct buf text, handle;
};
struct cloud_work {
    const char *name;
    void (*prepare)(struct cloud *c, int64_t fill);
    void (*next)(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret);
    bool (*done)(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a);
};
const struct cloud_work *cloud_find(const char *name); /* NULL: there is none */

/* Kept between preparation and calls. */
struct cloud_names {
    char queue[512];
    char object[CLOUD_OBJECT];
    uint64_t count;
};
struct cloud_names *cloud_names(struct cloud *c);

#endif
