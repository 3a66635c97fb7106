/* host_inspect.c: what `perigee doctor` looks at: the template as one document, with the names it has where it is
 * deployed; the data directory; the ports. Nothing is created or changed. */
#include "base/fs.h"
#include "host.h"
#include <stdlib.h>
#include <unistd.h>

/* -- the template as a document ----------------------------------------------------------------------------------- */

static struct json texts(struct arena *a, const struct str *list, size_t n) {
    struct json out = json_make_arr();
    for (size_t i = 0; i < n; i++) json_push(a, &out, json_make_str(arena_str(a, list[i])));
    return out;
}

static void set_text(struct arena *a, struct json *o, const char *key, struct str s) {
    json_set(a, o, key, json_make_str(arena_str(a, s)));
}

static struct json function_json(struct arena *a, const struct function *f) {
    struct json o = json_make_obj(), statements = json_make_arr();
    set_text(a, &o, "name", f->name);
    json_set(a, &o, "line", json_make_i64(a, f->line));
    struct json *variables = json_set(a, &o, "environment", json_make_obj());
    for (size_t i = 0; i < f->n_env; i++)
        json_set(a, variables, arena_cstr(a, f->env[i].name), json_make_str(arena_str(a, f->env[i].value)));
    for (size_t i = 0; i < f->policy.n; i++) {
        const struct policy_statement *s = &f->policy.statements[i];
        struct json row = json_make_obj();
        json_set(a, &row, "deny", json_make_bool(s->deny));
        json_set(a, &row, "all_but", json_make_bool(s->not_actions || s->not_resources));
        json_set(a, &row, "actions", texts(a, s->actions, s->n_actions));
        json_set(a, &row, "resources", texts(a, s->resources, s->n_resources));
        json_push(a, &statements, row);
    }
    json_set(a, &o, "statements", statements);
    return o;
}

static struct json resource_json(struct arena *a, struct str name, struct str logical_id, int line,
                                 const struct json *create) {
    struct json o = json_make_obj();
    set_text(a, &o, "name", name);
    set_text(a, &o, "logical_id", logical_id);
    json_set(a, &o, "line", json_make_i64(a, line));
    json_set(a, &o, "create", json_copy(a, create));
    return o;
}

static void stores_json(struct arena *a, const struct app *app, struct json *ret) {
    struct json *list = json_set(a, ret, "tables", json_make_arr());
    for (size_t i = 0; i < app->n_tables; i++) {
        const struct app_table *t = &app->tables[i];
        json_push(a, list, resource_json(a, t->name, t->logical_id, t->line, &t->create));
    }
    list = json_set(a, ret, "queues", json_make_arr());
    for (size_t i = 0; i < app->n_queues; i++) {
        const struct app_queue *q = &app->queues[i];
        json_push(a, list, resource_json(a, q->name, q->logical_id, q->line, &q->create));
    }
    list = json_set(a, ret, "buckets", json_make_arr());
    for (size_t i = 0; i < app->n_buckets; i++) {
        const struct app_bucket *b = &app->buckets[i];
        json_push(a, list, resource_json(a, b->name, b->logical_id, b->line, &b->create));
    }
}

void host_inspect_app(const struct app *app, struct arena *a, struct json *ret) {
    struct json *list = json_set(a, ret, "functions", json_make_arr());
    for (size_t i = 0; i < app->n_functions; i++) json_push(a, list, function_json(a, &app->functions[i]));
    stores_json(a, app, ret);
    list = json_set(a, ret, "feeds", json_make_arr());
    for (size_t i = 0; i < app->n_feeds; i++) {
        struct json *row = json_push(a, list, json_make_obj());
        set_text(a, row, "queue", app->feeds[i].queue);
        set_text(a, row, "function", app->feeds[i].function->name);
        json_set(a, row, "enabled", json_make_bool(app->feeds[i].enabled));
    }
    list = json_set(a, ret, "schedules", json_make_arr());
    for (size_t i = 0; i < app->n_schedules; i++) {
        struct json *row = json_push(a, list, json_make_obj());
        set_text(a, row, "name", app->schedules[i].name);
        set_text(a, row, "function", app->schedules[i].function->name);
        json_set(a, row, "enabled", json_make_bool(app->schedules[i].enabled));
    }
    json_set(a, ret, "identities", texts(a, app->identities, app->n_identities));
    json_set(a, ret, "unset_secrets", texts(a, app->unset_secrets, app->n_unset_secrets));
    if (app->lease_table) set_text(a, ret, "lease_table", app->lease_table->name);
}

/* -- where it is deployed ---------------------------------------------------------------------------------------------
 */

/* What of it can be found out; `why` says what could not. */
static void find(const struct perigee_config *c, struct arena *a, struct deployment *d, struct json *ret) {
    static const struct log quiet = {.level = LOG_OFF};
    struct cloud cloud = {0};
    struct cloud_config cc = {c, c->clock, &quiet, NULL, NULL};
    struct loop *loop = NULL;
    struct err e = {0};
    if (!loop_open(&loop, &e) && !cloud_open(&cloud, &cc, &e) && !remote_prepare(cloud.remote, &e))
        deployment_find(&cloud, c, loop, &quiet, d, &e);
    if (e.code) set_text(a, ret, "deployment_error", str_c(e.msg));
    set_text(a, ret, "queue_base", str_c(d->queue_base ? d->queue_base : ""));
    cloud_close(&cloud);
    if (loop) loop_close(loop);
}

void host_inspect(const struct perigee_config *c, struct arena *a, struct json *ret) {
    struct deployment d = {0};
    struct arena app_arena = {0};
    struct buf problems = BUF_MAX(1 << 16);
    struct app *app = NULL;
    struct err e = {0};
    *ret = json_make_obj();
    set_text(a, ret, "template", str_c(c->template_path));
    if (cloud_check(c, &e))
        set_text(a, ret, "deployment_error", str_c(e.msg));
    else if (c->aws)
        find(c, a, &d, ret);
    if (host_load_app(c, &d, &app_arena, &problems, &app, &e))
        set_text(a, ret, "problems", problems.n ? buf_view(&problems) : str_c(e.msg));
    else
        host_inspect_app(app, a, ret);
    app_free(app);
    buf_free(&problems);
    arena_free(&app_arena);
    deployment_free(&d);
}

/* -- this machine -----------------------------------------------------------------------------------------------------
 */

int host_try_port(const char *host, int port, struct err *e) {
    int fd = -1, got = 0;
    if (in_listen(host, port, &fd, &got, e)) return -1;
    close(fd);
    return 0;
}

/* A directory that is not there yet is not made: its parent must be writable. */
int host_try_data(const char *dir, struct err *e) {
    struct local_config lc = {.dir = dir};
    struct log quiet = {.level = LOG_OFF};
    struct local *l = NULL;
    struct str parent = fs_dirname(str_c(dir));
    struct arena a = {0};
    int rc = 0;
    lc.log = &quiet;
    if (fs_is_dir(dir)) {
        struct pool *pool = NULL;
        if (pool_open(1, 0, &pool, e)) return -1;
        lc.pool = pool;
        rc = local_open(&lc, &l, e);
        if (!rc) local_close(l);
        pool_close(pool);
    } else if (access(parent.n ? arena_cstr(&a, parent) : ".", W_OK)) {
        rc = err_set(e, ERR_IO, "%s does not exist and cannot be made in %s", dir,
                     parent.n ? arena_cstr(&a, parent) : ".");
    }
    arena_free(&a);
    return rc;
}
