/* request: what a handler is called with. The objects are tables that compute their fields when they are first read,
 * from what the job has borrowed; they know their job by its serial number, so one that was kept for too long says so.
 */
#include "script/request.h"
#include "base/url.h"
#include <ctype.h>
#include <string.h>

/* Keys in the objects that programs do not see; their addresses count. */
static const char key_serial, key_json;

enum { REQUEST = 1, MESSAGE, CONTEXT, HEADERS, OBJECTS = HEADERS };

struct field_name {
    const char *name;
    enum field field;
};

void request_push_str(lua_State *L, struct str s) {
    lua_pushlstring(L, s.n ? s.p : "", s.n);
}

/* The job of the object at idx, which must be the one that runs. */
struct job *request_job(lua_State *L, int idx, const char *what) {
    struct job *j = script_of(L)->running;
    if (lua_type(L, idx) != LUA_TTABLE)
        luaL_error(L, "%s expected, got %s (is it called with ':'?)", what, luaL_typename(L, idx));
    lua_rawgetp(L, idx, &key_serial);
    bool own = j && lua_tointeger(L, -1) == j->serial;
    lua_pop(L, 1);
    if (!own) luaL_error(L, "this %s is over: it belongs to a run that has ended", what);
    return j;
}

/* ==== parts of a request ==== */

static void push_lower(lua_State *L, struct str s) {
    luaL_Buffer b;
    char *p = luaL_buffinitsize(L, &b, s.n);
    for (size_t i = 0; i < s.n; i++) p[i] = (char)tolower((unsigned char)s.p[i]);
    luaL_pushresultsize(&b, s.n);
}

/* headers[name] in any case */
static int headers_index(lua_State *L) {
    size_t n;
    if (lua_type(L, 2) != LUA_TSTRING) return 0;
    const char *p = lua_tolstring(L, 2, &n);
    push_lower(L, str_n(p, n));
    lua_rawget(L, 1);
    return 1;
}

/* RFC 9110 5.3; cookies as RFC 9113 8.2.3 joins them. */
static void push_separator(lua_State *L, struct str name) {
    lua_pushstring(L, str_ieq(name, STR("cookie")) ? "; " : ", ");
}

static void push_headers(lua_State *L, const struct http_request *r) {
    lua_createtable(L, 0, (int)r->n_headers);
    for (size_t i = 0; i < r->n_headers; i++) {
        push_lower(L, r->headers[i].name);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TNIL) {
            lua_pop(L, 1);
            request_push_str(L, r->headers[i].value);
        } else {
            push_separator(L, r->headers[i].name);
            request_push_str(L, r->headers[i].value);
            lua_concat(L, 3);
        }
        lua_rawset(L, -3);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, script_of(L)->objects_ref);
    lua_rawgeti(L, -1, HEADERS);
    lua_remove(L, -2);
    lua_setmetatable(L, -2);
}

/* Bad escapes stay as they were written, as API Gateway leaves them. */
static struct str decode(struct arena *a, struct str raw) {
    struct str s;
    if (!memchr(raw.n ? raw.p : "", '%', raw.n) && !memchr(raw.n ? raw.p : "", '+', raw.n)) return raw;
    return url_decode(a, raw, true, &s, NULL) ? raw : s;
}

static void add_to_list(lua_State *L, int lists, struct str name, struct str value) {
    request_push_str(L, name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, lists) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, lists);
    }
    request_push_str(L, value);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
}

static void push_query(lua_State *L, struct job *j, bool all) {
    struct str rest = j->in.http->raw_query;
    lua_newtable(L);
    int t = lua_gettop(L);
    while (rest.p && rest.n) {
        struct str value = str_cut(&rest, '&'), name;
        if (!value.n) continue;
        name = decode(&j->arena, str_cut(&value, '='));
        value = value.p ? decode(&j->arena, value) : STR("");
        if (all) {
            add_to_list(L, t, name, value);
        } else {
            request_push_str(L, name);
            request_push_str(L, value);
            lua_rawset(L, t);
        }
    }
}

static void push_params(lua_State *L, struct job *j) {
    lua_createtable(L, 0, (int)j->in.n_params);
    for (size_t i = 0; i < j->in.n_params; i++) {
        request_push_str(L, j->in.params[i].name);
        request_push_str(L, j->in.params[i].value);
        lua_rawset(L, -3);
    }
}

/* -- json()
 * ------------------------------------------------------------------------------------------------------------- */

static int not_json(lua_State *L, const struct err *e) {
    script_push_err(L, e, NULL, NULL, NULL, NULL);
    lua_pushliteral(L, "not_json");
    lua_setfield(L, -2, "code");
    return 2;
}

static int push_body_json(lua_State *L, struct str body) {
    struct job *j = script_of(L)->running;
    struct err e;
    struct json v;
    lua_settop(L, 1);
    if (lua_rawgetp(L, 1, &key_json) != LUA_TNIL) return 1;
    if (!body.n) {
        err_set(&e, ERR_SYNTAX, "the body is empty, JSON was expected");
        return not_json(L, &e);
    }
    if (json_parse(&j->arena, body, NULL, &v, &e) || script_check_json(&v, &e)) return not_json(L, &e);
    script_push_json(L, &v);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, 1, &key_json);
    return 1;
}

