/* t.event: AWS event documents as pure functions; documents are JSON texts. */
#include "route/route.h"
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_event(lua_State *L);

static struct arena *new_arena(lua_State *L) {
    struct arena *a = lua_newuserdatauv(L, sizeof *a, 0);
    *a = (struct arena){0};
    luaL_setmetatable(L, "t.event.arena");
    return a;
}

static int free_arena(lua_State *L) {
    arena_free(lua_touserdata(L, 1));
    return 0;
}

static struct str text_at(lua_State *L, int idx) {
    size_t n;
    const char *p = luaL_checklstring(L, idx, &n);
    return str_n(p, n);
}

static struct json document(lua_State *L, int idx, struct arena *a) {
    struct json d;
    struct err e;
    if (json_parse(a, arena_str(a, text_at(L, idx)), NULL, &d, &e)) luaL_error(L, "%s", e.msg);
    return d;
}

static enum event_kind kind_at(lua_State *L, int idx) {
    for (int k = 0; k < EVENT_KINDS; k++)
        if (str_is(text_at(L, idx), event_kind_name((enum event_kind)k))) return (enum event_kind)k;
    return (enum event_kind)luaL_argerror(L, idx, "no kind of event");
}

static int push_error(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, e->msg);
    return 2;
}

static void set_text(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

/* field of the table at idx, or "" */
static struct str get_text(lua_State *L, int idx, const char *name, struct arena *a) {
    lua_getfield(L, idx, name);
    size_t n;
    const char *p = luaL_optlstring(L, -1, "", &n);
    struct str s = arena_str(a, str_n(p, n));
    lua_pop(L, 1);
    return s;
}

static int push_json(lua_State *L, const struct json *d) {
    struct buf b = BUF_MAX(1 << 24);
    json_write(&b, d);
    lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return 1;
}

// ---- lists of pairs: {{"name", "value"}, ...} ----

static size_t count(lua_State *L, int idx, const char *name) {
    lua_getfield(L, idx, name);
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    if (!n) lua_pop(L, 1);
    return n;
}

static void pair_at(lua_State *L, size_t i, struct arena *a, struct str *ret_name, struct str *ret_value) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    *ret_name = arena_str(a, text_at(L, -2));
    *ret_value = arena_str(a, text_at(L, -1));
    lua_pop(L, 3);
}

static void push_pair(lua_State *L, size_t i, struct str name, struct str value) {
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, name.p, name.n);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, value.p ? value.p : "", value.n);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
}

// ---- functions ----

static int l_kind(lua_State *L) {
    struct arena *a = new_arena(L);
    struct json d = document(L, 1, a);
    lua_pushstring(L, event_kind_name(event_kind_of(&d)));
    return 1;
}

static void push_request(lua_State *L, const struct event_http *h) {
    const struct http_request *q = &h->request;
    lua_newtable(L);
    set_text(L, "kind", str_c(event_kind_name(h->kind)));
    set_text(L, "method", q->method);
    set_text(L, "raw_path", q->path);
    set_text(L, "target", q->target);
    set_text(L, "raw_query", q->raw_query);
    set_text(L, "body", q->body);
    set_text(L, "source_ip", q->remote_ip);
    if (h->path.p) set_text(L, "path", h->path);
    lua_pushboolean(L, h->params_known);
    lua_setfield(L, -2, "params_known");
    lua_pushboolean(L, q->loopback);
    lua_setfield(L, -2, "loopback");
    lua_newtable(L);
    for (size_t i = 0; i < q->n_headers; i++) push_pair(L, i, q->headers[i].name, q->headers[i].value);
    lua_setfield(L, -2, "headers");
    lua_newtable(L);
    for (size_t i = 0; i < h->n_params; i++) {
        lua_pushlstring(L, h->params[i].name.p, h->params[i].name.n);
        lua_pushlstring(L, h->params[i].value.p, h->params[i].value.n);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "params");
}

/* read(document) -> request; nil, why */
static int l_read(lua_State *L) {
    struct arena *a = new_arena(L);
    struct json d = document(L, 1, a);
    struct event_http h;
    struct err e;
    if (event_read_http(a, &d, &h, &e)) return push_error(L, &e);
    push_request(L, &h);
    return 1;
}

static void read_response(lua_State *L, int idx, struct arena *a, struct http_response *res) {
    struct err e;
    lua_getfield(L, idx, "status");
    http_response_init(res, (int)luaL_optinteger(L, -1, 200));
    lua_pop(L, 1);
    size_t n = count(L, idx, "headers");
    for (size_t i = 0; i < n; i++) {
        struct str name, value;
        pair_at(L, i, a, &name, &value);
        if (http_set(res, name, value, &e)) luaL_error(L, "%s", e.msg);
    }
    if (n) lua_pop(L, 1);
    buf_str(&res->body, get_text(L, idx, "body", a));
}

