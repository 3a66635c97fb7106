/* host_script.c: what `perigee check`, `perigee run` and `perigee test` do: a trusted Lua state on an engine of its
 * own, no servers. */
#include "base/fs.h"
#include "base/map.h"
#include "host.h"
#include <stdlib.h>
#include <string.h>

/* -- check ------------------------------------------------------------------------------------------------------ */

/* Every schema by itself, also those that no handler uses. */
static const char check_schemas[] = "local validate = require 'perigee.validate'\n"
                                    "local bad = 0\n"
                                    "for _, name in ipairs(arg) do\n"
                                    "  local ok, why = pcall(validate.schema, name)\n"
                                    "  if not ok then io.stdout:write(tostring(why), '\\n'); bad = bad + 1 end\n"
                                    "end\n"
                                    "return bad == 0 and 0 or 1\n";

struct checker {
    struct arena arena;
    struct app *app;
    const char *root; /* of the project; NULL: the present directory */
    struct loop *loop;
    struct pool *pool;
    struct cloud cloud;
    struct cloud_conn conn;
    struct host_fetch fetch;
    struct scratch scratch;
    struct script *script;
    struct script_sources *sources;
    struct script_coverage *coverage;
    struct log log;
};

static void checker_close(struct checker *k) {
    if (k->script) script_close(k->script);
    if (k->sources) script_sources_unref(k->sources);
    script_coverage_free(k->coverage);
    host_fetch_close(&k->fetch);
    if (cloud_is_attached(&k->conn)) cloud_detach(&k->conn);
    cloud_close(&k->cloud);
    scratch_close(&k->scratch);
    if (k->pool) pool_close(k->pool);
    if (k->loop) loop_close(k->loop);
    if (k->app) app_free(k->app);
    arena_free(&k->arena);
}

/* An engine in memory, or AWS: there credentials are asked for by the first call, which says what is wrong with them.
 */
static int checker_cloud(struct checker *k, const struct perigee_config *c, struct err *e) {
    struct perigee_config own = *c;
    struct cloud_config cc = {&own, c->clock, &k->log, NULL, k->pool};
    struct err late = {0};
    own.memory = !c->aws;
    own.data = NULL;
    if (cloud_open(&k->cloud, &cc, e)) return -1;
    if (c->aws && c->account) remote_set_account(k->cloud.remote, str_c(c->account));
    if (c->aws && !remote_identity(k->cloud.remote).region.n) remote_prepare(k->cloud.remote, &late);
    if (k->cloud.local)
        local_set_endpoint(k->cloud.local, c->cloud_port > 0 ? (int)c->cloud_port : 4566, c->public_cloud_url);
    return cloud_attach(&k->cloud, k->loop, &k->conn, e);
}

static int checker_open(struct checker *k, const struct perigee_config *c, bool trusted, struct err *e) {
    if (loop_open(&k->loop, e) || pool_open(1, 0, &k->pool, e)) return -1;
    if (checker_cloud(k, c, e)) return -1;
    if (trusted && scratch_open(&k->scratch, c->scratch, e)) return -1;
    host_fetch_init(&k->fetch, k->loop);
    struct script_config sc = {
        .loop = k->loop,
        .backend = cloud_backend(&k->conn),
        .pool = k->pool,
        .clock = c->clock,
        .log = &k->log,
        .lua_dir = c->lua_dir,
        .root_dir = k->root ? k->root : ".",
        .fetch = &k->fetch.client,
        .scratch_dir = k->scratch.path[0] ? k->scratch.path : NULL,
        .trusted = trusted,
        .modules = c->modules,
        .coverage = k->coverage,
    };
    if (script_open(&sc, &k->script, e)) return -1;
    return trusted ? 0 : script_watch_self(k->script, e); /* modules that do not end */
}

static int check_handlers(struct checker *k, const struct perigee_config *c, struct buf *out, struct err *e) {
    if (checker_open(k, c, false, e)) return -1;
    if (host_read_sources(c, k->app, k->root, &k->sources, e)) return -1;
    int rc = 0;
    struct map told = {0};
    for (size_t i = 0; i < k->app->n_functions; i++) { /* one by one, so that each broken one is named */
        struct err why = {0};
        if (!script_load(k->script, k->sources, &k->app->functions[i], 1, NULL, &why)) {
            script_commit(k->script, false);
            continue;
        }
        if (!map_put(&told, arena_str(&k->arena, str_c(why.msg)), k)) /* functions that share a module break together */
            buf_printf(out, "%s:%d: %.*s: %s\n", c->template_path, k->app->functions[i].line,
                       STR_ARG(k->app->functions[i].name), why.msg);
        rc = err_set(e, ERR_CONFIG, "handlers do not load");
    }
    map_free(&told);
    return rc;
}

