/* t.aws: t.start(service, action, params_json, {{"allow" | "deny", action, resource}, ...}) -> true | nil, code,
 * message; t.arns(service, action, params_json) -> {arn, ...} | nil, message; t.find(service, action) -> true | nil,
 * code, message; t.queue_name(url); t.address(text) */
#include "aws/aws.h"
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_shapes(lua_State *L);

static struct str arg(lua_State *L, int i) {
    struct str s;
    s.p = luaL_checklstring(L, i, &s.n);
    return s;
}

static int failed(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, err_name(e->code));
    lua_pushstring(L, e->msg);
    return 3;
}

static int find(lua_State *L) {
    enum aws_service s;
    enum aws_op op;
    struct err e = {0};
    if (aws_service_find(arg(L, 1), &s, &e) || aws_op_find(s, arg(L, 2), &op, &e)) return failed(L, &e);
    lua_pushstring(L, aws_op_row(op)->action);
    return 1;
}

static int arns(lua_State *L) {
    struct aws_identity id = {STR("us-east-1"), STR("000000000000"), STR("aws")};
    struct str service = arg(L, 1), action = arg(L, 2), params = arg(L, 3), *list = NULL;
    enum aws_service s;
    enum aws_op op;
    size_t n = 0;
    struct err e = {0};
    if (aws_service_find(service, &s, &e) || aws_op_find(s, action, &op, &e)) return failed(L, &e);
    struct aws_call *c = aws_call_new(op);
    if (json_parse(&c->arena, params, NULL, &c->params, &e) || aws_call_arns(&id, &c->arena, c, &list, &n, &e)) {
        aws_call_free(c);
        return failed(L, &e);
    }
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(L, list[i].p, list[i].n);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    aws_call_free(c);
    return 1;
}

static enum aws_started start_nothing(struct aws_backend *b, struct aws_call *c) {
    (void)b, (void)c;
    return AWS_DONE;
}

static size_t read_policy(lua_State *L, int idx, struct arena *a, struct policy_statement **ret) {
    size_t n = (size_t)luaL_len(L, idx);
    *ret = ARENA_ARRAY(a, struct policy_statement, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct str *parts = ARENA_ARRAY(a, struct str, 3);
        lua_geti(L, idx, (lua_Integer)i + 1);
        for (int k = 0; k < 3; k++) {
            lua_geti(L, -1, k + 1);
            parts[k] = arena_str(a, arg(L, -1));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        (*ret)[i] = (struct policy_statement){str_is(parts[0], "deny"), &parts[1], 1, &parts[2], 1};
    }
    return n;
}

static int start(lua_State *L) {
    static const struct aws_backend_ops ops = {.start = start_nothing};
    struct aws_backend b = {&ops, {STR("us-east-1"), STR("000000000000"), STR("aws")}};
    struct policy_statement *statements = NULL;
    struct err e = {0};
    enum aws_service s;
    luaL_checktype(L, 4, LUA_TTABLE);
    if (aws_service_find(arg(L, 1), &s, &e)) return failed(L, &e);
    struct aws_call *c = aws_call_named(s, arg(L, 2));
    struct policy p = {.n = read_policy(L, 4, &c->arena, &statements)};
    p.statements = statements;
    c->context.policy = &p;
    c->context.function = STR("Fn");
    if (!json_parse(&c->arena, arg(L, 3), NULL, &c->params, &c->err)) aws_start(&b, NULL, c);
    e = c->err;
    aws_call_free(c);
    if (e.code) return failed(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static int queue_name(lua_State *L) {
    struct str s = aws_queue_name(arg(L, 1));
    lua_pushlstring(L, s.p, s.n);
    return 1;
}

static int address(lua_State *L) {
    struct str s = aws_bare_address(arg(L, 1));
    lua_pushlstring(L, s.p, s.n);
    return 1;
}

static const luaL_Reg functions[] = {{"find", find},       {"start", start}, {"arns", arns}, {"queue_name", queue_name},
                                     {"address", address}, {NULL, NULL}};

static int luaopen_t_aws(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}

const luaL_Reg test_modules[] = {{"t.aws", luaopen_t_aws}, {"t.shapes", luaopen_t_shapes}, {NULL, NULL}};
