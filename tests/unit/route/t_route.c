/* t.route: a router over a hand-made app and the real script, with handlers from a directory; requests as tables. */
#include "base/now.h"
#include "route/route.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

struct pending_request {
    struct list node;
    struct rig *rig;
    struct arena arena;
    struct http_request req;
    struct route_ticket *ticket;
    int callback;
    bool starting, replied;
};

struct rig {
    lua_State *L;
    struct arena arena;
    struct loop *loop;
    struct script *script;
    struct route *route;
    struct app app;
    struct clock clock;
    struct metrics metrics;
    struct metrics *all[1];
    struct log log;
    int lines; /* reference of a table of log lines */
    struct list requests;
    void (*ready_done)(void *ud, const struct err *e);
    void *ready_ud;
    bool ready_later, not_ready;
    struct http_stream stream; /* keeps what it is given in a list: rig:parts() */
    int parts;
    size_t waiting;
};

static struct rig *rig_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.route");
}

// ---- the app, from tables ----

static struct str field(lua_State *L, struct rig *rig, const char *name) {
    size_t n;
    lua_getfield(L, -1, name);
    const char *p = lua_tolstring(L, -1, &n);
    struct str s = p ? arena_str(&rig->arena, str_n(p, n)) : STR_NONE;
    lua_pop(L, 1);
    return s;
}

static lua_Integer number(lua_State *L, const char *name, lua_Integer otherwise) {
    lua_getfield(L, -1, name);
    lua_Integer v = luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}

