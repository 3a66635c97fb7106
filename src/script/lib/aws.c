/* perigee.aws.core: AWS calls from Lua. lua/perigee/aws.lua makes the friendly API of it. */
#include "script/lib/lib.h"
#include <ctype.h>
#include <string.h>

#define CALL "perigee.aws.call"

/* A call on the stack of whoever waits for it. */
struct call_box {
    struct script_wait wait;
    struct aws_call *call; /* NULL once it was handed back */
    bool document;         /* DynamoDB items as plain Lua values */
};

static void call_done(struct aws_call *c, void *ud) {
    struct call_box *box = ud;
    (void)c;
    script_wake(&box->wait);
}

static void call_cancel(void *ud) {
    struct call_box *box = ud;
    struct aws_call *c = box->call;
    box->call = NULL;
    if (c) aws_cancel(c);
}

static int call_gc(lua_State *L) {
    struct call_box *box = lua_touserdata(L, 1);
    script_wait_forget(&box->wait);
    call_cancel(box);
    return 0;
}

/* ==== parameters ==== */

static struct str own(struct arena *a, struct str s) {
    return s.n ? arena_str(a, s) : STR_NONE;
}

/* The context must outlive the call, which may outlive its job. The policy is looked at only while starting. */
static void set_context(lua_State *L, struct aws_call *c) {
    struct aws_context x = script_aws_context(L);
    x.request_id = own(&c->arena, x.request_id);
    x.correlation_id = own(&c->arena, x.correlation_id);
    x.trace_id = own(&c->arena, x.trace_id);
    x.function = own(&c->arena, x.function);
    c->context = x;
}

static void set_body(lua_State *L, int idx, struct aws_call *c) {
    size_t n;
    if (lua_isnil(L, idx)) return;
    if (lua_type(L, idx) != LUA_TSTRING) luaL_error(L, "Body must be a string");
    const char *p = lua_tolstring(L, idx, &n);
    c->body = n ? arena_str(&c->arena, str_n(p, n)) : STR("");
}

/* The members of the table at idx; Body of an S3 call goes beside the parameters. */
static int set_params(lua_State *L, int idx, struct aws_call *c, struct err *e) {
    bool s3 = c->row->service == AWS_S3;
    c->params = json_make_obj();
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        struct json v;
        if (lua_type(L, -2) != LUA_TSTRING) return err_set(e, ERR_VALIDATION, "the parameters are named: Name = value");
        const char *key = lua_tostring(L, -2);
        if (s3 && strcmp(key, "Body") == 0) {
            set_body(L, lua_gettop(L), c);
            continue;
        }
        if (script_to_json(L, lua_gettop(L), &c->arena, &v, e)) return err_wrap(e, "%s", key);
        struct str name = arena_str(&c->arena, str_c(key));
        json_set_str(&c->arena, &c->params, name, v);
    }
    return 0;
}

static void prepare(lua_State *L, int params, struct call_box *box) {
    struct aws_call *c = box->call;
    struct err e = {0};
    int rc = 0;
    if (lua_isnil(L, params)) {
        c->params = json_make_obj();
    } else {
        luaL_checktype(L, params, LUA_TTABLE);
        rc = box->document ? attribute_request(L, params, &c->arena, &c->params, &e) : set_params(L, params, c, &e);
    }
    if (rc) luaL_error(L, "%s: %s", c->row->action, e.msg);
}

/* ==== results ==== */

