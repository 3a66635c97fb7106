#include "route/table.h"
#include "base/url.h"
#include <stdlib.h>
#include <string.h>

// ---- building ----

bool segment_is_param(struct str segment) {
    return segment.n > 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
}

bool segment_is_greedy(struct str segment) {
    return segment_is_param(segment) && segment.p[segment.n - 2] == '+';
}

struct str segment_param(struct str segment) {
    return str_n(segment.p + 1, segment.n - (segment_is_greedy(segment) ? 3 : 2));
}

/* One slash at the end does not count. */
static struct str without_slash(struct str path) {
    return path.n > 1 && path.p[path.n - 1] == '/' ? str_take(path, path.n - 1) : path;
}

static size_t count_segments(struct str path) {
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) n += path.p[i] == '/';
    return n;
}

/* The segments of "/a/b" are "a" and "b"; of "/" one empty segment. */
static void split(struct str path, struct str *segments) {
    struct str rest = str_from(path, 1);
    while (rest.p) *segments++ = str_cut(&rest, '/');
}

static int check_pattern(const struct route_target *t, const struct app_route *r, struct err *e) {
    for (size_t i = 0; i < t->n_segments; i++) {
        struct str s = t->segments[i];
        if (segment_is_greedy(s) && i + 1 < t->n_segments)
            return err_set(e, ERR_CONFIG, "line %d: %.*s: %.*s must be the last segment", r->line, STR_ARG(r->path),
                           STR_ARG(s));
        if (!segment_is_param(s) && (str_chr(s, '{', 0) >= 0 || str_chr(s, '}', 0) >= 0))
            return err_set(e, ERR_CONFIG, "line %d: %.*s: %.*s is neither a literal nor a {parameter}", r->line,
                           STR_ARG(r->path), STR_ARG(s));
    }
    return 0;
}

static struct route_target *new_target(struct route_table *t, struct str path) {
    struct route_target *g = ARENA_NEW(&t->arena, struct route_target);
    g->path = without_slash(path);
    g->n_segments = count_segments(g->path);
    g->segments = ARENA_ARRAY(&t->arena, struct str, g->n_segments + 1);
    split(g->path, g->segments);
    for (size_t i = 0; i < g->n_segments; i++) g->n_params += segment_is_param(g->segments[i]);
    return g;
}

/* Literal before parameter before greedy, from the left; a longer pattern before a shorter one that it continues. */
static int kind(struct str s) {
    return segment_is_greedy(s) ? 2 : segment_is_param(s) ? 1 : 0;
}

static int compare(const struct route_target *a, const struct route_target *b, bool texts) {
    for (size_t i = 0; i < a->n_segments && i < b->n_segments; i++) {
        int d = kind(a->segments[i]) - kind(b->segments[i]);
        if (!d && texts && !kind(a->segments[i])) d = str_cmp(a->segments[i], b->segments[i]);
        if (d) return d;
    }
    return (a->n_segments < b->n_segments) - (a->n_segments > b->n_segments);
}

static int by_precedence(const void *a, const void *b) {
    return compare(*(struct route_target *const *)a, *(struct route_target *const *)b, true);
}

static struct route_target *same_pattern(const struct route_table *t, const struct route_target *g) {
    if (!g->n_params) return map_get(&t->literal, g->path);
    for (size_t i = 0; i < t->n_patterns; i++)
        if (!compare(t->patterns[i], g, true)) return t->patterns[i];
    return NULL;
}

static int add_method(struct route_table *t, struct route_target *g, const struct app_route *r, size_t max,
                      struct err *e) {
    for (size_t i = 0; i < g->n_routes; i++)
        if (str_eq(g->routes[i]->method, r->method))
            return err_set(e, ERR_CONFIG, "line %d: %.*s %.*s is the same route as %.*s in line %d", r->line,
                           STR_ARG(r->method), STR_ARG(r->path), STR_ARG(g->routes[i]->path), g->routes[i]->line);
    if (!g->routes) g->routes = arena_alloc(&t->arena, sizeof *g->routes * max);
    g->routes[g->n_routes++] = r;
    return 0;
}

static int add_route(struct route_table *t, const struct app_route *r, size_t max, struct err *e) {
    if (!r->path.n || r->path.p[0] != '/')
        return err_set(e, ERR_CONFIG, "line %d: the path '%.*s' does not start with a slash", r->line,
                       STR_ARG(r->path));
    struct route_target *g = new_target(t, r->path);
    if (check_pattern(g, r, e)) return -1;
    struct route_target *old = same_pattern(t, g);
    if (old) return add_method(t, old, r, max, e);
    if (g->n_params)
        t->patterns[t->n_patterns++] = g;
    else
        map_put(&t->literal, g->path, g);
    return add_method(t, g, r, max, e);
}

/* A template that has these paths itself keeps them. */
static void add_builtins(struct route_table *t) {
    static const char *const paths[] = {
        [ROUTE_HEALTH] = "/healthz", [ROUTE_READY] = "/readyz", [ROUTE_METRICS] = "/metrics"};
    for (int i = ROUTE_HEALTH; i <= ROUTE_METRICS; i++) {
        if (map_get(&t->literal, str_c(paths[i]))) continue;
        struct route_target *g = new_target(t, str_c(paths[i]));
        g->builtin = (enum route_builtin)i;
        map_put(&t->literal, g->path, g);
    }
}

int table_build_of(struct route_table *t, const struct app *app, const struct function *f, struct err *e) {
    *t = (struct route_table){0};
    t->patterns = ARENA_ARRAY(&t->arena, struct route_target *, app->n_routes + 1);
    for (size_t i = 0; i < app->n_routes; i++) {
        if (f && !str_eq(app->routes[i].function->name, f->name)) continue;
        if (!add_route(t, &app->routes[i], app->n_routes, e)) continue;
        table_free(t);
        return -1;
    }
    qsort(t->patterns, t->n_patterns, sizeof *t->patterns, by_precedence);
    add_builtins(t);
    return 0;
}

