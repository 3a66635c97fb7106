/* t.app: a template as a Lua table. */
#include "app/app.h"
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_app(lua_State *L);

static int free_arena(lua_State *L) {
    arena_free(lua_touserdata(L, 1));
    return 0;
}

static struct arena *new_arena(lua_State *L) {
    struct arena *a = lua_newuserdatauv(L, sizeof *a, 0);
    *a = (struct arena){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, free_arena);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return a;
}

static void text(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static void number(lua_State *L, const char *name, int64_t v) {
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void boolean(lua_State *L, const char *name, bool v) {
    lua_pushboolean(L, v);
    lua_setfield(L, -2, name);
}

static void document(lua_State *L, const char *name, const struct json *v) {
    struct buf b = BUF_MAX(1 << 20);
    json_write(&b, v);
    text(L, name, buf_view(&b));
    buf_free(&b);
}

static void texts(lua_State *L, const char *name, const struct str *list, size_t n) {
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(L, list[i].p, list[i].n);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, name);
}

static void push_policy(lua_State *L, const struct policy *p) {
    lua_newtable(L);
    for (size_t i = 0; i < p->n; i++) {
        lua_newtable(L);
        boolean(L, "deny", p->statements[i].deny);
        if (p->statements[i].not_actions) boolean(L, "not_actions", true);
        if (p->statements[i].not_resources) boolean(L, "not_resources", true);
        texts(L, "actions", p->statements[i].actions, p->statements[i].n_actions);
        texts(L, "resources", p->statements[i].resources, p->statements[i].n_resources);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "policy");
}

static void push_functions(lua_State *L, const struct app *a) {
    lua_newtable(L);
    for (size_t i = 0; i < a->n_functions; i++) {
        const struct function *f = &a->functions[i];
        lua_newtable(L);
        text(L, "name", f->name);
        text(L, "code_dir", f->code_dir);
        text(L, "module", f->module);
        text(L, "field", f->field);
        number(L, "line", f->line);
        number(L, "timeout_ms", f->timeout_ms);
        number(L, "memory_bytes", (int64_t)f->memory_bytes);
        number(L, "index", (int64_t)f->index);
        boolean(L, "url", f->url);
        boolean(L, "stream", f->stream);
        lua_newtable(L);
        for (size_t k = 0; k < f->n_env; k++) {
            lua_pushlstring(L, f->env[k].name.p, f->env[k].name.n);
            lua_pushlstring(L, f->env[k].value.p, f->env[k].value.n);
            lua_rawset(L, -3);
        }
        lua_setfield(L, -2, "env");
        push_policy(L, &f->policy);
        boolean(L, "found", app_function(a, f->name) == f);
        lua_pushlstring(L, f->name.p, f->name.n);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "functions");
}

static void push_events(lua_State *L, const struct app *a) {
    lua_newtable(L);
    for (size_t i = 0; i < a->n_routes; i++) {
        lua_newtable(L);
        text(L, "method", a->routes[i].method);
        text(L, "path", a->routes[i].path);
        text(L, "function", a->routes[i].function->name);
        number(L, "line", a->routes[i].line);
        number(L, "payload", a->routes[i].payload);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "routes");
    lua_newtable(L);
    for (size_t i = 0; i < a->n_feeds; i++) {
        const struct app_feed *f = &a->feeds[i];
        lua_newtable(L);
        text(L, "queue", f->queue);
        text(L, "function", f->function->name);
        number(L, "batch_size", f->batch_size);
        number(L, "window_ms", f->window_ms);
        number(L, "max_concurrency", f->max_concurrency);
        boolean(L, "report_failures", f->report_failures);
        boolean(L, "enabled", f->enabled);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "feeds");
    lua_newtable(L);
    for (size_t i = 0; i < a->n_schedules; i++) {
        const struct app_schedule *s = &a->schedules[i];
        lua_newtable(L);
        text(L, "name", s->name);
        text(L, "expression", s->expression);
        text(L, "input", s->input);
        text(L, "function", s->function->name);
        boolean(L, "enabled", s->enabled);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "schedules");
}

static void push_stores(lua_State *L, const struct app *a) {
    lua_newtable(L);
    for (size_t i = 0; i < a->n_tables; i++) {
        lua_newtable(L);
        text(L, "name", a->tables[i].name);
        text(L, "logical_id", a->tables[i].logical_id);
        text(L, "ttl_attribute", a->tables[i].ttl_attribute);
        document(L, "create", &a->tables[i].create);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "tables");
    lua_newtable(L);
    for (size_t i = 0; i < a->n_queues; i++) {
        lua_newtable(L);
        text(L, "name", a->queues[i].name);
        text(L, "dead_letter", a->queues[i].dead_letter);
        document(L, "create", &a->queues[i].create);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "queues");
    lua_newtable(L);
    for (size_t i = 0; i < a->n_buckets; i++) {
        lua_newtable(L);
        text(L, "name", a->buckets[i].name);
        document(L, "create", &a->buckets[i].create);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "buckets");
}

static void push_cors(lua_State *L, const struct app_cors *c) {
    lua_newtable(L);
    texts(L, "origins", c->allow_origins, c->n_origins);
    text(L, "methods", c->allow_methods);
    text(L, "headers", c->allow_headers);
    text(L, "expose", c->expose_headers);
    number(L, "max_age", c->max_age_s);
    boolean(L, "credentials", c->allow_credentials);
    boolean(L, "rest", c->rest);
    lua_setfield(L, -2, "cors");
}

static void push_manifest(lua_State *L, const struct app *a) {
    struct buf b = BUF_MAX(1 << 20);
    app_manifest_write(a, &b);
    text(L, "manifest", buf_view(&b));
    buf_free(&b);
}

static void push_app(lua_State *L, const struct app *a) {
    lua_newtable(L);
    text(L, "dir", a->dir);
    push_functions(L, a);
    push_events(L, a);
    push_stores(L, a);
    texts(L, "identities", a->identities, a->n_identities);
    texts(L, "unset_secrets", a->unset_secrets, a->n_unset_secrets);
    text(L, "lease_table", a->lease_table ? a->lease_table->logical_id : STR(""));
    push_cors(L, &a->cors);
    push_manifest(L, a);
}

static const char *option(lua_State *L, const char *name, const char *otherwise) {
    lua_getfield(L, 3, name);
    return luaL_optstring(L, -1, otherwise); /* stays on the stack */
}

/* {{Logical, physical}, ...} below `key`; returns how many. */
static size_t names(lua_State *L, const char *key, bool asked, struct app_name *out) {
    lua_getfield(L, 3, key);
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        out[i] = (struct app_name){str_c(lua_tostring(L, -2)), str_c(lua_tostring(L, -1)), asked};
        lua_pop(L, 3);
    }
    return n;
}