static int request_json(lua_State *L) {
    struct job *j = request_job(L, 1, "request");
    return push_body_json(L, j->in.http->body);
}

static int message_json(lua_State *L) {
    struct job *j = request_job(L, 1, "message");
    return push_body_json(L, j->in.message->body);
}

/* ==== context ==== */

static int context_remaining(lua_State *L) {
    request_job(L, 1, "context");
    lua_pushinteger(L, script_remaining_ms(L));
    return 1;
}

static int context_after(lua_State *L) {
    struct job *j = request_job(L, 1, "context");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (j->in_after) return luaL_error(L, "context:after is not possible after the reply was sent");
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->s->after_ref);
    if (lua_rawgeti(L, -1, j->slot) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 2, 0);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, j->slot);
        j->has_after = true;
    }
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

static void push_log(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, script_of(L)->clibs_ref);
    lua_getfield(L, -1, "perigee.log");
    lua_remove(L, -2);
}

/* ==== fields ==== */

static void push_http_field(lua_State *L, struct job *j, enum field f) {
    const struct http_request *r = j->in.http;
    switch (f) {
    case F_METHOD:
        request_push_str(L, r->method);
        break;
    case F_PATH:
        request_push_str(L, j->in.path.p ? j->in.path : r->path);
        break;
    case F_PATH_PARAMS:
        push_params(L, j);
        break;
    case F_QUERY:
    case F_QUERY_ALL:
        push_query(L, j, f == F_QUERY_ALL);
        break;
    case F_HEADERS:
        push_headers(L, r);
        break;
    case F_SOURCE_IP:
        request_push_str(L, r->remote_ip);
        break;
    case F_HOST:
        request_push_str(L, http_header(r, "Host"));
        break;
    default:
        request_push_str(L, r->body);
    }
}

static void push_message_field(lua_State *L, struct job *j, enum field f) {
    const struct script_message *m = j->in.message;
    switch (f) {
    case F_ID:
        request_push_str(L, m->id);
        break;
    case F_QUEUE:
        request_push_str(L, m->queue);
        break;
    case F_RECEIVE_COUNT:
        lua_pushinteger(L, m->receive_count);
        break;
    case F_SENT_AT:
        lua_pushinteger(L, m->sent_ms);
        break;
    case F_ATTRIBUTES:
        if (m->attributes.type == JSON_OBJ)
            script_push_json(L, &m->attributes);
        else
            lua_newtable(L);
        break;
    default:
        request_push_str(L, m->body);
    }
}

static void push_field(lua_State *L, struct job *j, enum field f, int kind) {
    switch (f) {
    case F_REQUEST_ID:
        request_push_str(L, j->in.request_id);
        break;
    case F_TRACE_ID:
        request_push_str(L, j->in.trace_id);
        break;
    case F_CORRELATION_ID:
        request_push_str(L, j->in.kind == SCRIPT_MESSAGE ? j->in.message->correlation_id : STR_NONE);
        break;
    case F_FUNCTION_NAME:
        request_push_str(L, j->unit->fn.name);
        break;
    case F_LOG:
        push_log(L);
        break;
    case F_REMAINING:
        lua_pushcfunction(L, context_remaining);
        break;
    case F_AFTER:
        lua_pushcfunction(L, context_after);
        break;
    case F_JSON:
        lua_pushcfunction(L, kind == REQUEST ? request_json : message_json);
        break;
    case F_EVENT:
        invocation_push_event(L, j);
        break;
    default:
        if (kind == CONTEXT)
            invocation_push_field(L, j, f);
        else if (kind == REQUEST)
            push_http_field(L, j, f);
        else
            push_message_field(L, j, f);
    }
}

/* upvalues: field numbers by name; kind */
static int object_index(lua_State *L) {
    static const char *const names[] = {NULL, "request", "message", "context"};
    int kind = (int)lua_tointeger(L, lua_upvalueindex(2));
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNUMBER) return 0;
    enum field f = (enum field)lua_tointeger(L, 3);
    push_field(L, request_job(L, 1, names[kind]), f, kind);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

static void make_object(lua_State *L, int kind, const struct field_name *fields) {
    lua_createtable(L, 0, 2);
    lua_newtable(L);
    for (; fields->name; fields++) {
        lua_pushinteger(L, fields->field);
        lua_setfield(L, -2, fields->name);
    }
    lua_pushinteger(L, kind);
    lua_pushcclosure(L, object_index, 2);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_rawseti(L, -2, kind);
}

