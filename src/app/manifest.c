/* The manifest: what a packaged function must know of its template. */
#include "app/template.h"
#include <stdlib.h>

enum { MANIFEST_VERSION = 1 };

/* ==== writing ==== */

static bool same_handler(const struct function *a, const struct function *b) {
    return str_eq(a->module, b->module) && str_eq(a->field, b->field);
}

static void separate(struct buf *b, bool *any) {
    if (*any) buf_c(b, ",");
    *any = true;
}

static void write_functions(const struct app *a, const struct function *f, struct buf *b) {
    bool any = false;
    buf_c(b, "{\"functions\":[");
    for (size_t i = f->index; i < a->n_functions; i++) {
        if (!same_handler(&a->functions[i], f)) continue;
        separate(b, &any);
        json_write_str(b, a->functions[i].name);
    }
}

static void write_routes(const struct app *a, const struct function *f, struct buf *b) {
    bool any = false;
    buf_c(b, "],\"routes\":[");
    for (size_t i = 0; i < a->n_routes; i++) {
        if (!same_handler(a->routes[i].function, f)) continue;
        separate(b, &any);
        buf_c(b, "[");
        json_write_str(b, a->routes[i].method);
        buf_c(b, ",");
        json_write_str(b, a->routes[i].path);
        buf_c(b, "]");
    }
}

/* Every queue of the handler wants reports: of one that does not, Lambda would take the failures of a report for
 * successes. Failing whole batches is right for all. */
static bool reports(const struct app *a, const struct function *f) {
    bool any = false;
    for (size_t i = 0; i < a->n_feeds; i++) {
        if (!same_handler(a->feeds[i].function, f)) continue;
        if (!a->feeds[i].report_failures) return false;
        any = true;
    }
    return any;
}

static bool streams(const struct app *a, const struct function *f) {
    for (size_t i = f->index; i < a->n_functions; i++)
        if (a->functions[i].stream && same_handler(&a->functions[i], f)) return true;
    return false;
}

/* An HTTP API adds the headers itself. */
static void write_cors(const struct app_cors *c, struct buf *b) {
    bool any = false;
    if (!c->rest || !c->n_origins) return;
    buf_c(b, ",\"cors\":{\"origins\":[");
    for (size_t i = 0; i < c->n_origins; i++) {
        separate(b, &any);
        json_write_str(b, c->allow_origins[i]);
    }
    buf_c(b, "],\"expose\":");
    json_write_str(b, c->expose_headers);
    buf_printf(b, ",\"credentials\":%s}", c->allow_credentials ? "true" : "false");
}

static bool is_first(const struct app *a, const struct function *f) {
    for (size_t i = 0; i < f->index; i++)
        if (same_handler(&a->functions[i], f)) return false;
    return true;
}

void app_manifest_write(const struct app *a, struct buf *b) {
    bool any = false;
    buf_printf(b, "{\"version\":%d,\"handlers\":{", MANIFEST_VERSION);
    for (size_t i = 0; i < a->n_functions; i++) {
        const struct function *f = &a->functions[i];
        if (!is_first(a, f)) continue;
        separate(b, &any);
        buf_printf(b, "\"%.*s.%.*s\":", STR_ARG(f->module), STR_ARG(f->field));
        write_functions(a, f, b);
        write_routes(a, f, b);
        buf_printf(b, "],\"report_failures\":%s,\"stream\":%s}", reports(a, f) ? "true" : "false",
                   streams(a, f) ? "true" : "false");
    }
    buf_c(b, "}");
    write_cors(&a->cors, b);
    buf_c(b, "}");
}

/* ==== reading ==== */

static int bad(struct err *e, struct str handler, const char *member, const char *must) {
    return err_set(e, ERR_CONFIG, "perigee.json: handlers[\"%.*s\"].%s must be %s", STR_ARG(str_take(handler, 128)),
                   member, must);
}

static bool is_route(const struct json *v) {
    if (!json_is(v, JSON_ARR) || v->n != 2 || !json_str(&v->items[0]).n) return false;
    struct str path = json_str(&v->items[1]);
    return path.n && path.p[0] == '/';
}

static int read_routes(struct app *a, const struct json *entry, struct str handler, struct err *e) {
    const struct json *list = json_get(entry, "routes");
    if (!list) return 0;
    if (!json_is(list, JSON_ARR)) return bad(e, handler, "routes", "a list");
    struct app_route *routes = ARENA_ARRAY(&a->arena, struct app_route, list->n + 1);
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *v = &list->items[i];
        if (!is_route(v)) return bad(e, handler, "routes", "a list of [method, path]");
        routes[i] = (struct app_route){.method = arena_str(&a->arena, v->items[0].s),
                                       .path = arena_str(&a->arena, v->items[1].s),
                                       .function = a->functions,
                                       .line = (int)i + 1};
    }
    a->routes = routes;
    a->n_routes = list->n;
    return 0;
}

