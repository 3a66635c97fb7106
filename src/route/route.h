/* route: who handles this? (method, path) or event source -> function -> job; and the reply back to HTTP or the queue.
 *
 * Who calls it: in/. One struct route a worker. Owns nothing it is given. A request that finds no function is answered
 * here: 404, 405 with Allow, OPTIONS and CORS headers as the template says, HEAD through GET, /healthz, /readyz,
 * /metrics. Handler errors become 500 (ERR_SCRIPT, ERR_LIMIT), 504 (ERR_TIMEOUT), 503 (ERR_UNAVAILABLE) with
 * {"error":{"code","message","request_id"}}; the traceback goes to loopback clients in development only. Every answer
 * carries X-Request-Id; handler answers carry X-Perigee-Version. */
#ifndef PERIGEE_ROUTE_H
#define PERIGEE_ROUTE_H
#include "app/app.h"
#include "base/metric.h"
#include "script/script.h"

struct route;
struct route_config {
    const struct app *app;
    struct script *script;
    struct loop *loop;
    const struct log *log;
    struct metrics *metrics;            /* this worker's */
    struct metrics *const *all_metrics; /* of all workers, for /metrics */
    size_t n_metrics;
    bool development;
    /* Readiness: calls done(ud, NULL or why not), now or later. */
    void (*ready)(void *ready_ud, void (*done)(void *ud, const struct err *e), void *ud);
    void *ready_ud;
};
int route_open(const struct route_config *c, struct route **ret, struct err *e); /* duplicate routes are errors */
void route_close(struct route *r);

/* Answers one request. reply is called exactly once, possibly before this returns (then NULL is returned); else the
 * returned ticket can be cancelled until then. */
struct route_ticket;
struct route_ticket *route_http(struct route *r, struct http_request *req, http_reply_fn *reply, void *ud);
void route_cancel(struct route_ticket *t); /* the client is gone: reply will not be called */

/* Runs one queue message. done(ud, NULL) when handled, else why not; possibly before this returns. */
void route_message(struct route *r, const struct function *f, const struct script_message *m,
                   void (*done)(void *ud, const struct err *e), void *ud);
/* Runs one event (schedules). */
void route_event(struct route *r, const struct function *f, struct json event, struct str request_id,
                 void (*done)(void *ud, const struct err *e), void *ud);

#endif
