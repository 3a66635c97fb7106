/* t.shapes: S3's documents. write_request(shape, json), write_answer(shape, json) -> xml | nil, code, message;
 * read_request(shape, xml), read_answer(shape, xml, decode_keys) -> json | nil, code, message */
#include "aws/aws.h"
#include "base/xml.h"
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_shapes(lua_State *L);

static enum s3_shape shape_of(lua_State *L) {
    static const char *const names[] = {
#define S3_SHAPE(name, root) #name,
#define S3_ELEMENT(of, member, element, kind, inner, flags)
#include "aws/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
        NULL};
    return (enum s3_shape)(luaL_checkoption(L, 1, NULL, names) + 1);
}

static struct str text_of(lua_State *L) {
    struct str s;
    s.p = luaL_checklstring(L, 2, &s.n);
    return s;
}

static int finish(lua_State *L, struct arena *a, struct buf *b, int rc, const struct err *e) {
    if (rc) {
        lua_pushnil(L);
        lua_pushstring(L, err_name(e->code));
        lua_pushstring(L, e->msg);
    } else {
        lua_pushlstring(L, buf_cstr(b), b->n);
    }
    buf_free(b);
    arena_free(a);
    return rc ? 3 : 1;
}

static int write(lua_State *L, bool request) {
    struct arena a = {0};
    struct buf b = BUF_MAX(1 << 20);
    struct err e = {0};
    struct json v;
    enum s3_shape shape = shape_of(L);
    int rc = json_parse(&a, text_of(L), NULL, &v, &e);
    if (!rc) rc = request ? aws_s3_write_request(&a, &b, shape, &v, &e) : aws_s3_write_answer(&b, shape, &v, &e);
    return finish(L, &a, &b, rc, &e);
}

static int read(lua_State *L, bool request) {
    struct arena a = {0};
    struct buf b = BUF_MAX(1 << 20);
    struct err e = {0};
    struct xml *root = NULL;
    struct json v;
    enum s3_shape shape = shape_of(L);
    int rc = xml_parse(&a, text_of(L), &root, &e);
    if (!rc && request) rc = aws_s3_read_request(&a, shape, root, &v, &e);
    if (!rc && !request) rc = aws_s3_read_answer(&a, shape, root, lua_toboolean(L, 3), &v, &e);
    if (!rc) json_write(&b, &v);
    return finish(L, &a, &b, rc, &e);
}

static int write_request(lua_State *L) {
    return write(L, true);
}

static int write_answer(lua_State *L) {
    return write(L, false);
}

static int read_request(lua_State *L) {
    return read(L, true);
}

static int read_answer(lua_State *L) {
    return read(L, false);
}

int luaopen_t_shapes(lua_State *L) {
    static const luaL_Reg functions[] = {{"write_request", write_request},
                                         {"write_answer", write_answer},
                                         {"read_request", read_request},
                                         {"read_answer", read_answer},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
