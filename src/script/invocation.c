/* invocation: the AWS document of a request, and what AWS says of the invocation that a job is part of. */
#include "script/request.h"

/* A document from elsewhere: it may hold numbers that Lua has not. */
static void push_document(lua_State *L, const struct json *v, const char *what) {
    struct err e;
    if (script_check_json(v, &e)) luaL_error(L, "%s: %s", what, e.msg);
    script_push_json(L, v);
}

void invocation_push_event(lua_State *L, struct job *j) {
    struct json made;
    struct err e;
    if (j->in.document)
        push_document(L, j->in.document, "request.event");
    else if (!j->in.make_document)
        lua_pushnil(L);
    else if (j->in.make_document(j->in.make_ud, &j->in, &j->arena, &made, &e))
        luaL_error(L, "request.event: %s", e.msg);
    else
        script_push_json(L, &made);
}

static void push_optional(lua_State *L, struct str s) {
    if (s.n)
        request_push_str(L, s);
    else
        lua_pushnil(L);
}

/* A JSON text, or nothing. */
static bool parse_header(lua_State *L, struct job *j, struct str text, const char *what, struct json *ret) {
    struct err e;
    if (!text.n) return false;
    if (json_parse(&j->arena, text, &(struct json_limits){.duplicate_keys = true}, ret, &e))
        luaL_error(L, "%s is not JSON: %s", what, e.msg);
    return true;
}

static void push_client_context(lua_State *L, struct job *j, struct str text) {
    struct json v;
    if (parse_header(L, j, text, "context.client_context", &v))
        push_document(L, &v, "context.client_context");
    else
        lua_pushnil(L);
}

static void push_identity(lua_State *L, struct job *j, struct str text) {
    struct json v;
    if (!parse_header(L, j, text, "context.identity", &v)) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 2);
    push_optional(L, json_get_s(&v, "cognitoIdentityId"));
    lua_setfield(L, -2, "cognito_identity_id");
    push_optional(L, json_get_s(&v, "cognitoIdentityPoolId"));
    lua_setfield(L, -2, "cognito_identity_pool_id");
}

static int64_t deadline(lua_State *L, const struct job *j, const struct script_invocation *i) {
    return i->deadline_unix_ms ? i->deadline_unix_ms : clock_ms(j->s->c.clock) + script_remaining_ms(L);
}

void invocation_push_field(lua_State *L, struct job *j, enum field f) {
    static const struct script_invocation none;
    const struct script_invocation *i = j->in.invocation ? j->in.invocation : &none;
    switch (f) {
    case F_AWS_REQUEST_ID:
        request_push_str(L, j->in.aws_request_id.n ? j->in.aws_request_id : j->in.request_id);
        break;
    case F_INVOKED_FUNCTION_ARN:
        push_optional(L, i->arn);
        break;
    case F_FUNCTION_VERSION:
        request_push_str(L, i->function_version.n ? i->function_version : STR("$LATEST"));
        break;
    case F_MEMORY_LIMIT_IN_MB:
        lua_pushinteger(L, (lua_Integer)(j->unit->fn.memory_bytes >> 20));
        break;
    case F_LOG_GROUP_NAME:
        push_optional(L, i->log_group);
        break;
    case F_LOG_STREAM_NAME:
        push_optional(L, i->log_stream);
        break;
    case F_TENANT_ID:
        push_optional(L, i->tenant_id);
        break;
    case F_XRAY_TRACE_ID:
        push_optional(L, i->xray);
        break;
    case F_CLIENT_CONTEXT:
        push_client_context(L, j, i->client_context);
        break;
    case F_IDENTITY:
        push_identity(L, j, i->identity);
        break;
    default:
        lua_pushinteger(L, deadline(L, j, i));
    }
}

void invocation_keep(struct job *j) {
    struct arena *a = &j->arena;
    if (j->in.invocation) {
        struct script_invocation *i = ARENA_NEW(a, struct script_invocation);
        *i = *j->in.invocation;
        struct str *const all[] = {&i->arn,       &i->client_context, &i->identity, &i->tenant_id,
                                   &i->log_group, &i->log_stream,     &i->xray,     &i->function_version};
        for (size_t n = 0; n < sizeof all / sizeof *all; n++) *all[n] = arena_str(a, *all[n]);
        j->in.invocation = i;
    }
    if (!j->in.document || j->in.kind != SCRIPT_HTTP) return;
    struct json *d = ARENA_NEW(a, struct json);
    *d = json_copy(a, j->in.document);
    j->in.document = d;
}
