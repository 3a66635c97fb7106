/* host_lua.c: the Lua module perigee.host: an embedded host as an object, for `perigee test` and scripts.
 *
 * - open{ template=, parameters={Name=value}, lua_dir=, development=, data= or memory (the default) } or
 *   open{ aws=true, profile=, region=, endpoint_url=, account=, stack=, resources=, create= } -> h | nil, err
 *   offline=true: http.fetch raises
 *   clock=unix_ms: a simulated host (host_lua_simulate.c), its time begins there; seed=: of its random numbers
 * - h:request{ method=, target=, headers={}, body=, remote_ip= } -> { status=, headers={lower=value}, body= }
 * - h:requests{ {...}, ... } -> { answer, ... }: all at once; of a process that died those that came before, and err
 * - h:drain([max_ms]) -> true | nil, why
 * - h:run_schedule(name), h:reload() -> version, h:close()
 * - h:aws(service, action, params[, body]) -> result | nil, err
 * - h:cloud{...}, h:mailbox(), h:fault(name, n): of the embedded engine
 * - h:event, h:answer, h:schedule, h:environment: host_documents.c
 * - manifest{...}: what a package says of the template, as JSON
 * - inspect{...}, check{...}, try_port(host, port), try_data(dir): for the doctor, see host.h
 *
 * Everything a handle needs hangs off the userdata, so an error anywhere frees it with the handle. */
#include "host_lua.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "host.h"
#include "script/script.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANDLE "perigee.host"
#define CACHE "perigee.host.cache"
#define BODY_MAX (64u << 20)

struct handle {
    struct perigee *host;
    struct clock clock;
    struct arena arena; /* of the call being made; reset at the start of the next */
    struct http_response res;
    struct aws_call *call;
    struct log log;
};

static struct handle *check(lua_State *L) {
    struct handle *h = luaL_checkudata(L, 1, HANDLE);
    luaL_argcheck(L, h->host, 1, "this host is closed");
    http_response_free(&h->res);
    http_response_init(&h->res, 0);
    if (h->call) aws_call_free(h->call);
    h->call = NULL;
    arena_reset(&h->arena);
    return h;
}

struct perigee *host_lua_host(lua_State *L) {
    return check(L)->host;
}

struct arena *host_lua_arena(lua_State *L) {
    return &((struct handle *)luaL_checkudata(L, 1, HANDLE))->arena;
}

struct http_response *host_lua_response(lua_State *L) {
    return &((struct handle *)luaL_checkudata(L, 1, HANDLE))->res;
}

static int fail(lua_State *L, const struct err *e) {
    return script_push_err(L, e, NULL, NULL, NULL, NULL);
}

/* -- open and close --------------------------------------------------------------------------------------------- */

static const char *field_string(lua_State *L, int idx, const char *name, const char *otherwise) {
    lua_getfield(L, idx, name);
    const char *s = luaL_optstring(L, -1, otherwise);
    return s; /* stays on the stack */
}

static bool field_bool(lua_State *L, int idx, const char *name, bool otherwise) {
    lua_getfield(L, idx, name);
    bool b = lua_isnil(L, -1) ? otherwise : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return b;
}

/* false is 0, as nothing is. */
static lua_Integer field_integer(lua_State *L, int idx, const char *name) {
    lua_getfield(L, idx, name);
    lua_Integer v = lua_toboolean(L, -1) ? luaL_checkinteger(L, -1) : 0;
    lua_pop(L, 1);
    return v;
}

/* {Name=value} -> "Name=value,..." on the stack. */
static const char *parameters_text(lua_State *L, int idx) {
    lua_getfield(L, idx, "parameters");
    int t = lua_gettop(L);
    lua_pushliteral(L, "");
    if (lua_isnil(L, t)) return "";
    luaL_checktype(L, t, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, t);) {
        const char *name = luaL_checkstring(L, -2), *value = luaL_tolstring(L, -1, NULL),
                   *list = lua_tostring(L, t + 1);
        lua_pushfstring(L, "%s%s%s=%s", list, *list ? "," : "", name, value);
        lua_replace(L, t + 1);
        lua_pop(L, 2);
    }
    return lua_tostring(L, t + 1);
}