static void set_error_members(lua_State *L, const struct call_box *box) { /* error table at the top */
    if (!box->document || box->call->result.type != JSON_OBJ) return;
    attribute_push_result(L, &box->call->result);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

static int push_failure(lua_State *L, const struct call_box *box) {
    const struct aws_call *c = box->call;
    const struct aws_op_row *row = c->row;
    int n = script_push_err(L, &c->err, aws_service_name(row->service), row->action, c->request_id,
                            box->document ? NULL : &c->result);
    set_error_members(L, box);
    return n;
}

static int push_success(lua_State *L, const struct call_box *box) {
    const struct aws_call *c = box->call;
    if (box->document)
        attribute_push_result(L, &c->result);
    else
        script_push_json(L, &c->result);
    if (c->result_body.p || c->op == AWS_S3_GetObject) {
        lib_push_str(L, c->result_body);
        lua_setfield(L, -2, "Body");
    }
    return 1;
}

static int call_finish(lua_State *L, int status, lua_KContext ctx) {
    struct call_box *box = (struct call_box *)ctx;
    (void)status;
    bool failed = box->call->err.code != ERR_NONE;
    if (failed) metric_add(script_config(script_of(L))->metrics, METRIC_AWS_ERRORS, 1);
    int n = failed ? push_failure(L, box) : push_success(L, box);
    aws_call_free(box->call);
    box->call = NULL;
    return n;
}

/* ==== starting ==== */

static struct aws_backend *backend(lua_State *L) {
    struct aws_backend *b = script_config(script_of(L))->backend;
    if (!b) luaL_error(L, "there is no AWS backend here");
    return b;
}

/* Parameters at `params` (a table or nil), body at `body` (a string or nil); both stay below on the stack. */
static int run(lua_State *L, enum aws_op op, bool document, int params, int body) {
    const struct aws_op_row *row = aws_op_row(op);
    const struct script_config *config = script_config(script_of(L));
    struct aws_backend *b = backend(L);
    script_check_wait(L, row->action);
    struct call_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct call_box){.document = document};
    luaL_setmetatable(L, CALL);
    box->call = aws_call_new(op);
    box->call->done = call_done;
    box->call->ud = box;
    prepare(L, params, box);
    if (body) set_body(L, body, box->call);
    set_context(L, box->call);
    metric_add(config->metrics, METRIC_AWS_CALLS, 1);
    if (aws_start(b, config->loop, box->call) == AWS_DONE) return call_finish(L, LUA_OK, (lua_KContext)box);
    return script_wait(L, &box->wait, call_cancel, box, call_finish);
}

static bool is_document_op(enum aws_op op) {
    switch (op) {
    case AWS_DYNAMODB_PutItem:
    case AWS_DYNAMODB_GetItem:
    case AWS_DYNAMODB_UpdateItem:
    case AWS_DYNAMODB_DeleteItem:
    case AWS_DYNAMODB_Query:
    case AWS_DYNAMODB_Scan:
    case AWS_DYNAMODB_BatchGetItem:
    case AWS_DYNAMODB_BatchWriteItem:
    case AWS_DYNAMODB_TransactWriteItems:
    case AWS_DYNAMODB_TransactGetItems:
        return true;
    default:
        return false;
    }
}

/* service:operation(params): upvalue 1 is the operation, upvalue 2 the service. */
static int method(lua_State *L) {
    enum aws_op op = (enum aws_op)lua_tointeger(L, lua_upvalueindex(1));
    const struct aws_op_row *row = aws_op_row(op);
    if (!lua_rawequal(L, 1, lua_upvalueindex(2)))
        return luaL_error(L, "%s is called with a colon: aws.%s:...", row->action, aws_service_name(row->service));
    if (lua_gettop(L) > 2) return luaL_error(L, "%s takes one table of parameters", row->action);
    lua_settop(L, 2);
    return run(L, op, is_document_op(op), 2, 0);
}

/* call(service, Action, params[, body]): the shapes of AWS's JSON protocols, attribute values as {S=..}. */
static int call(lua_State *L) {
    enum aws_service service;
    enum aws_op op;
    struct err e = {0};
    if (aws_service_find(lib_check_str(L, 1), &service, &e)) return lib_raise(L, &e);
    if (aws_op_find(service, lib_check_str(L, 2), &op, &e)) return lib_raise(L, &e);
    lua_settop(L, 4);
    return run(L, op, false, 3, 4);
}

/* ==== tables of operations ==== */