static void read_functions(lua_State *L, struct rig *rig) {
    lua_getfield(L, 1, "functions");
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    struct function *f = ARENA_ARRAY(&rig->arena, struct function, n + 1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        f[i] = (struct function){.name = field(L, rig, "name"),
                                 .code_dir = field(L, rig, "dir"),
                                 .module = field(L, rig, "module"),
                                 .field = field(L, rig, "field"),
                                 .timeout_ms = (uint32_t)number(L, "timeout_ms", 3000),
                                 .memory_bytes = 128 * 1024 * 1024,
                                 .policy = {.allow_all = true},
                                 .url = number(L, "url", 0) != 0,
                                 .index = i};
        rig->app.has_urls = rig->app.has_urls || f[i].url;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    rig->app.functions = f;
    rig->app.n_functions = n;
}

static const struct function *function_named(const struct rig *rig, struct str name) {
    for (size_t i = 0; i < rig->app.n_functions; i++)
        if (str_eq(rig->app.functions[i].name, name)) return &rig->app.functions[i];
    return NULL;
}

/* routes: {"GET /a", function name, line} */
static void read_routes(lua_State *L, struct rig *rig) {
    lua_pushvalue(L, 1);
    enum app_payload payload = (enum app_payload)number(L, "payload", APP_HTTP_V2);
    lua_pop(L, 1);
    lua_getfield(L, 1, "routes");
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    struct app_route *r = ARENA_ARRAY(&rig->arena, struct app_route, n + 1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        struct str path = arena_str(&rig->arena, str_c(lua_tostring(L, -1))), method = str_cut(&path, ' ');
        lua_rawgeti(L, -2, 2);
        r[i] = (struct app_route){.method = method,
                                  .path = path,
                                  .function = function_named(rig, str_c(luaL_optstring(L, -1, "F"))),
                                  .payload = payload,
                                  .line = (int)i + 10};
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
    rig->app.routes = r;
    rig->app.n_routes = n;
}

static void read_cors(lua_State *L, struct rig *rig) {
    struct app_cors *c = &rig->app.cors;
    c->max_age_s = -1;
    lua_getfield(L, 1, "cors");
    if (lua_istable(L, -1)) {
        struct str *origins = ARENA_ARRAY(&rig->arena, struct str, 1);
        origins[0] = field(L, rig, "origin");
        *c = (struct app_cors){.allow_origins = origins,
                               .n_origins = 1,
                               .allow_methods = field(L, rig, "methods"),
                               .allow_headers = field(L, rig, "headers"),
                               .expose_headers = field(L, rig, "expose"),
                               .max_age_s = number(L, "max_age", -1)};
        lua_getfield(L, -1, "credentials");
        c->allow_credentials = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

// ---- opening and closing ----

static void keep_line(void *ud, enum log_level level, struct str line) {
    struct rig *rig = ud;
    (void)level;
    lua_rawgeti(rig->L, LUA_REGISTRYINDEX, rig->lines);
    lua_pushlstring(rig->L, line.p, line.n);
    lua_rawseti(rig->L, -2, (lua_Integer)lua_rawlen(rig->L, -2) + 1);
    lua_pop(rig->L, 1);
}

static void ready(void *ud, void (*done)(void *ud, const struct err *e), void *done_ud) {
    struct rig *rig = ud;
    struct err e;
    err_set(&e, ERR_UNAVAILABLE, "the store is not writable");
    if (rig->ready_later) {
        rig->ready_done = done;
        rig->ready_ud = done_ud;
    } else
        done(done_ud, rig->not_ready ? &e : NULL);
}

static int l_close(lua_State *L) {
    struct rig *rig = rig_of(L);
    if (!rig->loop) return 0;
    if (rig->script) script_close(rig->script);
    route_close(rig->route);
    while (!list_empty(&rig->requests)) {
        struct pending_request *p = CONTAINER(list_pop(&rig->requests), struct pending_request, node);
        arena_free(&p->arena);
        free(p);
    }
    loop_close(rig->loop);
    rig->loop = NULL;
    arena_free(&rig->arena);
    return 0;
}

static int load(struct rig *rig, const char *root, struct err *e) {
    struct script_sources *sources;
    struct buf traceback = BUF_MAX(65536);
    struct script_config c = {.loop = rig->loop,
                              .clock = &rig->clock,
                              .log = &rig->log,
                              .metrics = &rig->metrics,
                              .root_dir = root,
                              .development = true};
    if (script_open(&c, &rig->script, e)) return -1;
    if (script_sources_read(rig->app.functions, rig->app.n_functions, NULL, root, &sources, e)) return -1;
    int rc = script_load(rig->script, sources, rig->app.functions, rig->app.n_functions, &traceback, e);
    script_sources_unref(sources);
    buf_free(&traceback);
    if (!rc) script_commit(rig->script, true);
    return rc;
}

static int open_all(lua_State *L, struct rig *rig, const char *root, struct err *e) {
    rig->all[0] = &rig->metrics;
    lua_getfield(L, 1, "production");
    lua_getfield(L, 1, "fail_http");
    struct route_config c = {.app = &rig->app,
                             .loop = rig->loop,
                             .log = &rig->log,
                             .metrics = &rig->metrics,
                             .all_metrics = rig->all,
                             .n_metrics = 1,
                             .development = !lua_toboolean(L, -2),
                             .fail_http = lua_toboolean(L, -1),
                             .ready = ready,
                             .ready_ud = rig};
    lua_pop(L, 2);
    if (rig->app.n_functions && load(rig, root, e)) return -1;
    c.script = rig->script;
    return route_open(&c, &rig->route, e);
}

/* open{root, functions, routes, cors, production} */
static int l_open(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    struct rig *rig = lua_newuserdatauv(L, sizeof *rig, 0);
    *rig = (struct rig){.L = L, .log = {.level = LOG_INFO, .sink = keep_line}};
    rig->log.ud = rig;
    list_init(&rig->requests);
    luaL_setmetatable(L, "t.route");
    lua_newtable(L);
    rig->lines = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    rig->parts = luaL_ref(L, LUA_REGISTRYINDEX);
    struct err e;
    if (loop_open(&rig->loop, &e)) return luaL_error(L, "%s", e.msg);
    rig->app.template_path = STR("template.yaml");
    lua_getfield(L, 1, "root");
    const char *root = luaL_optstring(L, -1, ".");
    read_functions(L, rig);
    read_routes(L, rig);
    read_cors(L, rig);
    if (!open_all(L, rig, root, &e)) {
        lua_settop(L, 2);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, e.msg);
    return 2;
}

// ---- streams ----

static void keep_part(struct rig *rig, struct str s) {
    lua_rawgeti(rig->L, LUA_REGISTRYINDEX, rig->parts);
    lua_pushlstring(rig->L, s.n ? s.p : "", s.n);
    lua_rawseti(rig->L, -2, (lua_Integer)lua_rawlen(rig->L, -2) + 1);
    lua_pop(rig->L, 1);
}

static void stream_begin(void *ud, struct http_response *head) {
    struct rig *rig = ud;
    char status[16];
    if (head->body.n) fatal("a head with a body");
    snprintf(status, sizeof status, "%d", head->status);
    keep_part(rig, str_c(status));
    keep_part(rig, buf_view(&head->head));
    http_response_free(head);
}

static size_t stream_write(void *ud, struct str bytes) {
    struct rig *rig = ud;
    keep_part(rig, bytes);
    return rig->waiting += bytes.n;
}

/* parts() -> { status, head, bytes, ... } */
static int l_parts(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rig_of(L)->parts);
    return 1;
}

/* What was written has been taken. */
static int l_drain(lua_State *L) {
    struct rig *rig = rig_of(L);
    rig->waiting = 0;
    rig->stream.drained(rig->stream.ud);
    return 0;
}

/* The options at idx say whether answers may be streamed. */
static struct http_stream *stream_for(lua_State *L, int idx) {
    static const struct http_stream_ops ops = {stream_begin, stream_write};
    struct rig *rig = rig_of(L);
    lua_getfield(L, idx, "stream");
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    rig->stream = (struct http_stream){.ops = &ops, .stream = rig};
    return on ? &rig->stream : NULL;
}

// ---- requests ----

static void push_headers(lua_State *L, struct str rest) {
    lua_newtable(L);
    while (rest.p && rest.n) {
        struct str value = str_cut(&rest, '\n'), name = str_cut(&value, ':');
        lua_pushlstring(L, name.p, name.n);
        value = str_trim(value);
        lua_pushlstring(L, value.p, value.n);
        lua_rawset(L, -3);
    }
}

static void on_reply(void *ud, struct http_response *res) {
    struct pending_request *p = ud;
    lua_State *L = p->rig->L;
    if (p->replied) fatal("a request was answered twice");
    p->replied = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->callback);
    luaL_unref(L, LUA_REGISTRYINDEX, p->callback);
    lua_newtable(L);
    lua_pushinteger(L, res->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, res->body.n ? res->body.p : "", res->body.n);
    lua_setfield(L, -2, "body");
    push_headers(L, buf_view(&res->head));
    lua_setfield(L, -2, "headers");
    lua_pushboolean(L, res->cut);
    lua_setfield(L, -2, "cut");
    http_response_free(res);
    arena_free(&p->arena); /* as a server may: nothing of the request is there any more */
    p->req = (struct http_request){0};
    if (lua_pcall(L, 1, 0, 0)) fatal("callback: %s", lua_tostring(L, -1));
}

static void read_headers(lua_State *L, struct pending_request *p) {
    lua_getfield(L, 3, "headers");
    if (lua_istable(L, -1)) {
        struct http_header *h = ARENA_ARRAY(&p->arena, struct http_header, 16);
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            h[p->req.n_headers].name = arena_str(&p->arena, str_c(lua_tostring(L, -2)));
            h[p->req.n_headers++].value = arena_str(&p->arena, str_c(lua_tostring(L, -1)));
        }
        p->req.headers = h;
    }
    lua_pop(L, 1);
}

/* rig:request("GET /path?query", {headers, body, remote}, callback) -> a handle when it is not answered yet */
static int l_request(lua_State *L) {
    struct rig *rig = rig_of(L);
    luaL_checktype(L, 3, LUA_TTABLE);
    struct pending_request *p = calloc(1, sizeof *p);
    if (!p) fatal("out of memory");
    list_add(&rig->requests, &p->node);
    p->rig = rig;
    size_t n;
    const char *line = luaL_checklstring(L, 2, &n);
    struct str target = arena_str(&p->arena, str_n(line, n)), method = str_cut(&target, ' '), query = target;
    struct str path = str_cut(&query, '?');
    p->req = (struct http_request){.method = method,
                                   .target = target,
                                   .path = path,
                                   .raw_query = query,
                                   .version = STR("HTTP/1.1"),
                                   .remote_ip = STR("127.0.0.1"),
                                   .request_id = arena_str(&p->arena, STR("request-1")),
                                   .trace_id = arena_str(&p->arena, STR("4bf92f3577b34da6a3ce929d0e0e4736")),
                                   .start_ns = now_mono_ns(),
                                   .arena = &p->arena,
                                   .stream = stream_for(L, 3)};
    lua_getfield(L, 3, "remote");
    p->req.loopback = !lua_toboolean(L, -1);
    lua_getfield(L, 3, "body");
    p->req.body = arena_str(&p->arena, str_c(luaL_optstring(L, -1, "")));
    lua_pop(L, 2);
    read_headers(L, p);
    lua_pushvalue(L, 4);
    p->callback = luaL_ref(L, LUA_REGISTRYINDEX);
    p->ticket = route_http(rig->route, &p->req, on_reply, p);
    if (!p->ticket) {
        if (!p->replied) fatal("no ticket and no reply");
        return 0;
    }
    lua_pushlightuserdata(L, p);
    return 1;
}

static int l_cancel(lua_State *L) {
    struct pending_request *p = lua_touserdata(L, 2);
    route_cancel(p->ticket);
    return 0;
}

static int l_turn(lua_State *L) {
    loop_once(rig_of(L)->loop, 10);
    return 0;
}

static int l_lines(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rig_of(L)->lines);
    return 1;
}

