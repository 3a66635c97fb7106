/* version: one snapshot of the handlers, loaded. */
#include "base/fs.h"
#include "script/state.h"
#include <stdlib.h>
#include <string.h>

enum { TRACE_MAX = 64 << 10 };

/* ==== making and freeing ==== */

static struct str copy(struct version *v, struct str s) {
    return s.n ? arena_str(&v->arena, s) : STR("");
}

static void copy_function(struct version *v, struct function *to, const struct function *from) {
    *to = *from;
    to->name = copy(v, from->name);
    to->code_dir = copy(v, from->code_dir);
    to->module = copy(v, from->module);
    to->field = copy(v, from->field);
    struct function_env *env = ARENA_ARRAY(&v->arena, struct function_env, from->n_env);
    for (size_t i = 0; i < from->n_env; i++)
        env[i] = (struct function_env){copy(v, from->env[i].name), copy(v, from->env[i].value)};
    to->env = env;
}

static struct version *version_new(struct script *s, struct script_sources *sources, const struct function *f,
                                   size_t n) {
    struct version *v = calloc(1, sizeof *v);
    if (!v) fatal("out of memory for a version of the handlers");
    v->s = s;
    v->refs = 1;
    v->sources = script_sources_ref(sources);
    v->shared_ref = v->env_ref = v->box_ref = LUA_NOREF;
    v->n = n;
    v->units = ARENA_ARRAY(&v->arena, struct unit, n);
    for (size_t i = 0; i < n; i++) {
        v->units[i].version = v;
        v->units[i].handler_ref = v->units[i].loaded_ref = v->units[i].env_ref = LUA_NOREF;
        copy_function(v, &v->units[i].fn, &f[i]);
    }
    memcpy(v->id, script_sources_version(sources), sizeof v->id);
    coverage_add(v);
    return v;
}

static int unref_all(lua_State *L) {
    struct version *v = lua_touserdata(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, v->shared_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, v->box_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, v->env_ref);
    for (size_t i = 0; i < v->n; i++) {
        luaL_unref(L, LUA_REGISTRYINDEX, v->units[i].handler_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, v->units[i].loaded_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, v->units[i].env_ref);
    }
    return 0;
}

static void version_free(struct version *v) {
    script_sources_unref(v->sources);
    map_free(&v->covered);
    arena_free(&v->arena);
    free(v);
}

/* Functions may outlive their version (kept in a table of a C module, say), and know it: the struct goes with its box.
 */
void version_unref(struct version *v) {
    if (--v->refs) return;
    bool boxed = v->box_ref != LUA_NOREF;
    state_door(v->s, unref_all, v, NULL);
    if (!boxed) version_free(v);
}

static int box_gc(lua_State *L) {
    struct version **box = lua_touserdata(L, 1);
    if (*box) version_free(*box);
    *box = NULL;
    return 0;
}

static void push_box(lua_State *L, struct version *v) {
    struct version **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    if (luaL_newmetatable(L, "perigee.version")) {
        lua_pushcfunction(L, box_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    v->box_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    *box = v;
}

/* ==== loading ==== */

struct loading {
    struct version *v;
    struct unit *u;
    struct buf *trace;
    struct err *e;
};

static int on_error(lua_State *L) {
    struct loading *x = lua_touserdata(L, lua_upvalueindex(1));
    struct str msg = conv_push_message(L, 1);
    if (!x->trace->n) trace_write(x->trace, x->v->s, x->v->sources, L, msg, 1);
    return 1;
}

static int make_box(lua_State *L) {
    struct version *v = lua_touserdata(L, 1);
    push_box(L, v);
    return 0;
}

void version_push_env(lua_State *L, struct version *v) {
    if (v->env_ref == LUA_NOREF) {
        lua_newtable(L);
        sandbox_push_env(L, v, NULL);
        v->env_ref = luaL_ref(L, LUA_REGISTRYINDEX);
        v->shared_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, v->env_ref);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of functions in the table at idx, in order, for the message. */
static void push_names(lua_State *L, int idx) {
    enum { NAMED = 16 };
    const char *names[NAMED]; /* the table's keys keep them */
    luaL_Buffer b;
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING && lua_isfunction(L, -1) && n < NAMED) names[n++] = lua_tostring(L, -2);
    qsort(names, n, sizeof *names, by_name);
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < n; i++) {
        if (i) luaL_addstring(&b, ", ");
        luaL_addlstring(&b, names[i], strnlen(names[i], 64));
    }
    if (!n) luaL_addstring(&b, "none");
    luaL_pushresult(&b);
}

static int no_handler(lua_State *L, struct unit *u) {
    struct str m = u->fn.module, f = u->fn.field;
    bool is_table = lua_istable(L, -1);
    if (is_table)
        push_names(L, lua_gettop(L));
    else
        lua_pushstring(L, luaL_typename(L, -1));
    lua_pushlstring(L, m.p, m.n);
    lua_pushlstring(L, f.p, f.n);
    const char *what = lua_tostring(L, -3), *module = lua_tostring(L, -2), *field = lua_tostring(L, -1);
    if (is_table)
        return luaL_error(L, "Handler: %s.%s: the module returns a table without a function '%s' (it has: %s)", module,
                          field, field, what);
    return luaL_error(L, "Handler: %s.%s: the module must return a table of functions, but it returned a %s", module,
                      field, what);
}

static bool is_callable(lua_State *L) {
    return lua_isfunction(L, -1);
}

/* Argument: struct loading. Environment, module, handler of one function. */
static int load_unit(lua_State *L) {
    struct loading *x = lua_touserdata(L, 1);
    struct unit *u = x->u;
    lua_settop(L, 0);
    lua_newtable(L);
    sandbox_push_env(L, x->v, u);
    lua_pushvalue(L, 2);
    u->env_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, 1);
    u->loaded_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 2, "require");
    lua_pushlstring(L, u->fn.module.p, u->fn.module.n);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1)) return no_handler(L, u);
    lua_pushlstring(L, u->fn.field.p, u->fn.field.n);
    lua_gettable(L, -2);
    if (!is_callable(L)) {
        lua_pop(L, 1);
        return no_handler(L, u);
    }
    u->handler_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    u->sealed = true;
    return 0;
}