static int read_flag(const struct json *entry, struct str handler, const char *name, bool *ret, struct err *e) {
    const struct json *v = json_get(entry, name);
    return !v || json_bool(v, ret) ? 0 : bad(e, handler, name, "true or false");
}

static int read_entry(const struct json *entry, struct str handler, struct app_manifest *m, struct err *e) {
    if (!entry)
        return err_set(e, ERR_CONFIG, "perigee.json has no handler \"%.*s\": the package was made of another template",
                       STR_ARG(str_take(handler, 128)));
    if (!json_is(entry, JSON_OBJ))
        return err_set(e, ERR_CONFIG, "perigee.json: handlers[\"%.*s\"] must be an object",
                       STR_ARG(str_take(handler, 128)));
    if (read_routes(m->app, entry, handler, e) || read_flag(entry, handler, "stream", &m->stream, e)) return -1;
    return read_flag(entry, handler, "report_failures", &m->report_failures, e);
}

static int read_origins(struct app *a, const struct json *list, struct err *e) {
    if (!json_is(list, JSON_ARR) || !list->n)
        return err_set(e, ERR_CONFIG, "perigee.json: cors.origins must be a list of origins");
    struct str *origins = ARENA_ARRAY(&a->arena, struct str, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        if (!json_str(&list->items[i]).n)
            return err_set(e, ERR_CONFIG, "perigee.json: cors.origins must be a list of origins");
        origins[i] = list->items[i].s;
    }
    a->cors.allow_origins = origins;
    a->cors.n_origins = list->n;
    return 0;
}

static int read_cors(struct app *a, const struct json *cors, struct err *e) {
    const struct json *flag = json_get(cors, "credentials");
    if (!cors) return 0;
    if (!json_is(cors, JSON_OBJ)) return err_set(e, ERR_CONFIG, "perigee.json: cors must be an object");
    if (read_origins(a, json_get(cors, "origins"), e)) return -1;
    if (flag && !json_bool(flag, &a->cors.allow_credentials))
        return err_set(e, ERR_CONFIG, "perigee.json: cors.credentials must be true or false");
    a->cors.expose_headers = json_get_s(cors, "expose");
    a->cors.rest = true;
    return 0;
}

static int read_text(struct str text, struct str handler, struct app_manifest *m, struct err *e) {
    struct json doc;
    int64_t version = 0;
    struct arena *a = &m->app->arena;
    if (json_parse(a, arena_str(a, text), NULL, &doc, e)) return err_wrap(e, "perigee.json");
    if (!json_is(&doc, JSON_OBJ)) return err_set(e, ERR_CONFIG, "perigee.json must be an object");
    if (!json_i64(json_get(&doc, "version"), &version) || version != MANIFEST_VERSION)
        return err_set(e, ERR_CONFIG, "perigee.json: version must be %d", MANIFEST_VERSION);
    const struct json *handlers = json_get(&doc, "handlers");
    if (!json_is(handlers, JSON_OBJ)) return err_set(e, ERR_CONFIG, "perigee.json: handlers must be an object");
    if (read_cors(m->app, json_get(&doc, "cors"), e)) return -1;
    return read_entry(json_get_str(handlers, handler), handler, m, e);
}

void template_split_handler(struct str handler, struct str *ret_module, struct str *ret_field) {
    size_t dot = handler.n;
    while (dot && handler.p[dot - 1] != '.') dot--;
    *ret_module = str_take(handler, dot ? dot - 1 : 0);
    *ret_field = str_from(handler, dot);
}

static int read_handler(struct arena *a, struct str handler, struct function *f, struct err *e) {
    f->name = arena_str(a, handler);
    template_split_handler(f->name, &f->module, &f->field);
    if (f->module.n && f->field.n) return 0;
    return err_set(e, ERR_CONFIG, "the handler '%.*s' is not module.function", STR_ARG(str_take(handler, 128)));
}

int app_manifest_read(struct str text, struct str handler, struct str code_dir, struct app_manifest *ret,
                      struct err *e) {
    struct app_manifest m = {0};
    struct app *a = m.app = calloc(1, sizeof *a);
    if (!a) fatal("out of memory for the manifest");
    struct function *f = ARENA_NEW(&a->arena, struct function);
    a->template_path = STR("perigee.json");
    a->dir = STR(".");
    a->cors.max_age_s = -1;
    a->functions = f;
    a->n_functions = 1;
    f->code_dir = arena_str(&a->arena, code_dir);
    if (read_handler(&a->arena, handler, f, e) || (text.n && read_text(text, handler, &m, e))) {
        app_free(a);
        return -1;
    }
    f->stream = m.stream;
    *ret = m;
    return 0;
}
