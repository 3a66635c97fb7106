#include "base/policy.h"
#include "route/insides.h"
#include <stdio.h>

bool cors_enabled(const struct app_cors *c) {
    return c->n_origins > 0;
}

bool cors_is_preflight(const struct http_request *req) {
    return str_is(req->method, "OPTIONS") && http_header(req, "Origin").p &&
           http_header(req, "Access-Control-Request-Method").p;
}

bool head_has(const struct http_response *res, struct str name) {
    struct str rest = buf_view(&res->head);
    while (rest.p && rest.n) {
        struct str line = str_cut(&rest, '\n');
        if (str_ieq(str_cut(&line, ':'), name)) return true;
    }
    return false;
}

static void set(struct http_response *res, const char *name, struct str value) {
    if (value.n && !head_has(res, str_c(name))) http_set(res, str_c(name), value, NULL);
}

/* "*", or the caller's origin when a pattern of the template names it. With credentials "*" would be void
 * (Fetch 3.2.5). */
static struct str allowed_origin(const struct app_cors *c, struct str origin) {
    for (size_t i = 0; i < c->n_origins; i++) {
        if (str_is(c->allow_origins[i], "*") && !c->allow_credentials) return STR("*");
        if (origin.n && policy_match(c->allow_origins[i], origin, true)) return origin;
    }
    return STR_NONE;
}

static bool add_origin(const struct app_cors *c, const struct http_request *req, struct http_response *res) {
    struct str allowed = allowed_origin(c, http_header(req, "Origin"));
    if (!str_is(allowed, "*")) set(res, "Vary", STR("Origin"));
    if (!allowed.n) return false;
    set(res, "Access-Control-Allow-Origin", allowed);
    if (c->allow_credentials) set(res, "Access-Control-Allow-Credentials", STR("true"));
    return true;
}

void cors_preflight(const struct app_cors *c, const struct http_request *req, struct http_response *res) {
    if (!add_origin(c, req, res)) return;
    set(res, "Access-Control-Allow-Methods", c->allow_methods);
    set(res, "Access-Control-Allow-Headers", c->allow_headers);
    if (c->max_age_s < 0) return;
    char age[24];
    int n = snprintf(age, sizeof age, "%lld", (long long)c->max_age_s);
    set(res, "Access-Control-Max-Age", str_n(age, (size_t)n));
}

void route_add_cors(const struct app *a, const struct http_request *req, struct http_response *res) {
    if (cors_enabled(&a->cors)) cors_add(&a->cors, req, res);
}

void cors_add(const struct app_cors *c, const struct http_request *req, struct http_response *res) {
    if (!http_header(req, "Origin").p && !str_is(c->allow_origins[0], "*")) return;
    if (add_origin(c, req, res)) set(res, "Access-Control-Expose-Headers", c->expose_headers);
}