/* "PutItem" -> "put_item", "ListObjectsV2" -> "list_objects_v2". */
static void snake(const char *action, char out[64]) {
    size_t n = 0;
    for (const char *p = action; *p && n < 60; p++) {
        if (isupper((unsigned char)*p) && p != action) out[n++] = '_';
        out[n++] = (char)tolower((unsigned char)*p);
    }
    out[n] = 0;
}

/* services() -> {dynamodb = {put_item = fn, ...}, ...} */
static int services(lua_State *L) {
    lua_newtable(L);
    for (int s = 0; s < AWS_ENGINE_SERVICES; s++) {
        lua_newtable(L);
        lua_setfield(L, -2, aws_service_name((enum aws_service)s));
    }
    for (int op = 0; op < AWS_OPS; op++) {
        const struct aws_op_row *row = aws_op_row((enum aws_op)op);
        char name[64];
        snake(row->action, name);
        lua_getfield(L, -1, aws_service_name(row->service));
        lua_pushinteger(L, op);
        lua_pushvalue(L, -2);
        lua_pushcclosure(L, method, 2);
        lua_setfield(L, -2, name);
        lua_pop(L, 1);
    }
    return 1;
}

/* ==== presigned links ==== */

/* A link can do no more than who signed it. */
static int check_permission(lua_State *L, struct lib_scratch *s, struct str method_name, struct str bucket,
                            struct str key, struct err *e) {
    struct aws_context x = script_aws_context(L);
    const char *action = str_is(method_name, "PUT") ? "s3:PutObject" : "s3:GetObject";
    const struct aws_identity *id = &backend(L)->id;
    struct str arn =
        arena_printf(&s->arena, "arn:%.*s:s3:::%.*s/%.*s", STR_ARG(id->partition), STR_ARG(bucket), STR_ARG(key));
    if (!x.policy || x.policy->allow_all || policy_allows(x.policy, str_c(action), arn)) return 0;
    return err_set(e, ERR_ACCESS_DENIED, "function %.*s is not allowed to perform %s on %.*s", STR_ARG(x.function),
                   action, STR_ARG(arn));
}

/* presign(method, bucket, key, expires_s) -> url, expires_ms | nil, err */
static int presign(lua_State *L) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", NULL};
    struct str verb = str_c(methods[luaL_checkoption(L, 1, "GET", methods)]);
    struct str bucket = lib_check_str(L, 2), key = lib_check_str(L, 3), url;
    lua_Integer expires = luaL_checkinteger(L, 4);
    struct aws_backend *b = backend(L);
    int64_t expires_ms;
    struct err e = {0};
    luaL_argcheck(L, expires >= 1 && expires <= 604800, 4, "ExpiresIn must be from 1 to 604800 seconds (7 days)");
    luaL_argcheck(L, bucket.n && key.n, bucket.n ? 3 : 2, "must not be empty");
    struct lib_scratch *s = lib_scratch(L);
    if (check_permission(L, s, verb, bucket, key, &e) ||
        b->ops->presign(b, &(struct aws_presign){verb, bucket, key, expires, script_host_hint(L)}, &s->arena, &url,
                        &expires_ms, &e))
        return script_push_err(L, &e, "s3", "PresignedUrl", NULL, NULL);
    lib_push_str(L, url);
    lua_pushinteger(L, expires_ms);
    lib_scratch_clear(s);
    return 2;
}

/* identity() -> {region, account, partition}: what ARNs are made of. */
static int identity(lua_State *L) {
    const struct aws_identity *id = &backend(L)->id;
    lua_createtable(L, 0, 3);
    lib_push_str(L, id->region);
    lua_setfield(L, -2, "region");
    lib_push_str(L, id->account);
    lua_setfield(L, -2, "account");
    lib_push_str(L, id->partition);
    lua_setfield(L, -2, "partition");
    return 1;
}

int script_open_aws(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"call", call}, {"services", services}, {"presign", presign}, {"identity", identity}, {NULL, NULL}};
    if (luaL_newmetatable(L, CALL)) {
        lua_pushcfunction(L, call_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    attribute_open(L);
    lib_scratch_new(L, 64 << 10);
    luaL_setfuncs(L, functions, 1);
    return 1;
}
