/* http: the host's HTTP client, a fetch_client over a transport. */
#include "remote/remote.h"
#include "remote/transport.h"
#include <stdlib.h>

struct remote_http {
    struct fetch_client client; /* first: the vtable's functions cast */
    struct transport *transport;
};

/* The fetch on its way, in its own arena. */
struct http_fetch {
    struct exchange x;
    struct fetch *f;
};

static enum err_code failure_code(enum exchange_failure failure) {
    switch (failure) {
    case EXCHANGE_OK:
        return ERR_NONE;
    case EXCHANGE_BAD_URL:
        return ERR_VALIDATION;
    case EXCHANGE_TIMEOUT:
        return ERR_TIMEOUT;
    case EXCHANGE_TOO_LARGE:
        return ERR_TOO_LARGE;
    case EXCHANGE_DNS:
    case EXCHANGE_CONNECT:
    case EXCHANGE_TLS:
    case EXCHANGE_RESET:
    case EXCHANGE_SOURCE:
    case EXCHANGE_SINK:
        break;
    }
    return ERR_ENDPOINT;
}

static void exchange_gone(void *ud) {
    exchange_free(ud);
}

static void on_done(struct exchange *x, void *ud) {
    struct http_fetch *h = ud;
    struct fetch *f = h->f;
    f->state = NULL;
    if (x->failure)
        err_set(&f->err, failure_code(x->failure), "%s", x->why);
    else
        f->err = (struct err){0};
    f->status = x->status;
    f->response_headers = x->response_headers;
    f->n_response_headers = x->n_response_headers;
    f->response_body = buf_view(&x->body_in);
    f->done(f, f->ud);
}

static int start(struct fetch_client *c, struct fetch *f, struct err *e) {
    struct remote_http *r = (struct remote_http *)c;
    (void)e;
    struct http_fetch *h = ARENA_NEW(&f->arena, struct http_fetch);
    arena_defer(&f->arena, exchange_gone, &h->x); /* the answer lives in the exchange */
    h->f = f;
    h->x.method = f->method;
    h->x.url = f->url;
    h->x.body = f->body;
    h->x.headers = f->headers;
    h->x.n_headers = f->n_headers;
    h->x.total_ms = f->timeout_ms;
    h->x.idle_ms = f->timeout_ms;
    h->x.max_body = f->max_body;
    h->x.done = on_done;
    h->x.ud = h;
    f->state = h;
    transport_start(r->transport, &h->x);
    return 0;
}

static void cancel(struct fetch_client *c, struct fetch *f) {
    struct http_fetch *h = f->state;
    f->state = NULL;
    if (h) transport_cancel(((struct remote_http *)c)->transport, &h->x);
}

int remote_http_open(struct loop *loop, const char *ca_bundle, struct remote_http **ret, struct err *e) {
    struct remote_http *h = calloc(1, sizeof *h);
    if (!h) fatal("out of memory for the HTTP client");
    struct transport_config config = {
        .loop = loop, .ca_bundle = ca_bundle, .proxies = proxies_of_environment(NULL, NULL)};
    if (transport_open(&config, &h->transport, e)) {
        free(h);
        return -1;
    }
    h->client = (struct fetch_client){.start = start, .cancel = cancel};
    *ret = h;
    return 0;
}

void remote_http_close(struct remote_http *h) {
    if (!h) return;
    transport_close(h->transport);
    free(h);
}

struct fetch_client *remote_http_client(struct remote_http *h) {
    return &h->client;
}