/* readiness("later" | "never" | "now"); rig:get_ready() ends a "later". */
static int l_readiness(lua_State *L) {
    struct rig *rig = rig_of(L);
    const char *how = luaL_checkstring(L, 2);
    rig->ready_later = !strcmp(how, "later");
    rig->not_ready = !strcmp(how, "never");
    return 0;
}

static int l_get_ready(lua_State *L) {
    struct rig *rig = rig_of(L);
    rig->ready_done(rig->ready_ud, NULL);
    return 0;
}

// ---- messages and events ----

struct work {
    struct rig *rig;
    int callback;
    struct arena arena;
    struct script_message m;
};

static void on_work(void *ud, const struct err *e) {
    struct work *w = ud;
    lua_State *L = w->rig->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, w->callback);
    luaL_unref(L, LUA_REGISTRYINDEX, w->callback);
    lua_pushstring(L, e ? err_name(e->code) : "done");
    lua_pushstring(L, e ? e->msg : "");
    if (lua_pcall(L, 2, 0, 0)) fatal("callback: %s", lua_tostring(L, -1));
    arena_free(&w->arena);
    free(w);
}

static struct work *work_new(lua_State *L, int callback) {
    struct work *w = calloc(1, sizeof *w);
    if (!w) fatal("out of memory");
    w->rig = rig_of(L);
    lua_pushvalue(L, callback);
    w->callback = luaL_ref(L, LUA_REGISTRYINDEX);
    return w;
}