/* Argument: struct loading. So that the traceback is taken where the error is. */
static int load_traced(lua_State *L) {
    struct loading *x = lua_touserdata(L, 1);
    lua_pushlightuserdata(L, x);
    lua_pushcclosure(L, on_error, 1);
    lua_pushcfunction(L, load_unit);
    lua_pushlightuserdata(L, x);
    if (lua_pcall(L, 1, 0, 2)) return lua_error(L);
    return 0;
}

static int load_one(struct script *s, struct loading *x) {
    s->loading_unit = x->u;
    s->load_until_ms = now_mono_ms() + s->load_ms;
    limits_reset_hook(s, s->L);
    atomic_store_explicit(&s->thread, pthread_self(), memory_order_relaxed);
    atomic_fetch_add_explicit(&s->seq, 1, memory_order_release);
    int rc = state_door(s, load_traced, x, x->e);
    atomic_fetch_add_explicit(&s->seq, 1, memory_order_release);
    bool late = now_mono_ms() >= s->load_until_ms;
    s->loading = 0;
    s->loading_unit = NULL;
    s->load_until_ms = 0;
    limits_reset_hook(s, s->L);
    if (rc && late)
        err_set(x->e, ERR_LIMIT, "Handler: %.*s.%.*s: the module took longer than %llu ms to load",
                STR_ARG(x->u->fn.module), STR_ARG(x->u->fn.field), (unsigned long long)s->load_ms);
    return rc;
}

/* Units are loaded now, or each when it first runs. */
static int load_all(struct script *s, struct loading *x, bool later) {
    s->loading_version = x->v;
    int rc = state_door(s, make_box, x->v, x->e);
    for (size_t i = 0; i < x->v->n && !rc && !later; i++) {
        x->u = &x->v->units[i];
        rc = load_one(s, x);
    }
    s->loading_version = NULL;
    if (rc) {
        version_unref(x->v);
        return -1;
    }
    x->v->sealed = true;
    if (s->prepared) version_unref(s->prepared);
    s->prepared = x->v;
    return 0;
}

int script_load_later(struct script *s, struct script_sources *sources, const struct function *functions, size_t n,
                      struct err *e) {
    struct loading x = {.v = version_new(s, sources, functions, n), .e = e};
    return load_all(s, &x, true);
}

int version_load_unit(struct unit *u, struct err *e) {
    struct script *s = u->version->s;
    struct buf trace = BUF_MAX(TRACE_MAX);
    struct loading x = {.v = u->version, .u = u, .trace = &trace, .e = e};
    s->loading_version = x.v;
    int rc = load_one(s, &x);
    s->loading_version = NULL;
    buf_free(&trace);
    return rc;
}

int script_load(struct script *s, struct script_sources *sources, const struct function *functions, size_t n,
                struct buf *traceback, struct err *e) {
    struct err scratch;
    struct buf trace = BUF_MAX(TRACE_MAX);
    struct loading x = {.v = version_new(s, sources, functions, n), .trace = &trace, .e = e ? e : &scratch};
    int rc = load_all(s, &x, false);
    if (rc && traceback) buf_str(traceback, buf_view(&trace));
    buf_free(&trace);
    return rc;
}

void *script_shared(struct script *s, struct str name) {
    return s->c.keeps_compiled && s->present ? sources_shared(s->present->sources, name) : NULL;
}

void script_share(struct script *s, struct str name, void *object, void (*release)(void *object)) {
    if (s->c.keeps_compiled && s->present)
        sources_share(s->present->sources, name, object, release);
    else
        release(object);
}

void script_commit(struct script *s, bool use) {
    struct version *v = s->prepared, *old = use ? s->present : v;
    if (!v) return;
    s->prepared = NULL;
    if (use) s->present = v;
    if (old) version_unref(old);
}

/* ==== files of the snapshot ==== */

/* Trusted scripts only: the text is kept as long as the state. */
static int from_disk(struct script *s, struct str path, struct str *ret, struct err *e) {
    struct buf text = BUF_MAX(8 << 20);
    struct str full = fs_join(&s->kept, str_c(s->c.root_dir ? s->c.root_dir : "."), path);
    int rc = fs_read(arena_cstr(&s->kept, full), &text, e);
    if (!rc) *ret = arena_str(&s->kept, buf_view(&text));
    buf_free(&text);
    return rc;
}

int script_source(lua_State *L, struct str path, struct str *ret, struct err *e) {
    struct script *s = script_of(L);
    const struct version *v = s->running           ? s->running->unit->version
                              : s->loading_version ? s->loading_version
                                                   : s->present;
    while (str_starts(path, STR("./"))) path = str_from(path, 2);
    const struct source *f = v ? sources_chunk(v->sources, path) : NULL;
    if (!f && s->c.trusted) return from_disk(s, path, ret, e);
    if (!f) return err_set(e, ERR_IO, "no file '%.*s' among the handlers' sources and config/schemas", STR_ARG(path));
    return sources_text(v->sources, f, ret, e);
}
