/* stream: an answer that leaves while its handler runs. Between script and transport: the head gets here what the heads
 * of all answers get, and what is written to an answer without a body goes nowhere. */
#include "route/insides.h"

static void begin(void *ud, struct http_response *head) {
    struct route_ticket *t = ud;
    t->streamed = head->status;
    const struct app_cors *cors = t->cors ? &t->route->cfg.app->cors : NULL;
    if (*t->version) http_set(head, STR("X-Perigee-Version"), str_c(t->version), NULL);
    if (!head_has(head, STR("X-Request-Id"))) http_set(head, STR("X-Request-Id"), t->req->request_id, NULL);
    if (cors && cors_enabled(cors)) cors_add(cors, t->req, head);
    t->to->ops->begin(t->to->stream, head);
}

static size_t write(void *ud, struct str bytes) {
    struct route_ticket *t = ud;
    return str_is(t->req->method, "HEAD") ? 0 : t->to->ops->write(t->to->stream, bytes);
}

static void drained(void *ud) {
    struct route_ticket *t = ud;
    t->stream.drained(t->stream.ud);
}

struct http_stream *stream_open(struct route_ticket *t, struct http_stream *to, bool cors) {
    static const struct http_stream_ops ops = {begin, write};
    if (!to) return NULL;
    t->to = to;
    t->cors = cors;
    t->version = script_version(t->route->cfg.script); /* lives as long as a job that runs it */
    t->stream.ops = &ops;
    t->stream.stream = t;
    to->drained = drained;
    to->ud = t;
    return &t->stream;
}

void stream_end(struct route_ticket *t, const struct script_reply *reply, struct http_response *ret) {
    http_response_init(ret, t->streamed);
    ret->cut = reply->err.code != ERR_NONE;
    if (ret->cut) answer_log_failure(t, t->req->request_id, t->req->trace_id, reply);
    answer_log_request(t, ret);
}
