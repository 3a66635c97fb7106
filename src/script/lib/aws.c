/* perigee.aws.core: AWS calls from Lua. lua/perigee/aws.lua makes the friendly API of it. */
#include "script/lib/lib.h"
#include <ctype.h>
#include <string.h>

#define CALL "perigee.aws.call"

/* A call on the stack of whoever waits for it. */
struct call_box {
    struct script_wait wait;
    struct aws_call *call;         /* NULL once it was handed back */
    bool document;                 /* DynamoDB items as plain Lua values */
    struct str body_file, to_file; /* paths in the call's arena */
    struct aws_sink sink;
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
    aws_file_close(&box->sink);
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

/* Members of S3 calls that are no parameters: Body, BodyFile, ToFile, the value at the top. */
static bool take_bytes(lua_State *L, const char *key, struct call_box *box) {
    struct aws_call *c = box->call;
    bool from = strcmp(key, "BodyFile") == 0, to = strcmp(key, "ToFile") == 0;
    if (strcmp(key, "Body") == 0) {
        set_body(L, lua_gettop(L), c);
        return true;
    }
    if (!from && !to) return false;
    if (c->op != (from ? AWS_S3_PutObject : AWS_S3_GetObject))
        luaL_error(L, "%s has no parameter %s", c->row->action, key);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "%s must be a path", key);
    *(from ? &box->body_file : &box->to_file) = arena_str(&c->arena, lib_check_str(L, -1));
    return true;
}

/* The members of the table at idx. */
static int set_params(lua_State *L, int idx, struct call_box *box, struct err *e) {
    struct aws_call *c = box->call;
    bool s3 = c->row->service == AWS_S3;
    c->params = json_make_obj();
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        struct json v;
        if (lua_type(L, -2) != LUA_TSTRING) return err_set(e, ERR_VALIDATION, "the parameters are named: Name = value");
        const char *key = lua_tostring(L, -2);
        if (s3 && take_bytes(L, key, box)) continue;
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
        rc = box->document ? attribute_request(L, params, &c->arena, &c->params, &e) : set_params(L, params, box, &e);
    }
    if (rc) luaL_error(L, "%s: %s", c->row->action, e.msg);
}

static int open_files(lua_State *L, struct call_box *box, struct err *e) {
    if (box->body_file.p && aws_file_body(L, box->body_file, box->call, e)) return -1;
    return box->to_file.p ? aws_file_sink(L, box->to_file, box->call, &box->sink, e) : 0;
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

/* What a remote call has gone through. */
static void set_history(lua_State *L, const struct aws_call *c) { /* error table at the top */
    if (!c->attempts) return;
    lua_pushinteger(L, c->attempts);
    lua_setfield(L, -2, "attempts");
    lua_pushinteger(L, (lua_Integer)c->waited_ms);
    lua_setfield(L, -2, "waited_ms");
    if (!c->extended_id.n) return;
    lib_push_str(L, c->extended_id);
    lua_setfield(L, -2, "extended_id");
}

static int push_failure(lua_State *L, const struct call_box *box) {
    const struct aws_call *c = box->call;
    int n = script_push_err(L, &c->err, aws_service_name(c->row->service), c->row->action,
                            c->request_id[0] ? c->request_id : NULL, box->document ? NULL : &c->result);
    set_error_members(L, box);
    set_history(L, c);
    return n;
}

static int push_success(lua_State *L, const struct call_box *box) {
    const struct aws_call *c = box->call;
    if (box->document)
        attribute_push_result(L, &c->result);
    else
        script_push_json(L, &c->result);
    if (c->result_fd < 0 && (c->result_body.p || c->op == AWS_S3_GetObject)) {
        lib_push_str(L, c->result_body);
        lua_setfield(L, -2, "Body");
    }
    return 1;
}

static int push_outcome(lua_State *L) {
    struct call_box *box = lua_touserdata(L, 1);
    return box->call->err.code ? push_failure(L, box) : push_success(L, box);
}

/* A service may answer with what has no Lua value (1e999, {"N":{}}): an error of the call then. The engine does not. */
static int push_checked(lua_State *L, struct call_box *box) {
    struct aws_call *c = box->call;
    int base = lua_gettop(L);
    lua_pushcfunction(L, push_outcome);
    lua_pushlightuserdata(L, box);
    int rc = lua_pcall(L, 1, LUA_MULTRET, 0);
    if (rc == LUA_OK) return lua_gettop(L) - base;
    if (rc != LUA_ERRRUN) return lua_error(L);
    const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "not a string";
    err_set(&c->err, ERR_BAD_ANSWER, "the answer to %s cannot be read: %.300s", c->row->action, why);
    c->result = json_make_obj();
    lua_settop(L, base);
    return push_failure(L, box);
}

static int push_end(lua_State *L, struct call_box *box) {
    if (box->call->attempts) return push_checked(L, box);
    return box->call->err.code ? push_failure(L, box) : push_success(L, box);
}

static int call_finish(lua_State *L, int status, lua_KContext ctx) {
    struct call_box *box = (struct call_box *)ctx;
    struct aws_call *c = box->call;
    (void)status;
    if (!c->err.code && box->sink.open) aws_file_keep(&box->sink, &c->err);
    if (c->err.code) metric_add(script_config(script_of(L))->metrics, METRIC_AWS_ERRORS, 1);
    int n = push_end(L, box);
    aws_file_close(&box->sink);
    aws_call_free(c);
    box->call = NULL;
    return n;
}

/* ==== starting ==== */

struct aws_backend *aws_backend_of(lua_State *L) {
    struct aws_backend *b = script_config(script_of(L))->backend;
    if (!b) luaL_error(L, "there is no AWS backend here");
    return b;
}

/* Parameters at `params` (a table or nil), body at `body` (a string or nil); both stay below on the stack. */
static int run(lua_State *L, enum aws_op op, const struct aws_op_row *row, bool document, int params, int body) {
    const struct script_config *config = script_config(script_of(L));
    struct aws_backend *b = aws_backend_of(L);
    script_check_wait(L, row->action);
    struct call_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct call_box){.document = document};
    luaL_setmetatable(L, CALL);
    box->call = op == AWS_OTHER ? aws_call_named(row->service, str_c(row->action)) : aws_call_new(op);
    box->call->done = call_done;
    box->call->ud = box;
    prepare(L, params, box);
    if (body) set_body(L, body, box->call);
    if (box->body_file.p && box->call->body.p)
        return luaL_error(L, "%s: there are both Body and BodyFile", row->action);
    set_context(L, box->call);
    metric_add(config->metrics, METRIC_AWS_CALLS, 1);
    if (open_files(L, box, &box->call->err) || aws_start(b, config->loop, box->call) == AWS_DONE)
        return call_finish(L, LUA_OK, (lua_KContext)box);
    return script_wait(L, &box->wait, call_cancel, box, call_finish);
}