int table_build(struct route_table *t, const struct app *app, struct err *e) {
    return table_build_of(t, app, NULL, e);
}

void table_free(struct route_table *t) {
    map_free(&t->literal);
    arena_free(&t->arena);
}

// ---- matching ----

static int decode(struct arena *a, struct str s, struct str *ret, struct err *e) {
    *ret = s;
    if (memchr(s.p, '%', s.n) && url_decode(a, s, false, ret, e)) return -1;
    if (str_bad_utf8(*ret) >= 0) return err_set(e, ERR_VALIDATION, "the path is not valid UTF-8");
    return 0;
}

/* segments are decoded one by one, so that %2F stays inside of its segment. */
struct walk {
    struct str path; /* raw */
    struct str *raw, *decoded;
    size_t n;
};

static int walk_start(struct arena *a, struct str path, struct walk *w, struct err *e) {
    w->path = path;
    w->n = count_segments(path);
    w->raw = ARENA_ARRAY(a, struct str, w->n * 2 + 1);
    w->decoded = w->raw + w->n;
    split(path, w->raw);
    for (size_t i = 0; i < w->n; i++)
        if (decode(a, w->raw[i], &w->decoded[i], e)) return -1;
    return 0;
}

static bool fits(const struct route_target *g, const struct walk *w) {
    if (w->n < g->n_segments) return false;
    for (size_t i = 0; i < g->n_segments; i++) {
        struct str s = g->segments[i];
        if (segment_is_param(s) ? !w->raw[i].n : !str_eq(s, w->decoded[i])) return false;
        if (segment_is_greedy(s)) return true;
    }
    return w->n == g->n_segments;
}

static int bind(struct arena *a, const struct route_target *g, const struct walk *w, struct route_match *ret,
                struct err *e) {
    ret->params = ARENA_ARRAY(a, struct script_param, g->n_params + 1);
    ret->n_params = 0;
    for (size_t i = 0; i < g->n_segments; i++) {
        struct str s = g->segments[i];
        if (!segment_is_param(s)) continue;
        struct script_param *p = &ret->params[ret->n_params++];
        *p = (struct script_param){segment_param(s), w->decoded[i]};
        struct str rest = str_from(w->path, (size_t)(w->raw[i].p - w->path.p));
        if (segment_is_greedy(s) && decode(a, rest, &p->value, e)) return -1;
    }
    return 0;
}

static const struct app_route *find_method(const struct route_target *g, struct str method) {
    for (size_t i = 0; i < g->n_routes; i++)
        if (str_eq(g->routes[i]->method, method)) return g->routes[i];
    return NULL;
}

/* An explicit method, then GET for HEAD, then ANY. */
static const struct app_route *choose(const struct route_target *g, struct str method) {
    const struct app_route *r = find_method(g, method);
    if (!r && str_is(method, "HEAD")) r = find_method(g, STR("GET"));
    return r ? r : find_method(g, STR("ANY"));
}

static void allow_one(struct buf *b, struct str method) {
    struct str all = buf_view(b), rest = all;
    while (rest.p && rest.n)
        if (str_eq(str_trim(str_cut(&rest, ',')), method)) return;
    if (b->n) buf_c(b, ", ");
    buf_str(b, method);
}

static void allow_all(struct buf *b, const struct route_target *g) {
    if (g->builtin) allow_one(b, STR("GET"));
    for (size_t i = 0; i < g->n_routes; i++) allow_one(b, g->routes[i]->method);
    if (g->builtin || find_method(g, STR("GET"))) allow_one(b, STR("HEAD"));
}

/* true: the search is over. A pattern that fits without the method is remembered for 405. */
static bool consider(const struct route_target *g, struct str method, struct buf *allow, struct route_match *ret) {
    const struct app_route *r = choose(g, method);
    const struct function *f = r ? r->function : NULL;
    bool builtin = g->builtin && (str_is(method, "GET") || str_is(method, "HEAD"));
    if (!f && !builtin) allow_all(allow, g);
    if (!ret->target || f || builtin) {
        ret->target = g;
        ret->function = f;
        ret->route = r;
    }
    return f || builtin;
}

static int match_patterns(const struct route_table *t, struct arena *a, struct str method, struct str path,
                          struct buf *allow, struct route_match *ret, struct err *e) {
    struct walk w;
    if (walk_start(a, path, &w, e)) return -1;
    for (size_t i = 0; i < t->n_patterns; i++)
        if (fits(t->patterns[i], &w) && consider(t->patterns[i], method, allow, ret))
            return bind(a, t->patterns[i], &w, ret, e);
    return 0;
}

int table_match(const struct route_table *t, struct arena *a, struct str method, struct str path,
                struct route_match *ret, struct err *e) {
    *ret = (struct route_match){0};
    if (!path.n || path.p[0] != '/') return 0;
    if (decode(a, path, &ret->path, e)) return -1;
    struct str trimmed = without_slash(path), literal = without_slash(ret->path);
    bool same = count_segments(path) == count_segments(ret->path); /* else a %2F would pass for a slash */
    const struct route_target *g = same ? map_get(&t->literal, literal) : NULL;
    struct buf allow = BUF_MAX(4096);
    int rc = 0;
    if (!g || !consider(g, method, &allow, ret)) rc = match_patterns(t, a, method, trimmed, &allow, ret, e);
    if (!rc && ret->target && !ret->function && allow.n) ret->allow = arena_str(a, buf_view(&allow));
    buf_free(&allow);
    return rc;
}