/* write(kind, {status, headers, body}, {multi_value, max}) -> document; nil, why */
static int l_write(lua_State *L) {
    lua_settop(L, 3);
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    struct arena *a = new_arena(L);
    struct event_http in = {.kind = kind_at(L, 1)};
    lua_getfield(L, 3, "multi_value");
    in.multi_value = lua_toboolean(L, -1);
    lua_getfield(L, 3, "max");
    size_t max = (size_t)luaL_optinteger(L, -1, 6 << 20);
    struct http_response res;
    struct buf b = {0};
    struct err e;
    read_response(L, 2, a, &res);
    int rc = event_write_answer(&b, &in, &res, max, &e);
    http_response_free(&res);
    if (rc) return push_error(L, &e);
    lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return 1;
}

/* answer(kind, document) -> {status, headers, body} */
static int l_answer(lua_State *L) {
    struct arena *a = new_arena(L);
    struct json d = document(L, 2, a);
    struct http_response res;
    event_read_answer(a, kind_at(L, 1), &d, &res);
    lua_newtable(L);
    lua_pushinteger(L, res.status);
    lua_setfield(L, -2, "status");
    set_text(L, "body", buf_view(&res.body));
    lua_newtable(L);
    struct str rest = buf_view(&res.head);
    for (size_t i = 0; rest.p && rest.n; i++) {
        struct str value = str_cut(&rest, '\n'), name = str_cut(&value, ':');
        push_pair(L, i, name, str_trim(value));
    }
    lua_setfield(L, -2, "headers");
    http_response_free(&res);
    return 1;
}

static void read_request(lua_State *L, int idx, struct arena *a, struct http_request *q) {
    *q = (struct http_request){.method = get_text(L, idx, "method", a),
                               .path = get_text(L, idx, "path", a),
                               .raw_query = get_text(L, idx, "query", a),
                               .version = STR("HTTP/1.1"),
                               .body = get_text(L, idx, "body", a),
                               .remote_ip = get_text(L, idx, "source_ip", a),
                               .request_id = STR("request-1"),
                               .arena = a};
    q->n_headers = count(L, idx, "headers");
    struct http_header *h = ARENA_ARRAY(a, struct http_header, q->n_headers + 1);
    for (size_t i = 0; i < q->n_headers; i++) pair_at(L, i, a, &h[i].name, &h[i].value);
    if (q->n_headers) lua_pop(L, 1);
    q->headers = h;
}

static void read_route(lua_State *L, int idx, struct arena *a, struct event_route *r) {
    *r = (struct event_route){.pattern = get_text(L, idx, "pattern", a),
                              .region = STR("eu-central-1"),
                              .account = STR("123456789012"),
                              .partition = STR("aws"),
                              .stage = get_text(L, idx, "stage", a),
                              .api_id = STR("1234567890"),
                              .unix_ms = 1583348638390};
    lua_getfield(L, idx, "multi_value");
    r->multi_value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    r->n_params = count(L, idx, "params");
    struct script_param *p = ARENA_ARRAY(a, struct script_param, r->n_params + 1);
    for (size_t i = 0; i < r->n_params; i++) pair_at(L, i, a, &p[i].name, &p[i].value);
    if (r->n_params) lua_pop(L, 1);
    r->params = p;
}

/* make(kind, {method, path, query, headers, body, source_ip}, {pattern, params, stage, multi_value}) -> document */
static int l_make(lua_State *L) {
    struct arena *a = new_arena(L);
    struct http_request q;
    struct event_route r;
    struct json d;
    struct err e;
    read_request(L, 2, a, &q);
    read_route(L, 3, a, &r);
    if (event_make_http(a, kind_at(L, 1), &q, &r, &d, &e)) return push_error(L, &e);
    return push_json(L, &d);
}

static void push_message(lua_State *L, const struct event_messages *list, size_t i) {
    const struct script_message *m = &list->messages[i];
    lua_newtable(L);
    set_text(L, "id", m->id);
    set_text(L, "body", m->body);
    set_text(L, "queue", m->queue);
    set_text(L, "correlation_id", m->correlation_id);
    lua_pushinteger(L, m->receive_count);
    lua_setfield(L, -2, "receive_count");
    lua_pushinteger(L, m->sent_ms);
    lua_setfield(L, -2, "sent_ms");
    push_json(L, &m->attributes);
    lua_setfield(L, -2, "attributes");
    if (list->groups) set_text(L, "group", list->groups[i]);
}

/* sqs(document) -> messages; nil, why */
static int l_sqs(lua_State *L) {
    struct arena *a = new_arena(L);
    struct json d = document(L, 1, a);
    struct event_messages list;
    struct err e;
    if (event_read_sqs(a, &d, &list, &e)) return push_error(L, &e);
    lua_newtable(L);
    for (size_t i = 0; i < list.n; i++) {
        push_message(L, &list, i);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

int luaopen_t_event(lua_State *L) {
    static const luaL_Reg functions[] = {{"kind", l_kind}, {"read", l_read}, {"write", l_write}, {"answer", l_answer},
                                         {"make", l_make}, {"sqs", l_sqs},   {NULL, NULL}};
    luaL_newmetatable(L, "t.event.arena");
    lua_pushcfunction(L, free_arena);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, functions);
    return 1;
}