/* service:operation(params): upvalue 1 is the operation, upvalue 2 the service. */
static int method(lua_State *L) {
    enum aws_op op = (enum aws_op)lua_tointeger(L, lua_upvalueindex(1));
    const struct aws_op_row *row = aws_op_row(op);
    if (!lua_rawequal(L, 1, lua_upvalueindex(2)))
        return luaL_error(L, "%s is called with a colon: aws.%s:...", row->action, aws_service_name(row->service));
    if (lua_gettop(L) > 2) return luaL_error(L, "%s takes one table of parameters", row->action);
    lua_settop(L, 2);
    return run(L, op, row, aws_op_has_items(op), 2, 0);
}

/* It goes into a header or a form. */
static bool is_action(struct str name) {
    for (size_t i = 0; i < name.n; i++)
        if (!isalnum((unsigned char)name.p[i])) return false;
    return name.n > 0 && name.n <= 100;
}

/* call(service, Action, params[, body]): the shapes of AWS's JSON protocols, attribute values as {S=..}. */
static int call(lua_State *L) {
    enum aws_service service;
    enum aws_op op = AWS_OTHER;
    struct err e = {0};
    struct str action = lib_check_str(L, 2);
    if (aws_service_find(lib_check_str(L, 1), &service, &e)) return lib_raise(L, &e);
    luaL_argcheck(L, is_action(action), 2, "the name of an operation expected (PutItem)");
    lua_settop(L, 4);
    if (!aws_op_find(service, action, &op, NULL)) return run(L, op, aws_op_row(op), false, 3, 4);
    struct aws_op_row other = {service, action.p, 0};
    return run(L, AWS_OTHER, &other, false, 3, 4);
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

/* services() -> {dynamodb = {put_item = fn, ...}, ..., kms = {}, ...}: of those that the engine does not have no
 * operation is known. */
static int services(lua_State *L) {
    lua_newtable(L);
    for (int s = 0; s < AWS_SERVICES; s++) {
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

/* ==== what is known of the backend and the job ==== */

/* identity() -> {region, account, partition}: what ARNs are made of. */
static int identity(lua_State *L) {
    const struct aws_identity *id = &aws_backend_of(L)->id;
    lua_createtable(L, 0, 3);
    lib_push_str(L, id->region);
    lua_setfield(L, -2, "region");
    lib_push_str(L, id->account);
    lua_setfield(L, -2, "account");
    lib_push_str(L, id->partition);
    lua_setfield(L, -2, "partition");
    return 1;
}

/* describe() -> settings in effect, counters, last error. Not for handlers: it names directories and endpoints. */
static int describe(lua_State *L) {
    struct aws_backend *b = aws_backend_of(L);
    struct json about;
    if (!script_config(script_of(L))->trusted)
        return luaL_error(L, "aws.describe is there in perigee run and perigee test only");
    struct lib_scratch *s = lib_scratch(L);
    b->ops->describe(b, &s->arena, &about);
    script_push_json(L, &about);
    return 1;
}

/* remaining() -> ms until the job's deadline, or math.maxinteger */
static int remaining(lua_State *L) {
    lua_pushinteger(L, script_remaining_ms(L));
    return 1;
}

/* failure(code, status, retryable, message, service, action) -> nil, err: what waiters give up with. */
static int failure(lua_State *L) {
    struct err e = {0};
    err_service(&e, luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2), lua_toboolean(L, 3), "%s",
                luaL_checkstring(L, 4));
    return script_push_err(L, &e, luaL_checkstring(L, 5), luaL_checkstring(L, 6), NULL, NULL);
}

int script_open_aws(lua_State *L) {
    static const luaL_Reg functions[] = {{"call", call},
                                         {"services", services},
                                         {"presign", aws_link},
                                         {"presign_post", aws_form},
                                         {"identity", identity},
                                         {"describe", describe},
                                         {"remaining", remaining},
                                         {"failure", failure},
                                         {NULL, NULL}};
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
