/* host_invoke.c: one event through one function on an embedded host, as `perigee serve` would run it; and the
 * variables of --env. */
#include "base/crypto.h"
#include "base/fs.h"
#include "host.h"
#include <string.h>

enum { ENV_FILE_MAX = 1 << 20, DRAIN_MS = 60000 };

/* -- which function -------------------------------------------------------------------------------------------------
 */

static bool has_handler(const struct function *f, struct str name) {
    return name.n == f->module.n + 1 + f->field.n && str_starts(name, f->module) && name.p[f->module.n] == '.' &&
           str_ends(name, f->field);
}

static void list_functions(const struct app *app, struct str handler, struct buf *b) {
    for (size_t i = 0; i < app->n_functions; i++)
        if (!handler.p || has_handler(&app->functions[i], handler))
            buf_printf(b, "%s%.*s", b->n ? ", " : "", STR_ARG(app->functions[i].name));
}

const struct function *host_find_function(const struct app *app, const char *name, struct err *e) {
    const struct function *f = app_function(app, str_c(name));
    struct buf list = BUF_MAX(512); /* a longer list is cut */
    size_t n = 0;
    if (f) return f;
    for (size_t i = 0; i < app->n_functions; i++) {
        if (!has_handler(&app->functions[i], str_c(name))) continue;
        f = &app->functions[i];
        n++;
    }
    if (n == 1) return f;
    list_functions(app, n ? str_c(name) : STR_NONE, &list);
    if (n)
        err_set(e, ERR_CONFIG, "several functions have the handler %s: %s", name, buf_cstr(&list));
    else
        err_set(e, ERR_CONFIG, "the template has no function or handler '%s' (it has %s)", name, buf_cstr(&list));
    buf_free(&list);
    return NULL;
}

/* -- --env ----------------------------------------------------------------------------------------------------------
 */

static struct function_env *find_variable(const struct function *f, struct str name) {
    for (size_t i = 0; i < f->n_env; i++)
        if (str_eq(f->env[i].name, name)) return (struct function_env *)&f->env[i];
    return NULL;
}

int host_env_value(struct arena *a, const struct json_member *m, struct str where, struct str *ret, struct err *e) {
    const struct json *v = &m->value;
    if (v->type == JSON_STR || v->type == JSON_NUM)
        *ret = arena_str(a, v->s);
    else if (v->type == JSON_TRUE || v->type == JSON_FALSE)
        *ret = v->type == JSON_TRUE ? STR("true") : STR("false");
    else
        return err_set(e, ERR_CONFIG, "%.*s.%.*s: must be a string, not %s", STR_ARG(where), STR_ARG(m->key),
                       json_type_name(v->type));
    if (str_chr(*ret, '\0', 0) < 0) return 0;
    return err_set(e, ERR_CONFIG, "%.*s.%.*s: holds a NUL byte", STR_ARG(where), STR_ARG(m->key));
}

/* f NULL: whichever functions declare the variable. The template decides which variables there are, as on AWS. */
static int set_variables(struct arena *a, const struct app *app, const struct function *f, struct str where,
                         const struct json *values, struct err *e) {
    if (values->type != JSON_OBJ)
        return err_set(e, ERR_CONFIG, "%.*s: must be an object, not %s", STR_ARG(where), json_type_name(values->type));
    for (uint32_t m = 0; m < values->n; m++) {
        const struct json_member *one = &values->members[m];
        struct str value;
        bool declared = false;
        if (host_env_value(a, one, where, &value, e)) return -1;
        for (size_t i = 0; i < app->n_functions; i++) {
            struct function_env *v = find_variable(&app->functions[i], one->key);
            if (!v || (f && f != &app->functions[i])) continue;
            v->value = value;
            declared = true;
        }
        if (!declared)
            return err_set(e, ERR_CONFIG, "%.*s.%.*s: the template declares no such variable%s%.*s", STR_ARG(where),
                           STR_ARG(one->key), f ? " for " : "", f ? (int)f->name.n : 0, f ? f->name.p : "");
    }
    return 0;
}