/* load(path, {Name = value}, {region, account, partition, stack, queue_base, names, asked}) -> app | nil, {problems},
 * first */
static int l_load(lua_State *L) {
    struct app_parameter parameters[32];
    struct app_name given[16];
    struct app_options o = {luaL_checkstring(L, 1), parameters, 0, "us-east-1", "000000000000"};
    lua_settop(L, 3);
    luaL_checkstack(L, 40, "load");
    if (lua_istable(L, 3)) {
        o.region = option(L, "region", o.region);
        o.account = option(L, "account", o.account);
        o.partition = option(L, "partition", NULL);
        o.stack = option(L, "stack", NULL);
        o.queue_base = option(L, "queue_base", NULL);
        o.n_names = names(L, "asked", true, given);
        o.n_names += names(L, "names", false, given + o.n_names);
        o.names = given;
    }
    struct arena *problems_arena = new_arena(L);
    struct app_problem *problems = NULL;
    size_t n = 0;
    struct app *a = NULL;
    struct err e = {0};
    for (lua_pushnil(L); lua_istable(L, 2) && lua_next(L, 2) && o.n_parameters < 32; lua_pop(L, 1))
        parameters[o.n_parameters++] = (struct app_parameter){str_c(lua_tostring(L, -2)), str_c(lua_tostring(L, -1))};
    if (!app_load(&o, problems_arena, &problems, &n, &a, &e)) {
        push_app(L, a);
        app_free(a);
        return 1;
    }
    lua_pushnil(L);
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(L, problems[i].text.p, problems[i].text.n);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_pushstring(L, e.msg);
    return 3;
}

/* manifest(text, handler) -> {name, module, field, routes, cors, report_failures, stream} | nil, why */
static int l_manifest(lua_State *L) {
    struct app_manifest m;
    struct err e = {0};
    size_t n;
    const char *p = luaL_checklstring(L, 1, &n);
    if (app_manifest_read(str_n(p, n), str_c(luaL_checkstring(L, 2)), STR("/code"), &m, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    const struct function *f = m.app->functions;
    lua_newtable(L);
    text(L, "dir", f->code_dir);
    text(L, "module", f->module);
    text(L, "field", f->field);
    boolean(L, "report_failures", m.report_failures);
    boolean(L, "stream", m.stream);
    push_cors(L, &m.app->cors);
    lua_newtable(L);
    for (size_t i = 0; i < m.app->n_routes; i++) {
        const struct app_route *r = &m.app->routes[i];
        lua_pushfstring(L, "%s %s%s", r->method.p, r->path.p, r->function == f ? "" : " of another function");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "routes");
    app_free(m.app);
    return 1;
}

static int l_next(lua_State *L) {
    struct err e = {0};
    int64_t t = app_schedule_next(str_c(luaL_checkstring(L, 1)), luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), &e);
    if (t >= 0) {
        lua_pushinteger(L, t);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, e.msg);
    return 2;
}

int luaopen_t_app(lua_State *L) {
    static const luaL_Reg functions[] = {{"load", l_load}, {"next", l_next}, {"manifest", l_manifest}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {{"t.app", luaopen_t_app}, {NULL, NULL}};
