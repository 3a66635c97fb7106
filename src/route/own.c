/* own: the routes of one function alone. What calls a function without naming a route (a load balancer, the function's
 * URL) is matched with them; a function without routes takes all. */
#include "base/url.h"
#include "route/insides.h"
#include <stdlib.h>

void own_open(struct route *r) {
    r->own = calloc(r->cfg.app->n_functions + 1, sizeof(struct route_table *));
    if (!r->own) fatal("out of memory for a router");
}

void own_close(struct route *r) {
    for (size_t i = 0; i < r->cfg.app->n_functions; i++) {
        if (r->own[i]) table_free(r->own[i]);
        free(r->own[i]);
    }
    free(r->own);
}

static const struct route_table *table_of(struct route *r, const struct function *f) {
    struct route_table **t = &r->own[f->index];
    struct err e;
    if (*t) return *t;
    *t = calloc(1, sizeof **t);
    if (!*t) fatal("out of memory for the routes of %.*s", STR_ARG(f->name));
    if (table_build_of(*t, r->cfg.app, f, &e)) fatal("routes that were good are bad: %s", e.msg);
    return *t;
}

static bool has_routes(const struct app *app, const struct function *f) {
    for (size_t i = 0; i < app->n_routes; i++)
        if (str_eq(app->routes[i].function->name, f->name)) return true;
    return false;
}

int own_match(struct route *r, const struct function *f, struct http_request *q, struct route_match *ret,
              struct err *e) {
    if (!has_routes(r->cfg.app, f)) {
        *ret = (struct route_match){.function = f};
        if (url_decode(q->arena, q->path, false, &ret->path, e)) return -1;
        return str_bad_utf8(ret->path) < 0 ? 0 : err_set(e, ERR_VALIDATION, "the path is not valid UTF-8");
    }
    if (table_match(table_of(r, f), q->arena, q->method, q->path, ret, e)) return -1;
    if (ret->function) ret->function = f;
    if (ret->target && ret->target->builtin == ROUTE_METRICS) ret->target = NULL;
    return 0;
}
