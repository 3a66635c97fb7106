/* cloud: what perigee_cloud_load asks a server for (cloud_calls.c, volume_calls.c), and how it asks (cloud_load.c). */
#ifndef PERIGEE_BENCH_CLOUD_H
#define PERIGEE_BENCH_CLOUD_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#define DYNAMODB "DynamoDB_20120810."
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
extern const struct cloud_work volume_works[];         /* those on a store that perigee_volume_fill made */

struct cloud_request cloud_json(const char *service, const char *target, struct str body);
bool cloud_has_item(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a); /* fatal when it has none */
/* From an answer to ReceiveMessage into t->handle; false: it has none. */
bool cloud_take_handle(struct cloud_turn *t, const struct cloud_answer *a);
uint64_t cloud_random(void); /* the same sequence in each run */

/* Kept between preparation and calls. */
struct cloud_names {
    char queue[512];
    uint64_t fill; /* of volume_works: items that are there */
    char object[CLOUD_OBJECT];
    uint64_t count;
};
struct cloud_names *cloud_names(struct cloud *c);

#endif