/* rig:message(function, body, callback) */
static int l_message(lua_State *L) {
    const struct function *f = function_named(rig_of(L), str_c(luaL_checkstring(L, 2)));
    struct work *w = work_new(L, 4);
    w->m = (struct script_message){.id = STR("message-1"),
                                   .body = arena_str(&w->arena, str_c(luaL_checkstring(L, 3))),
                                   .queue = STR("Q"),
                                   .receive_count = 2,
                                   .attributes = json_make_obj()};
    route_message(rig_of(L)->route, f, &w->m, on_work, w);
    return 0;
}

/* rig:event(function, json, callback) */
static int l_event(lua_State *L) {
    const struct function *f = function_named(rig_of(L), str_c(luaL_checkstring(L, 2)));
    struct work *w = work_new(L, 4);
    struct json event;
    struct err e;
    struct str text = arena_str(&w->arena, str_c(luaL_checkstring(L, 3)));
    if (json_parse(&w->arena, text, NULL, &event, &e)) return luaL_error(L, "%s", e.msg);
    route_event(rig_of(L)->route, f, event, STR("event-1"), on_work, w);
    return 0;
}

// ---- invocations ----

#define LITERAL(text)                                                                                                  \
    { text, sizeof(text) - 1 }

struct invoked {
    struct rig *rig;
    int callback;
    struct arena arena;
    struct route_run *run;
    bool ended;
};

static void on_outcome(void *ud, struct route_outcome *o) {
    struct invoked *v = ud;
    lua_State *L = v->rig->L;
    if (v->ended) fatal("an invocation ended twice");
    v->ended = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, v->callback);
    luaL_unref(L, LUA_REGISTRYINDEX, v->callback);
    lua_newtable(L);
    if (o->err.code)
        lua_pushstring(L, o->err.msg);
    else
        lua_pushnil(L);
    lua_setfield(L, -2, "err");
    lua_pushlstring(L, o->error_type.p ? o->error_type.p : "", o->error_type.n);
    lua_setfield(L, -2, "error_type");
    lua_pushlstring(L, o->traceback.p ? o->traceback.p : "", o->traceback.n);
    lua_setfield(L, -2, "traceback");
    lua_pushlstring(L, o->body.n ? o->body.p : "", o->body.n);
    lua_setfield(L, -2, "body");
    lua_pushboolean(L, o->streamed);
    lua_setfield(L, -2, "streamed");
    lua_pushstring(L, event_kind_name(o->kind));
    lua_setfield(L, -2, "kind");
    buf_free(&o->body);
    if (lua_pcall(L, 1, 0, 0)) fatal("callback: %s", lua_tostring(L, -1));
}

