/* probe: the backend around a backend. */
#include "probe/probe.h"
#include <stdlib.h>

struct probe {
    struct aws_backend backend;
    struct probe_config cfg;
};

static struct aws_backend *inner_of(struct aws_backend *b) {
    return CONTAINER(b, struct probe, backend)->cfg.inner;
}

static enum aws_started start(struct aws_backend *b, struct aws_call *c) {
    return inner_of(b)->ops->start(inner_of(b), c);
}

static void cancel(struct aws_backend *b, struct aws_call *c) {
    inner_of(b)->ops->cancel(inner_of(b), c);
}

static int presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
                   int64_t *ret_expires_ms, struct err *e) {
    return inner_of(b)->ops->presign(inner_of(b), p, a, ret_url, ret_expires_ms, e);
}

static int presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                        struct json *ret, int64_t *ret_expires_ms, struct err *e) {
    return inner_of(b)->ops->presign_post(inner_of(b), params, host_hint, a, ret, ret_expires_ms, e);
}

static int64_t now_ms(struct aws_backend *b) {
    return inner_of(b)->ops->now_ms(inner_of(b));
}

static void describe(struct aws_backend *b, struct arena *a, struct json *ret) {
    inner_of(b)->ops->describe(inner_of(b), a, ret);
}

static const struct aws_backend_ops ops = {start, cancel, presign, presign_post, now_ms, describe};

int probe_open(const struct probe_config *c, struct probe **ret, struct err *e) {
    (void)e;
    struct probe *p = calloc(1, sizeof *p);
    if (!p) fatal("out of memory for a probe");
    p->backend = (struct aws_backend){&ops, c->inner->id};
    p->cfg = *c;
    *ret = p;
    return 0;
}

void probe_close(struct probe *p) {
    free(p);
}

struct aws_backend *probe_backend(struct probe *p) {
    return &p->backend;
}
