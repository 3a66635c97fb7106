/* perigee.crypto: hashes, MACs, text codings, random bytes, UUIDs. */
#include "script/lib/lib.h"
#include <string.h>

enum { TEXT_MAX = 64 << 20, RANDOM_MAX = 1 << 20 };
enum form { FORM_HEX, FORM_BASE64, FORM_RAW };

static enum form check_form(lua_State *L, int arg) {
    static const char *const names[] = {"hex", "base64", "raw", NULL};
    return (enum form)luaL_checkoption(L, arg, "hex", names);
}

/* Every text function ends here: what was put into the scratch buffer is the result. */
static int push_text(lua_State *L, struct lib_scratch *s) {
    struct err e;
    if (buf_check(&s->buf, "the text", &e)) return lib_raise(L, &e);
    lib_push_str(L, buf_view(&s->buf));
    lib_scratch_clear(s);
    return 1;
}

static int push_digest(lua_State *L, const uint8_t *digest, size_t n, enum form form) {
    struct lib_scratch *s = lib_scratch(L);
    struct str bytes = str_n((const char *)digest, n);
    if (form == FORM_HEX) crypto_hex(&s->buf, bytes);
    if (form == FORM_BASE64) crypto_base64(&s->buf, bytes);
    if (form == FORM_RAW) buf_str(&s->buf, bytes);
    return push_text(L, s);
}

static int sha256(lua_State *L) {
    uint8_t d[32];
    crypto_sha256(lib_check_str(L, 1), d);
    return push_digest(L, d, sizeof d, check_form(L, 2));
}

static int sha1(lua_State *L) {
    uint8_t d[20];
    crypto_sha1(lib_check_str(L, 1), d);
    return push_digest(L, d, sizeof d, check_form(L, 2));
}

static int md5(lua_State *L) {
    uint8_t d[16];
    crypto_md5(lib_check_str(L, 1), d);
    return push_digest(L, d, sizeof d, check_form(L, 2));
}

static int hmac_sha256(lua_State *L) {
    uint8_t d[32];
    crypto_hmac_sha256(lib_check_str(L, 1), lib_check_str(L, 2), d);
    return push_digest(L, d, sizeof d, check_form(L, 3));
}

static int write_with(lua_State *L, void (*write)(struct buf *, struct str)) {
    struct str data = lib_check_str(L, 1);
    struct lib_scratch *s = lib_scratch(L);
    write(&s->buf, data);
    return push_text(L, s);
}

static int read_with(lua_State *L, bool (*read)(struct buf *, struct str), const char *what) {
    struct str text = lib_check_str(L, 1);
    struct lib_scratch *s = lib_scratch(L);
    if (!read(&s->buf, text)) {
        struct err e;
        err_set(&e, ERR_SYNTAX, "the text is not %s", what);
        return script_push_err(L, &e, "crypto", NULL, NULL, NULL);
    }
    return push_text(L, s);
}

static int base64(lua_State *L) {
    return write_with(L, crypto_base64);
}
static int base64url(lua_State *L) {
    return write_with(L, crypto_base64url);
}
static int hex(lua_State *L) {
    return write_with(L, crypto_hex);
}
static int unbase64(lua_State *L) {
    return read_with(L, crypto_unbase64, "base64 (RFC 4648 section 4, padded)");
}
static int unbase64url(lua_State *L) {
    return read_with(L, crypto_unbase64url, "base64url (RFC 4648 section 5, unpadded)");
}
static int unhex(lua_State *L) {
    return read_with(L, crypto_unhex, "hexadecimal");
}

static int equal(lua_State *L) {
    lua_pushboolean(L, crypto_equal(lib_check_str(L, 1), lib_check_str(L, 2)));
    return 1;
}

static int random_bytes(lua_State *L) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1, "a count from 0 to 1048576 expected");
    struct lib_scratch *s = lib_scratch(L);
    buf_reserve(&s->buf, (size_t)n);
    crypto_random(s->buf.p, (size_t)n);
    lua_pushlstring(L, n ? s->buf.p : "", (size_t)n);
    return 1;
}

static int uuid(lua_State *L) {
    char text[37];
    crypto_uuid7(clock_ms(script_config(script_of(L))->clock), text);
    lua_pushlstring(L, text, 36);
    return 1;
}

static int crc32(lua_State *L) {
    lua_pushinteger(L, crypto_crc32(lib_check_str(L, 1)));
    return 1;
}

int script_open_crypto(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"sha256", sha256},
        {"sha1", sha1},
        {"md5", md5},
        {"hmac_sha256", hmac_sha256},
        {"base64", base64},
        {"unbase64", unbase64},
        {"base64url", base64url},
        {"unbase64url", unbase64url},
        {"hex", hex},
        {"unhex", unhex},
        {"equal", equal},
        {"random", random_bytes},
        {"uuid", uuid},
        {"crc32", crc32},
        {NULL, NULL},
    };
    luaL_newlibtable(L, functions);
    lib_scratch_new(L, TEXT_MAX);
    luaL_setfuncs(L, functions, 1);
    return 1;
}
