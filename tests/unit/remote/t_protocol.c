/* t.protocol: calls to HTTP requests and answers to results, endpoints. Parameters and results travel as JSON text. */
#include "base/crypto.h"
#include "remote/endpoint.h"
#include "remote/wire_s3.h"
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_protocol(lua_State *L);

static struct str text_of(lua_State *L, int i) {
    size_t n;
    const char *p = lua_tolstring(L, i, &n);
    return p ? str_n(p, n) : STR_NONE;
}

/* Views of strings that the table at `arg` keeps alive. */
static struct str field(lua_State *L, int arg, const char *name) {
    lua_getfield(L, arg, name);
    struct str s = text_of(L, -1);
    lua_pop(L, 1);
    return s;
}

static bool flag(lua_State *L, int arg, const char *name) {
    lua_getfield(L, arg, name);
    bool b = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return b;
}

static int64_t number(lua_State *L, int arg, const char *name) {
    lua_getfield(L, arg, name);
    int64_t n = luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    return n;
}

static void put(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static void put_json(lua_State *L, const char *name, const struct json *v) {
    struct buf b = BUF_MAX(64 << 20);
    json_write(&b, v);
    put(L, name, buf_view(&b));
    buf_free(&b);
}

/* {service=, action=, region=, dualstack=, fips=, addressing=, endpoint=, request_checksum=, response_checksum=} */
static struct settings settings_of(lua_State *L, int arg, enum aws_service service) {
    struct settings s = {.region = field(L, arg, "region")};
    struct str addressing = field(L, arg, "addressing");
    if (!s.region.p) s.region = STR("us-east-1");
    s.dualstack = flag(L, arg, "dualstack");
    s.fips = flag(L, arg, "fips");
    if (str_is(addressing, "path")) s.s3_addressing = S3_ADDRESSING_PATH;
    if (str_is(addressing, "virtual")) s.s3_addressing = S3_ADDRESSING_VIRTUAL;
    if (str_is(field(L, arg, "request_checksum"), "when_required")) s.request_checksum = CHECKSUM_WHEN_REQUIRED;
    if (str_is(field(L, arg, "response_checksum"), "when_required")) s.response_checksum = CHECKSUM_WHEN_REQUIRED;
    s.endpoints[service].url = field(L, arg, "endpoint");
    s.endpoints[service].source = "AWS_ENDPOINT_URL";
    return s;
}

static enum aws_service service_of(lua_State *L, int arg) {
    enum aws_service service = AWS_S3;
    struct err e = {0};
    if (aws_service_find(field(L, arg, "service"), &service, &e)) luaL_error(L, "%s", e.msg);
    return service;
}

static struct aws_call *call_of(lua_State *L, int arg, enum aws_service service) {
    struct aws_call *c = aws_call_named(service, field(L, arg, "action"));
    struct str params = field(L, arg, "params"), file = field(L, arg, "file");
    struct err e = {0};
    if (params.p && json_parse(&c->arena, params, NULL, &c->params, &e)) {
        aws_call_free(c);
        luaL_error(L, "%s", e.msg);
    }
    c->body = field(L, arg, "body");
    if (file.p) {
        c->body_fd = open(file.p, O_RDONLY | O_CLOEXEC);
        c->body_len = (uint64_t)number(L, arg, "file_len");
    }
    return c;
}

static void push_error(lua_State *L, const struct err *e) {
    lua_newtable(L);
    put(L, "code", str_c(err_name(e->code)));
    put(L, "name", str_c(err_name_of(e)));
    put(L, "message", str_c(e->msg));
    lua_pushboolean(L, e->name[0]);
    lua_setfield(L, -2, "of_service");
    lua_pushinteger(L, err_status_of(e));
    lua_setfield(L, -2, "status");
    lua_pushboolean(L, err_retryable_of(e));
    lua_setfield(L, -2, "retryable");
}

static void push_request(lua_State *L, const struct wire_request *r, const struct aws_call *c) {
    lua_newtable(L);
    put(L, "method", r->method);
    put(L, "path", r->path);
    put(L, "query", r->raw_query);
    put(L, "bucket", r->bucket);
    put(L, "body", r->body);
    put(L, "sha256", r->body_sha256);
    put_json(L, "params", &c->params);
    lua_pushboolean(L, r->has_body_file);
    lua_setfield(L, -2, "has_body_file");
    lua_pushboolean(L, r->trailing_crc32);
    lua_setfield(L, -2, "trailing_crc32");
    lua_newtable(L);
    for (size_t i = 0; i < r->n_headers; i++) put(L, r->headers[i].name.p, r->headers[i].value);
    lua_setfield(L, -2, "headers");
}

static int l_encode(lua_State *L) {
    enum aws_service service = service_of(L, 1);
    struct settings s = settings_of(L, 1, service);
    struct aws_call *c = call_of(L, 1, service);
    struct wire_request r;
    struct err e = {0};
    lua_settop(L, 1);
    if (protocol_encode(&s, c, &c->arena, &r, &e)) {
        lua_pushnil(L);
        push_error(L, &e);
    } else {
        push_request(L, &r, c);
    }
    aws_call_free(c);
    return lua_gettop(L) - 1;
}

/* headers: {name = value} */
static void read_headers(lua_State *L, int arg, struct arena *a, struct wire_response *r) {
    struct http_header *h = ARENA_ARRAY(a, struct http_header, 64);
    lua_getfield(L, arg, "headers");
    for (lua_pushnil(L); lua_istable(L, -2) && lua_next(L, -2) && r->n_headers < 64; lua_pop(L, 1))
        h[r->n_headers++] = (struct http_header){text_of(L, -2), text_of(L, -1)};
    lua_settop(L, arg);
    r->headers = h;
}

static struct wire_response response_of(lua_State *L, int arg, struct arena *a) {
    struct wire_response r = {.status = (int)number(L, arg, "status"), .body = field(L, arg, "answer")};
    r.streamed = flag(L, arg, "streamed");
    r.streamed_crc32 = (uint32_t)number(L, arg, "streamed_crc32");
    r.streamed_len = (uint64_t)number(L, arg, "streamed_len");
    read_headers(L, arg, a, &r);
    return r;
}

/* The answer is in memory of its own, so that reading beyond its end is seen. */
static int l_decode(lua_State *L) {
    enum aws_service service = service_of(L, 1);
    struct settings s = settings_of(L, 1, service);
    struct aws_call *c = call_of(L, 1, service);
    struct arena a = {0};
    lua_settop(L, 1);
    struct wire_response r = response_of(L, 1, &a);
    char *copy = malloc(r.body.n ? r.body.n : 1);
    memcpy(copy, r.body.n ? r.body.p : "", r.body.n);
    r.body.p = copy;
    int rc = protocol_decode(&s, c, &r);
    free(copy);
    arena_free(&a);
    lua_newtable(L);
    put_json(L, "result", &c->result);
    if (c->result_body.p) put(L, "body", c->result_body);
    put(L, "request_id", str_c(c->request_id));
    put(L, "extended_id", c->extended_id);
    if (rc || c->err.code) {
        push_error(L, &c->err);
        lua_setfield(L, -2, "err");
    }
    bool consistent = (rc == -1) == (c->err.code != ERR_NONE);
    aws_call_free(c);
    return consistent ? 1 : luaL_error(L, "the code returned and the call's error differ");
}

static int l_redirect_region(lua_State *L) {
    struct arena a = {0};
    struct wire_response r = response_of(L, 1, &a);
    struct str region = protocol_redirect_region(&r, &a);
    lua_pushlstring(L, region.p ? region.p : "", region.n);
    arena_free(&a);
    return 1;
}

static int l_endpoint(lua_State *L) {
    enum aws_service service = service_of(L, 1);
    struct settings s = settings_of(L, 1, service);
    struct str bucket = field(L, 1, "bucket"), region = field(L, 1, "other_region");
    struct arena a = {0};
    struct endpoint ep;
    struct err e = {0};
    if (flag(L, 1, "no_region")) s.region = STR_NONE;
    lua_settop(L, 1);
    if (endpoint_resolve(&s, service, bucket, region, &a, &ep, &e)) {
        lua_pushnil(L);
        push_error(L, &e);
    } else {
        lua_newtable(L);
        put(L, "base", ep.base);
        put(L, "host", ep.host);
        put(L, "path", ep.path);
        put(L, "region", ep.region);
        put(L, "signing", str_c(ep.signing));
        lua_pushboolean(L, ep.tls);
        lua_setfield(L, -2, "tls");
    }
    arena_free(&a);
    return lua_gettop(L) - 1;
}

static int l_partition(lua_State *L) {
    lua_pushstring(L, endpoint_partition(text_of(L, 1)));
    lua_pushboolean(L, endpoint_region_ok(text_of(L, 1)));
    return 2;
}

static int push_and_free(lua_State *L, struct arena *a, struct str s) {
    lua_pushlstring(L, s.p ? s.p : "", s.n);
    arena_free(a);
    return 1;
}

static int l_sum(lua_State *L) {
    struct arena a = {0};
    return push_and_free(L, &a, s3_sum(&a, (enum s3_sum)luaL_checkinteger(L, 1), text_of(L, 2)));
}

static int l_words_encode(lua_State *L) {
    struct arena a = {0};
    return push_and_free(L, &a, s3_words_encode(&a, text_of(L, 1)));
}

static int l_words_decode(lua_State *L) {
    struct arena a = {0};
    return push_and_free(L, &a, s3_words_decode(&a, text_of(L, 1)));
}

static int l_crc32(lua_State *L) {
    lua_pushinteger(L, crypto_crc32(text_of(L, 1)));
    return 1;
}

static int l_md5(lua_State *L) {
    uint8_t md5[16];
    char hex[32];
    crypto_md5(text_of(L, 1), md5);
    crypto_hex_to(hex, md5, 16);
    lua_pushlstring(L, hex, 32);
    return 1;
}

static int l_sha256(lua_State *L) {
    uint8_t d[32];
    char hex[64];
    crypto_sha256(text_of(L, 1), d);
    crypto_hex_to(hex, d, 32);
    lua_pushlstring(L, hex, 64);
    return 1;
}

int luaopen_t_protocol(lua_State *L) {
    static const luaL_Reg functions[] = {{"encode", l_encode},
                                         {"decode", l_decode},
                                         {"redirect_region", l_redirect_region},
                                         {"endpoint", l_endpoint},
                                         {"partition", l_partition},
                                         {"sum", l_sum},
                                         {"words_encode", l_words_encode},
                                         {"words_decode", l_words_decode},
                                         {"crc32", l_crc32},
                                         {"md5", l_md5},
                                         {"sha256", l_sha256},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