/* As the options of `perigee serve --aws`; the strings stay on the stack. */
static void aws_fields(lua_State *L, int idx, struct perigee_config *c) {
    c->profile = field_string(L, idx, "profile", NULL);
    c->region = field_string(L, idx, "region", NULL);
    c->endpoint_url = field_string(L, idx, "endpoint_url", NULL);
    c->access_key = field_string(L, idx, "access_key", NULL);
    c->secret_key = field_string(L, idx, "secret_key", NULL);
    c->session_token = field_string(L, idx, "session_token", NULL);
    c->account = field_string(L, idx, "account", NULL);
    c->stack = field_string(L, idx, "stack", NULL);
    c->resources = field_string(L, idx, "resources", NULL);
    c->lease_table = field_string(L, idx, "lease_table", NULL);
    c->scratch = field_string(L, idx, "scratch", NULL);
    c->create = field_bool(L, idx, "create", false);
}

struct inspection { /* owned by a userdata, for pushing may raise */
    struct arena arena;
    struct buf lines;
};

static int inspection_gc(lua_State *L) {
    struct inspection *i = lua_touserdata(L, 1);
    arena_free(&i->arena);
    buf_free(&i->lines);
    return 0;
}

static struct inspection *inspection_new(lua_State *L) {
    struct inspection *i = lua_newuserdatauv(L, sizeof *i, 0);
    *i = (struct inspection){.lines = BUF_MAX(1 << 20)};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, inspection_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    return i;
}

/* What inspect and check are told: template, parameters, lua_dir, and the options of --aws. */
static void inspection_config(lua_State *L, struct perigee_config *c) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, 40, "host.inspect");
    c->template_path = field_string(L, 1, "template", c->template_path);
    c->lua_dir = field_string(L, 1, "lua_dir", NULL);
    c->parameters = field_string(L, 1, "parameters", "");
    c->aws = field_bool(L, 1, "aws", false);
    aws_fields(L, 1, c);
}

/* inspect{...} -> the template and its deployment, as host.h's host_inspect says */
static int inspect(lua_State *L) {
    struct perigee_config c = perigee_defaults();
    struct json found;
    inspection_config(L, &c);
    struct inspection *i = inspection_new(L);
    host_inspect(&c, &i->arena, &found);
    script_push_json(L, &found);
    return 1;
}

/* check{...} -> true, or nil and the problems, a line each */
static int check_all(lua_State *L) {
    struct perigee_config c = perigee_defaults();
    struct err e = {0};
    inspection_config(L, &c);
    struct inspection *i = inspection_new(L);
    if (!perigee_check(&c, &i->lines, &e)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, i->lines.n ? buf_cstr(&i->lines) : e.msg);
    return 2;
}

/* manifest{template=, parameters=} -> the text of perigee.json, or nil, err */
static int manifest(lua_State *L) {
    struct perigee_config c = perigee_defaults();
    struct err e = {0};
    struct app *app = NULL;
    inspection_config(L, &c);
    struct inspection *i = inspection_new(L);
    if (host_load_app(&c, NULL, &i->arena, NULL, &app, &e)) return fail(L, &e);
    app_manifest_write(app, &i->lines);
    app_free(app);
    lua_pushstring(L, buf_cstr(&i->lines));
    return 1;
}

/* machines{template=, parameters=, lua_dir=} -> a document as host_machines says, or nil, err */
static int machines(lua_State *L) {
    struct perigee_config c = perigee_defaults();
    struct err e = {0};
    inspection_config(L, &c);
    struct inspection *i = inspection_new(L);
    if (host_machines(&c, &i->lines, &e)) return fail(L, &e);
    lua_pushstring(L, buf_cstr(&i->lines));
    return 1;
}

static int outcome(lua_State *L, int rc, const struct err *e) {
    if (rc) return fail(L, e);
    lua_pushboolean(L, 1);
    return 1;
}

/* try_port(host, port), try_data(dir) -> true, or nil and why not */
static int try_port(lua_State *L) {
    struct err e = {0};
    return outcome(L, host_try_port(luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2), &e), &e);
}

static int try_data(lua_State *L) {
    struct err e = {0};
    return outcome(L, host_try_data(luaL_checkstring(L, 1), &e), &e);
}

/* Finalizers run from the youngest to the oldest: it outlives the hosts. */
static struct perigee_cache *shared_cache(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, CACHE);
    return *(struct perigee_cache **)lua_touserdata(L, -1);
}

static int cache_gc(lua_State *L) {
    perigee_cache_free(*(struct perigee_cache **)lua_touserdata(L, 1));
    return 0;
}