/* "Parameters" first: what is said of one function wins. */
static int apply(void *ud, const struct json *doc, struct err *e) {
    struct app *app = ud;
    struct arena *a = &app->arena;
    const struct json *all = json_get(doc, "Parameters");
    if (doc->type != JSON_OBJ)
        return err_set(e, ERR_CONFIG, "must be an object of functions, not %s", json_type_name(doc->type));
    if (all && set_variables(a, app, NULL, STR("Parameters"), all, e)) return -1;
    for (uint32_t i = 0; i < doc->n; i++) {
        const struct json_member *m = &doc->members[i];
        if (&m->value == all) continue;
        const struct function *f = app_function(app, m->key);
        if (!f) return err_set(e, ERR_CONFIG, "%.*s: the template has no such function", STR_ARG(m->key));
        if (set_variables(a, app, f, m->key, &m->value, e)) return -1;
    }
    return 0;
}

int host_env_file(const char *path, int (*use)(void *ud, const struct json *doc, struct err *e), void *ud,
                  struct err *e) {
    struct buf text = BUF_MAX(ENV_FILE_MAX);
    struct arena a = {0};
    struct json doc;
    int rc = fs_read(path, &text, e) || json_parse(&a, buf_view(&text), NULL, &doc, e) || use(ud, &doc, e) ? -1 : 0;
    if (rc) err_wrap(e, "--env %s", path);
    arena_free(&a);
    buf_free(&text);
    return rc;
}

int host_apply_env(const char *path, struct app *app, struct err *e) {
    return host_env_file(path, apply, app, e);
}

/* -- the invocation -------------------------------------------------------------------------------------------------
 */

struct outcome {
    struct route_outcome o;
    bool done;
};

static void on_outcome(void *ud, struct route_outcome *o) {
    struct outcome *mine = ud;
    mine->o = *o; /* takes the body over */
    o->body = (struct buf){0};
    mine->done = true;
}

bool host_reports_failures(const struct app *app, const struct function *f) {
    for (size_t i = 0; i < app->n_feeds; i++)
        if (app->feeds[i].function == f && app->feeds[i].report_failures) return true;
    return false;
}

struct str host_function_arn(struct arena *a, const struct aws_identity *own, const struct function *f) {
    return arena_printf(a, "arn:%.*s:lambda:%.*s:%.*s:function:%.*s", STR_ARG(own->partition), STR_ARG(own->region),
                        STR_ARG(own->account), STR_ARG(f->name));
}

int host_invoke(struct perigee *p, const struct function *f, const char *request_id, struct str event, struct buf *ret,
                struct err *e) {
    struct worker *w = &p->workers[0];
    const struct aws_identity *own = &cloud_backend(&w->conn)->id;
    struct arena a = {0};
    struct outcome out = {0};
    char made[37];
    crypto_uuid4(made);
    struct str id = str_c(request_id ? request_id : made);
    const struct script_invocation invocation = {
        .arn = host_function_arn(&a, own, f),
        .function_version = STR("$LATEST"),
        .log_group = arena_printf(&a, "/aws/lambda/%.*s", STR_ARG(f->name)),
        .log_stream = STR("invoke"),
        .deadline_unix_ms = clock_ms(p->clock) + f->timeout_ms,
    };
    const struct route_invocation in = {
        .function = f,
        .request_id = id,
        .payload = event,
        .arena = &a,
        .report_failures = host_reports_failures(p->app, f),
        .invocation = &invocation,
    };
    route_invoke(w->route, &in, on_outcome, &out);
    while (!out.done || script_jobs(w->script)) loop_once(w->loop, -1);
    bool failed = out.o.err.code != ERR_NONE;
    if (failed && !out.o.body.n)
        lambda_error_document(ret, &out.o.err, out.o.error_type, out.o.traceback, id);
    else
        buf_str(ret, buf_view(&out.o.body));
    if (failed && e) *e = out.o.err;
    buf_free(&out.o.body);
    arena_free(&a);
    return failed;
}

int perigee_invoke(const struct perigee_config *c, const char *function, struct str event, struct buf *ret,
                   struct err *e) {
    struct perigee_config own = *c;
    struct perigee *p = NULL;
    own.workers = -1;
    own.feeds = own.reload = false;
    if (!own.max_instructions) own.max_instructions = INT64_MAX; /* counting is what ends a runaway handler here */
    if (perigee_open(&own, &p, e)) return -1;
    const struct function *f = host_find_function(p->app, function, e);
    int rc = f && !(c->cost && host_cost_begin(&p->workers[0], e)) ? host_invoke(p, f, NULL, event, ret, e) : -1;
    if (rc >= 0 && c->drain && perigee_drain(p, DRAIN_MS, e)) rc = -1;
    if (c->cost && p->workers[0].calls) host_cost_write(&p->workers[0], c->cost);
    perigee_close(p);
    return rc;
}