static int check_schema_files(struct checker *k, const struct perigee_config *c, struct err *e) {
    struct str *names = NULL;
    size_t n = 0;
    struct str dir = fs_join(&k->arena, str_c(k->root), STR("config/schemas"));
    if (fs_list(&k->arena, dir.p, ".json", &names, &n, e)) return -1;
    struct checker t = {.log = k->log, .root = k->root};
    char **argv = ARENA_ARRAY(&k->arena, char *, n + 1);
    for (size_t i = 0; i < n; i++) argv[i] = arena_cstr(&k->arena, str_take(names[i], names[i].n - 5));
    int rc = checker_open(&t, c, true, e);
    int code = rc ? -1 : script_run_text(t.script, "perigee check", str_c(check_schemas), (int)n, argv, e);
    checker_close(&t);
    if (code > 0 && !e->code) return err_set(e, ERR_CONFIG, "schemas are wrong");
    return code ? -1 : 0;
}

int perigee_check(const struct perigee_config *config, struct buf *out, struct err *e) {
    struct checker k = {.log = {.fd = 2, .level = LOG_ERROR}};
    struct perigee_config c = *config;
    c.aws = false; /* nothing is called: the engine in memory will do */
    int rc = host_load_app(&c, NULL, &k.arena, out, &k.app, e);
    if (!rc) {
        k.root = arena_cstr(&k.arena, fs_dirname(k.app->dir));
        int handlers = check_handlers(&k, &c, out, e);
        int schemas = check_schema_files(&k, &c, e);
        rc = handlers || schemas ? -1 : 0;
    }
    checker_close(&k);
    return rc;
}

/* -- machines ---------------------------------------------------------------------------------------------------------
 */

struct machines {
    struct buf *json;
    struct err err;
    bool done;
};

static void machines_told(void *ud, struct script_reply *r) {
    struct machines *m = ud;
    m->err = r->err;
    if (!r->err.code) json_write(m->json, &r->value);
    m->done = true;
}

/* One more function, loaded before all others, with which it shares perigee.states. */
static int ask_machines(struct checker *k, struct buf *ret, struct err *e) {
    size_t n = k->app->n_functions + 1;
    struct function *all = ARENA_ARRAY(&k->arena, struct function, n);
    struct machines m = {.json = ret};
    struct script_job job = {
        .kind = SCRIPT_EVENT, .function = all, .request_id = STR("graph"), .event = json_make_null()};
    struct script_handle *handle;
    all[0] = (struct function){.name = STR("perigee graph"),
                               .code_dir = STR(""),
                               .module = STR("perigee.states_collect"),
                               .field = STR("declared"),
                               .timeout_ms = 10000};
    for (size_t i = 1; i < n; i++) {
        all[i] = k->app->functions[i - 1];
        all[i].index = i;
    }
    if (script_load(k->script, k->sources, all, n, NULL, e)) return -1;
    script_commit(k->script, true);
    script_start(k->script, &job, machines_told, &m, &handle);
    while (!m.done) loop_once(k->loop, -1);
    if (!m.err.code) return 0;
    *e = m.err;
    return -1;
}

int host_machines(const struct perigee_config *config, struct buf *ret, struct err *e) {
    struct checker k = {.log = {.fd = 2, .level = LOG_ERROR}};
    struct perigee_config c = *config;
    struct buf problems = BUF_MAX(1 << 20);
    c.aws = false;
    int rc = host_load_app(&c, NULL, &k.arena, &problems, &k.app, e);
    if (rc && problems.n) err_set(e, ERR_CONFIG, "%.*s", (int)problems.n - 1, buf_cstr(&problems));
    if (!rc) {
        k.root = arena_cstr(&k.arena, fs_dirname(k.app->dir));
        rc = checker_open(&k, &c, false, e);
    }
    if (!rc) rc = host_read_sources(&c, k.app, k.root, &k.sources, e);
    if (!rc) rc = ask_machines(&k, ret, e);
    buf_free(&problems);
    checker_close(&k);
    return rc;
}

/* -- run -------------------------------------------------------------------------------------------------------- */

int perigee_script(const struct perigee_config *c, const char *path, const char *chunk, struct str text, int argc,
                   char **argv, int *ret_code, struct err *e) {
    struct checker k = {.log = {.fd = 2, .level = LOG_INFO}};
    int rc = -1;
    if (!log_level_parse(str_c(c->log_level), &k.log.level)) {
        err_set(e, ERR_CONFIG, "--log-level: '%s' is not debug, info, warn, error or off", c->log_level);
        goto out;
    }
    k.coverage = script_coverage_new();
    if (cloud_check(c, e) || checker_open(&k, c, true, e)) goto out;
    struct err why = {0};
    int code = path ? script_run_file(k.script, path, argc, argv, &why)
                    : script_run_text(k.script, chunk, text, argc, argv, &why);
    if (why.code) {
        *e = why;
        goto out;
    }
    *ret_code = code;
    rc = 0;
out:
    checker_close(&k);
    return rc;
}