static int host_open(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, 40, "host.open");
    struct handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    memset(h, 0, sizeof *h);
    http_response_init(&h->res, 0);
    luaL_setmetatable(L, HANDLE);
    int top = lua_gettop(L);
    struct perigee_config c = perigee_defaults();
    c.workers = -1;
    c.reload = c.feeds = false;
    c.template_path = field_string(L, 1, "template", c.template_path);
    c.data = field_string(L, 1, "data", NULL);
    c.aws = field_bool(L, 1, "aws", false);
    c.memory = !c.data && !c.aws;
    c.lua_dir = field_string(L, 1, "lua_dir", script_config_of(L)->lua_dir);
    c.coverage = script_config_of(L)->coverage;
    c.log_level = field_string(L, 1, "log_level", "off");
    c.development = field_bool(L, 1, "development", false);
    c.offline = field_bool(L, 1, "offline", false);
    c.parameters = parameters_text(L, 1);
    aws_fields(L, 1, &c);
    c.clock = &h->clock;
    c.simulated_ms = field_integer(L, 1, "clock");
    if (c.simulated_ms) c.cache = shared_cache(L);
    c.seed = field_integer(L, 1, "seed");
    struct err e = {0};
    if (perigee_open(&c, &h->host, &e)) return fail(L, &e);
    if (h->host->cloud.local) local_set_endpoint(h->host->cloud.local, 4566, "");
    lua_settop(L, top);
    return 1;
}

static int host_close(lua_State *L) {
    struct handle *h = luaL_checkudata(L, 1, HANDLE);
    http_response_free(&h->res);
    http_response_init(&h->res, 0);
    if (h->call) aws_call_free(h->call);
    h->call = NULL;
    arena_free(&h->arena);
    perigee_close(h->host);
    h->host = NULL;
    return 0;
}

/* -- requests --------------------------------------------------------------------------------------------------- */

static struct str field_str(lua_State *L, struct arena *a, int idx, const char *name, const char *otherwise) {
    size_t n = 0;
    lua_getfield(L, idx, name);
    const char *s = luaL_optlstring(L, -1, otherwise, &n);
    struct str copy = s ? arena_str(a, str_n(s, s == otherwise ? strlen(otherwise) : n)) : STR_NONE;
    lua_pop(L, 1);
    return copy;
}

static void read_headers(lua_State *L, struct arena *a, int idx, struct http_request *r) {
    lua_getfield(L, idx, "headers");
    if (lua_istable(L, -1)) {
        size_t n = 0;
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) n++;
        struct http_header *list = ARENA_ARRAY(a, struct http_header, n + 1);
        n = 0;
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            size_t vn = 0;
            const char *name = luaL_checkstring(L, -2);
            const char *value = luaL_tolstring(L, -1, &vn);
            list[n++] = (struct http_header){arena_str(a, str_c(name)), arena_str(a, str_n(value, vn))};
            lua_pop(L, 1);
        }
        r->headers = list;
        r->n_headers = n;
    }
    lua_pop(L, 1);
}

static struct http_request *read_request(lua_State *L, struct handle *h, int idx) {
    struct arena *a = &h->arena;
    struct http_request *r = ARENA_NEW(a, struct http_request);
    luaL_checktype(L, idx, LUA_TTABLE);
    r->arena = a;
    r->method = field_str(L, a, idx, "method", "GET");
    r->target = field_str(L, a, idx, "target", "/");
    struct str rest = r->target;
    r->path = str_cut(&rest, '?');
    r->raw_query = rest.p ? rest : STR("");
    r->version = STR("HTTP/1.1");
    r->body = field_str(L, a, idx, "body", "");
    r->remote_ip = field_str(L, a, idx, "remote_ip", "127.0.0.1");
    r->loopback = str_starts(r->remote_ip, STR("127.")) || str_is(r->remote_ip, "::1");
    r->start_ns = now_mono_ns();
    read_headers(L, a, idx, r);
    char id[37];
    struct crypto_source *former = host_enter(h->host);
    crypto_uuid7(clock_ms(&h->clock), id);
    struct str given = http_header(r, "x-request-id");
    r->request_id = given.n ? given : arena_str(a, str_c(id));
    crypto_random(id, 16);
    host_leave(former);
    char *trace = arena_alloc(a, 33);
    crypto_hex_to(trace, (const uint8_t *)id, 16);
    r->trace_id = str_n(trace, 32);
    return r;
}