void request_open(lua_State *L, struct script *s) {
    static const struct field_name request[] = {
        {"method", F_METHOD},
        {"path", F_PATH},
        {"path_params", F_PATH_PARAMS},
        {"query", F_QUERY},
        {"query_all", F_QUERY_ALL},
        {"headers", F_HEADERS},
        {"body", F_BODY},
        {"request_id", F_REQUEST_ID},
        {"trace_id", F_TRACE_ID},
        {"host", F_HOST},
        {"source_ip", F_SOURCE_IP},
        {"event", F_EVENT},
        {"json", F_JSON},
        {NULL, F_NONE},
    };
    static const struct field_name message[] = {
        {"id", F_ID},           {"body", F_BODY},
        {"queue", F_QUEUE},     {"receive_count", F_RECEIVE_COUNT},
        {"sent_at", F_SENT_AT}, {"attributes", F_ATTRIBUTES},
        {"json", F_JSON},       {NULL, F_NONE},
    };
    static const struct field_name context[] = {
        {"request_id", F_REQUEST_ID},
        {"trace_id", F_TRACE_ID},
        {"correlation_id", F_CORRELATION_ID},
        {"function_name", F_FUNCTION_NAME},
        {"log", F_LOG},
        {"remaining", F_REMAINING},
        {"after", F_AFTER},
        {"aws_request_id", F_AWS_REQUEST_ID},
        {"invoked_function_arn", F_INVOKED_FUNCTION_ARN},
        {"function_version", F_FUNCTION_VERSION},
        {"memory_limit_in_mb", F_MEMORY_LIMIT_IN_MB},
        {"log_group_name", F_LOG_GROUP_NAME},
        {"log_stream_name", F_LOG_STREAM_NAME},
        {"tenant_id", F_TENANT_ID},
        {"xray_trace_id", F_XRAY_TRACE_ID},
        {"client_context", F_CLIENT_CONTEXT},
        {"identity", F_IDENTITY},
        {"deadline_ms", F_DEADLINE_MS},
        {NULL, F_NONE},
    };
    lua_createtable(L, OBJECTS, 0);
    make_object(L, REQUEST, request);
    make_object(L, MESSAGE, message);
    make_object(L, CONTEXT, context);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, headers_index);
    lua_setfield(L, -2, "__index");
    lua_rawseti(L, -2, HEADERS);
    s->objects_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* ==== what a handler is called with ==== */

static void push_object(lua_State *L, struct job *j, int objects, int kind) {
    lua_createtable(L, 0, kind == CONTEXT ? 8 : 4); /* most fields that get used */
    lua_pushinteger(L, j->serial);
    lua_rawsetp(L, -2, &key_serial);
    lua_rawgeti(L, objects, kind);
    lua_setmetatable(L, -2);
}

int request_push(lua_State *L, struct job *j) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, j->s->objects_ref);
    int objects = lua_gettop(L);
    if (j->in.kind == SCRIPT_EVENT)
        script_push_json(L, &j->in.event);
    else
        push_object(L, j, objects, j->in.kind == SCRIPT_HTTP ? REQUEST : MESSAGE);
    push_object(L, j, objects, CONTEXT);
    lua_remove(L, objects);
    return 2;
}

static void keep_http(struct job *j) {
    struct arena *a = &j->arena;
    const struct http_request *from = j->in.http;
    struct http_request *r = ARENA_NEW(a, struct http_request);
    *r = *from;
    r->method = arena_str(a, from->method);
    r->path = arena_str(a, from->path);
    r->raw_query = arena_str(a, from->raw_query);
    r->body = arena_str(a, from->body);
    r->remote_ip = arena_str(a, from->remote_ip);
    r->target = arena_str(a, from->target);
    r->version = arena_str(a, from->version);
    r->request_id = arena_str(a, from->request_id);
    r->trace_id = arena_str(a, from->trace_id);
    r->stream = NULL;
    struct http_header *h = ARENA_ARRAY(a, struct http_header, from->n_headers);
    for (size_t i = 0; i < from->n_headers; i++)
        h[i] = (struct http_header){arena_str(a, from->headers[i].name), arena_str(a, from->headers[i].value)};
    r->headers = h;
    r->arena = a;
    struct script_param *p = ARENA_ARRAY(a, struct script_param, j->in.n_params);
    for (size_t i = 0; i < j->in.n_params; i++)
        p[i] = (struct script_param){arena_str(a, j->in.params[i].name), arena_str(a, j->in.params[i].value)};
    j->in.params = p;
    j->in.path = arena_str(a, j->in.path);
    j->in.http = r;
}

static void keep_message(struct job *j) {
    struct arena *a = &j->arena;
    struct script_message *m = ARENA_NEW(a, struct script_message);
    *m = *j->in.message;
    m->id = arena_str(a, m->id);
    m->body = arena_str(a, m->body);
    m->queue = arena_str(a, m->queue);
    m->attributes = json_copy(a, &m->attributes);
    m->correlation_id = arena_str(a, m->correlation_id);
    j->in.message = m;
}

void request_keep(struct job *j) {
    j->in.request_id = arena_str(&j->arena, j->in.request_id);
    j->in.trace_id = arena_str(&j->arena, j->in.trace_id);
    j->in.aws_request_id = arena_str(&j->arena, j->in.aws_request_id);
    invocation_keep(j);
    if (j->in.kind == SCRIPT_HTTP) keep_http(j);
    if (j->in.kind == SCRIPT_MESSAGE) keep_message(j);
}