static int l_invoked_gc(lua_State *L) {
    struct invoked *v = lua_touserdata(L, 1);
    arena_free(&v->arena);
    return 0;
}

/* rig:invoke(function, payload, {timeout_ms, answer_max, report}, callback) -> the invocation */
static int l_invoke(lua_State *L) {
    static const struct script_invocation of_lambda = {
        .arn = LITERAL("arn:aws:lambda:eu-central-1:123456789012:function:f"),
        .client_context = LITERAL("{\"custom\":{\"a\":\"1\"}}"),
        .identity = LITERAL("{\"cognitoIdentityId\":\"i\",\"cognitoIdentityPoolId\":\"p\"}"),
        .tenant_id = LITERAL("blue"),
        .function_version = LITERAL("7"),
        .log_group = LITERAL("/aws/lambda/f"),
        .log_stream = LITERAL("2026/11/22/[7]abc"),
        .xray = LITERAL("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
        .deadline_unix_ms = 1795000000000,
    };
    struct rig *rig = rig_of(L);
    size_t n;
    const char *payload = luaL_checklstring(L, 3, &n);
    const struct function *f = function_named(rig, str_c(luaL_checkstring(L, 2)));
    luaL_checktype(L, 4, LUA_TTABLE);
    struct invoked *v = lua_newuserdatauv(L, sizeof *v, 0);
    *v = (struct invoked){.rig = rig};
    luaL_setmetatable(L, "t.invoked");
    lua_pushvalue(L, 5);
    v->callback = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getfield(L, 4, "report");
    bool report = lua_toboolean(L, -1);
    lua_pushvalue(L, 4);
    struct route_invocation in = {.function = f,
                                  .request_id = STR("8f507cfc-xmpl-4697-b07a-ac58fc914c95"),
                                  .payload = arena_str(&v->arena, str_n(payload, n)),
                                  .arena = &v->arena,
                                  .timeout_ms = (uint32_t)number(L, "timeout_ms", 0),
                                  .answer_max = (size_t)number(L, "answer_max", 0),
                                  .report_failures = report,
                                  .stream = stream_for(L, 4),
                                  .invocation = &of_lambda};
    lua_pop(L, 2);
    v->run = route_invoke(rig->route, &in, on_outcome, v);
    if (!v->run != v->ended) fatal("an invocation neither runs nor has ended");
    return 1;
}

static int l_cancel_invocation(lua_State *L) {
    struct invoked *v = luaL_checkudata(L, 1, "t.invoked");
    if (v->ended) return luaL_error(L, "the invocation has ended");
    route_invoke_cancel(v->run);
    luaL_unref(L, LUA_REGISTRYINDEX, v->callback);
    return 0;
}

static int l_counter(lua_State *L) {
    struct rig *rig = rig_of(L);
    lua_pushinteger(L, (lua_Integer)rig->metrics.counter[METRIC_MESSAGES]);
    lua_pushinteger(L, (lua_Integer)rig->metrics.counter[METRIC_MESSAGE_FAILURES]);
    return 2;
}

static const luaL_Reg methods[] = {{"close", l_close},         {"__gc", l_close},          {"request", l_request},
                                   {"cancel", l_cancel},       {"turn", l_turn},           {"lines", l_lines},
                                   {"readiness", l_readiness}, {"get_ready", l_get_ready}, {"message", l_message},
                                   {"event", l_event},         {"messages", l_counter},    {"invoke", l_invoke},
                                   {"parts", l_parts},         {"drain", l_drain},         {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};

static int open_module(lua_State *L) {
    luaL_newmetatable(L, "t.invoked");
    lua_pushcfunction(L, l_invoked_gc);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    lua_pushcfunction(L, l_cancel_invocation);
    lua_setfield(L, -2, "cancel");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newmetatable(L, "t.route");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}

extern const luaL_Reg test_modules[];
int luaopen_t_event(lua_State *L);
const luaL_Reg test_modules[] = {{"t.event", luaopen_t_event}, {"t.route", open_module}, {NULL, NULL}};