static void push_headers(lua_State *L, struct str head) {
    lua_newtable(L);
    while (head.n) {
        struct str line = str_cut(&head, '\n');
        struct str name = str_cut(&line, ':');
        if (!name.n) continue;
        luaL_Buffer b;
        luaL_buffinit(L, &b);
        for (size_t i = 0; i < name.n; i++)
            luaL_addchar(&b, name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
        luaL_pushresult(&b);
        line = str_trim(line);
        lua_pushlstring(L, line.p ? line.p : "", line.n);
        lua_rawset(L, -3);
    }
}

/* A file body is read whole, as a client would. */
static int read_file_body(struct http_response *res, struct err *e) {
    if (res->file < 0) return 0;
    struct buf *b = &res->body;
    b->max = BODY_MAX;
    buf_clear(b);
    if (res->file_len > BODY_MAX) return err_set(e, ERR_TOO_LARGE, "the body is larger than %u bytes", BODY_MAX);
    buf_reserve(b, res->file_len);
    ssize_t n = pread(res->file, b->p, res->file_len, (off_t)res->file_off);
    if (n < 0 || (uint64_t)n != res->file_len) return err_set(e, ERR_IO, "cannot read the body's file");
    b->n = (size_t)n;
    return 0;
}

struct http_request *host_lua_request(lua_State *L, int idx) {
    return read_request(L, luaL_checkudata(L, 1, HANDLE), idx);
}

int host_lua_push_response(lua_State *L) {
    struct handle *h = luaL_checkudata(L, 1, HANDLE);
    struct err e = {0};
    if (read_file_body(&h->res, &e)) return fail(L, &e);
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, h->res.status);
    lua_setfield(L, -2, "status");
    push_headers(L, buf_view(&h->res.head));
    lua_setfield(L, -2, "headers");
    struct str body = buf_view(&h->res.body);
    lua_pushlstring(L, body.p ? body.p : "", body.n);
    lua_setfield(L, -2, "body");
    return 1;
}

static int request_on(lua_State *L, bool cloud) {
    struct handle *h = check(L);
    struct http_request *r = read_request(L, h, 2);
    struct err e = {0};
    if (perigee_request(h->host, cloud, r, &h->res, &e)) return fail(L, &e);
    return host_lua_push_response(L);
}

static int host_request(lua_State *L) {
    return request_on(L, false);
}

static int host_cloud(lua_State *L) {
    return request_on(L, true);
}

/* The answers that there are, by index, at the top; each response is freed. */
static void push_answers(lua_State *L, struct handle *h, struct http_response *list, const bool *answered, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        http_response_free(&h->res);
        h->res = list[i]; /* taken over: freed with the handle whatever happens below */
        http_response_init(&list[i], 0);
        if (!answered[i]) continue;
        host_lua_push_response(L);
        lua_settop(L, 4);
        lua_rawseti(L, 3, (lua_Integer)i + 1);
    }
}

/* Stack: the handle, the list of requests. */
static int host_requests(lua_State *L) {
    struct handle *h = check(L);
    struct err e = {0};
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    size_t n = (size_t)luaL_len(L, 2);
    struct http_request **list = ARENA_ARRAY(&h->arena, struct http_request *, n + 1);
    struct http_response *answers = ARENA_ARRAY(&h->arena, struct http_response, n + 1);
    bool *answered = ARENA_ARRAY(&h->arena, bool, n + 1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        list[i] = read_request(L, h, 3);
        lua_settop(L, 2);
        http_response_init(&answers[i], 0);
        answered[i] = false;
    }
    int rc = perigee_requests(h->host, list, n, answers, answered, &e);
    push_answers(L, h, answers, answered, n);
    if (!rc) return 1;
    fail(L, &e);
    lua_pushvalue(L, 3);
    lua_replace(L, -3); /* instead of fail's nil */
    return 2;
}

/* -- the rest ----------------------------------------------------------------------------------------------------- */

static int host_drain(lua_State *L) {
    struct handle *h = check(L);
    struct err e = {0};
    lua_Integer otherwise = h->host->simulation.on ? 3600000 : 10000;
    return outcome(L, perigee_drain(h->host, luaL_optinteger(L, 2, otherwise), &e), &e);
}

static int host_run_schedule(lua_State *L) {
    struct handle *h = check(L);
    struct err e = {0};
    return outcome(L, perigee_run_schedule(h->host, luaL_checkstring(L, 2), &e), &e);
}

void host_lua_read_call(lua_State *L, struct aws_call **slot) {
    struct err e = {0};
    enum aws_service service;
    enum aws_op op;
    size_t n = 0;
    struct str action = str_c(luaL_checkstring(L, 3));
    const char *body = luaL_optlstring(L, 5, NULL, &n);
    if (aws_service_find(str_c(luaL_checkstring(L, 2)), &service, &e)) luaL_argerror(L, 2, e.msg);
    if (service < AWS_ENGINE_SERVICES && aws_op_find(service, action, &op, &e)) luaL_argerror(L, 3, e.msg);
    luaL_checktype(L, 4, LUA_TTABLE);
    struct aws_call *call = *slot = aws_call_named(service, action);
    if (script_to_json(L, 4, &call->arena, &call->params, &e)) luaL_argerror(L, 4, e.msg);
    if (body) call->body = arena_str(&call->arena, str_n(body, n));
}

int host_lua_push_call(lua_State *L, const struct aws_call *call) {
    struct err e = call->err;
    if (e.code || script_check_json(&call->result, &e)) return fail(L, &e);
    script_push_json(L, &call->result);
    if (call->result_body.p) {
        lua_pushlstring(L, call->result_body.p, call->result_body.n);
        lua_setfield(L, -2, "Body");
    }
    return 1;
}

static int host_aws(lua_State *L) {
    struct handle *h = check(L);
    host_lua_read_call(L, &h->call);
    struct worker *w = &h->host->workers[0];
    struct crypto_source *former = host_enter(h->host);
    aws_call_wait(cloud_backend(&w->conn), w->loop, h->call);
    host_leave(former);
    return host_lua_push_call(L, h->call);
}

static int host_mailbox(lua_State *L) {
    struct handle *h = check(L);
    struct err e = {0};
    struct json mails = json_make_obj();
    if (!h->host->cloud.local) return luaL_error(L, "mailbox is the embedded engine's");
    if (local_mailbox(h->host->workers[0].conn.local, &h->arena, &mails, &e)) return fail(L, &e);
    script_push_json(L, json_get(&mails, "Messages"));
    return 1;
}

static int host_reload(lua_State *L) {
    struct handle *h = check(L);
    struct err e = {0};
    const char *version = NULL;
    if (perigee_reload(h->host, &version, &e)) return fail(L, &e);
    lua_pushstring(L, version);
    return 1;
}

static int host_fault(lua_State *L) {
    static const char *const names[] = {"step", "commit", "file", NULL};
    struct handle *h = check(L);
    int f = luaL_checkoption(L, 2, NULL, names);
    if (!h->host->cloud.local) return luaL_error(L, "fault is the embedded engine's");
    local_fault(h->host->cloud.local, (enum local_fault)f, luaL_checkinteger(L, 3));
    return 0;
}

static const luaL_Reg methods[] = {
    {"request", host_request},
    {"cloud", host_cloud},
    {"requests", host_requests},
    {"drain", host_drain},
    {"run_schedule", host_run_schedule},
    {"aws", host_aws},
    {"mailbox", host_mailbox},
    {"reload", host_reload},
    {"fault", host_fault},
    {"close", host_close},
    {"__gc", host_close},
    {"__close", host_close},
    {"event", host_lua_event},
    {"answer", host_lua_answer},
    {"schedule", host_lua_schedule},
    {"environment", host_lua_environment},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {{"open", host_open},
                                     {"inspect", inspect},
                                     {"check", check_all},
                                     {"manifest", manifest},
                                     {"machines", machines},
                                     {"try_port", try_port},
                                     {"try_data", try_data},
                                     {"segments", host_lua_segments},
                                     {NULL, NULL}};

static void open_cache(lua_State *L) {
    struct perigee_cache **c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = perigee_cache_new();
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, cache_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, CACHE);
}

int host_lua_open(lua_State *L) {
    open_cache(L);
    luaL_newmetatable(L, HANDLE);
    luaL_setfuncs(L, methods, 0);
    host_simulate_methods(L);
    host_probe_methods(L);
    host_replay_methods(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}

const struct script_module host_lua_modules[] = {
    {"perigee.host", host_lua_open}, {"perigee.connection", host_connect_open}, {NULL, NULL}};
