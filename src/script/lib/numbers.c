/* Decimal numbers as text: between the 38 digits of a DynamoDB number, int64 and double, without losing a digit unseen.
 */
#include "script/lib/lib.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ==== decimals ==== */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool add_digits(struct str *rest, struct lib_decimal *d, size_t *ret_seen) {
    size_t i = 0;
    for (; i < rest->n && is_digit(rest->p[i]); i++) {
        if (d->n == 0 && rest->p[i] == '0') {
            d->exp--; /* leading zeros move the point only */
            continue;
        }
        if (d->n == sizeof d->digits) return false;
        d->digits[d->n++] = rest->p[i];
    }
    *rest = str_from(*rest, i);
    *ret_seen = i;
    return i > 0;
}

static bool add_exponent(struct str rest, int64_t *exp) {
    int64_t v;
    if (rest.n && rest.p[0] == '+') {
        rest = str_from(rest, 1);
        if (!rest.n || !is_digit(rest.p[0])) return false;
    }
    if (!str_i64(rest, &v) || v > 100000 || v < -100000) return false;
    *exp += v;
    return true;
}

bool lib_decimal_parse(struct str text, struct lib_decimal *ret) {
    struct lib_decimal d = {0};
    size_t whole, fraction = 0;
    if (text.n && text.p[0] == '-') {
        d.negative = true;
        text = str_from(text, 1);
    }
    if (text.n > 1 && text.p[0] == '0' && is_digit(text.p[1])) return false;
    if (!add_digits(&text, &d, &whole)) return false;
    if (text.n && text.p[0] == '.') {
        text = str_from(text, 1);
        if (!add_digits(&text, &d, &fraction)) return false;
    }
    d.exp += (int64_t)whole; /* zeros before the first digit were taken off already */
    if (text.n) {
        if ((text.p[0] | 32) != 'e' || !add_exponent(str_from(text, 1), &d.exp)) return false;
    }
    while (d.n && d.digits[d.n - 1] == '0') d.n--;
    if (d.n == 0) d = (struct lib_decimal){0};
    *ret = d;
    return true;
}

int lib_decimal_cmp(const struct lib_decimal *a, const struct lib_decimal *b) {
    if (a->n == 0 || b->n == 0 || a->negative != b->negative) {
        int sa = a->n == 0 ? 0 : a->negative ? -1 : 1, sb = b->n == 0 ? 0 : b->negative ? -1 : 1;
        return (sa > sb) - (sa < sb);
    }
    int magnitude = (a->exp > b->exp) - (a->exp < b->exp);
    if (!magnitude) magnitude = str_cmp(str_n(a->digits, a->n), str_n(b->digits, b->n));
    return a->negative ? -magnitude : magnitude;
}

/* ==== Lua numbers as text ==== */

size_t lib_int_text(int64_t v, char out[24]) {
    char tmp[24];
    size_t n = 0, at = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do tmp[n++] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) out[at++] = '-';
    while (n) out[at++] = tmp[--n];
    return at;
}

size_t lib_float_text(double v, char out[32]) {
    int n = 0;
    if (v == 0) v = 0; /* no "-0" */
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(out, 32, "%.*g", digits, v);
        if (strtod(out, NULL) == v) break;
    }
    return (size_t)n;
}

/* ==== the decimal object ==== */

struct str lib_to_decimal(lua_State *L, int idx) {
    const char *text = luaL_testudata(L, idx, SCRIPT_DECIMAL);
    return str_c(text);
}

void lib_push_decimal(lua_State *L, struct str text) {
    char *p = lua_newuserdatauv(L, text.n + 1, 0);
    memcpy(p, text.p, text.n);
    p[text.n] = 0;
    luaL_setmetatable(L, SCRIPT_DECIMAL);
}

static bool push_int(lua_State *L, const struct lib_decimal *d) {
    if (d->exp < (int64_t)d->n || d->exp > 19) return false;
    char text[24] = "-0000000000000000000";
    int64_t v;
    memcpy(text + 1, d->digits, d->n);
    struct str s = d->negative ? str_n(text, (size_t)d->exp + 1) : str_n(text + 1, (size_t)d->exp);
    if (!str_i64(s, &v)) return false;
    lua_pushinteger(L, v);
    return true;
}

static bool push_float(lua_State *L, struct str text, const struct lib_decimal *d) {
    char copy[128], back[32];
    struct lib_decimal again;
    if (text.n >= sizeof copy) return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    double v = strtod(copy, NULL);
    if (!isfinite(v)) return false;
    if (!lib_decimal_parse(str_n(back, lib_float_text(v, back)), &again) || lib_decimal_cmp(d, &again) != 0)
        return false;
    lua_pushnumber(L, v);
    return true;
}

void lib_push_number(lua_State *L, struct str text) {
    int64_t i;
    struct lib_decimal d;
    if (str_i64(text, &i)) {
        lua_pushinteger(L, i);
        return;
    }
    if (!lib_decimal_parse(text, &d)) {
        lib_push_decimal(L, text);
        return;
    }
    if (d.n == 0)
        lua_pushinteger(L, 0);
    else if (!push_int(L, &d) && !push_float(L, text, &d))
        lib_push_decimal(L, text);
}

static int decimal_tostring(lua_State *L) {
    lua_pushstring(L, luaL_checkudata(L, 1, SCRIPT_DECIMAL));
    return 1;
}

/* Any operand: a decimal, an integer or a finite float. */
static void operand(lua_State *L, int idx, struct lib_decimal *d) {
    char text[32];
    struct str s = lib_to_decimal(L, idx);
    if (lua_isinteger(L, idx))
        s = str_n(text, lib_int_text(lua_tointeger(L, idx), text));
    else if (lua_type(L, idx) == LUA_TNUMBER)
        s = str_n(text, lib_float_text(lua_tonumber(L, idx), text));
    if (!s.p || !lib_decimal_parse(s, d)) luaL_argerror(L, idx, "a number or aws.number expected");
}

static int compare(lua_State *L) {
    struct lib_decimal a, b;
    operand(L, 1, &a);
    operand(L, 2, &b);
    return lib_decimal_cmp(&a, &b);
}

static int decimal_eq(lua_State *L) { /* called for two userdata of any kind */
    bool both = lib_to_decimal(L, 1).p && lib_to_decimal(L, 2).p;
    lua_pushboolean(L, both && compare(L) == 0);
    return 1;
}

static int decimal_lt(lua_State *L) {
    lua_pushboolean(L, compare(L) < 0);
    return 1;
}

static int decimal_le(lua_State *L) {
    lua_pushboolean(L, compare(L) <= 0);
    return 1;
}

/* number:float(): the nearest double. */
static int decimal_float(lua_State *L) {
    lua_pushnumber(L, strtod(luaL_checkudata(L, 1, SCRIPT_DECIMAL), NULL));
    return 1;
}

void lib_number_open(lua_State *L) {
    static const luaL_Reg meta[] = {{"__tostring", decimal_tostring},
                                    {"__eq", decimal_eq},
                                    {"__lt", decimal_lt},
                                    {"__le", decimal_le},
                                    {NULL, NULL}};
    static const luaL_Reg methods[] = {{"float", decimal_float}, {NULL, NULL}};
    luaL_newmetatable(L, SCRIPT_DECIMAL); /* or the one that is there */
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

int lib_number_new(lua_State *L) {
    struct lib_decimal d;
    char text[32];
    struct str s = STR_NONE;
    if (lua_isinteger(L, 1))
        s = str_n(text, lib_int_text(lua_tointeger(L, 1), text));
    else if (lua_type(L, 1) == LUA_TNUMBER)
        s = isfinite(lua_tonumber(L, 1)) ? str_n(text, lib_float_text(lua_tonumber(L, 1), text)) : STR("");
    else if (lib_to_decimal(L, 1).p)
        s = lib_to_decimal(L, 1);
    else
        s = lib_check_str(L, 1);
    luaL_argcheck(L, lib_decimal_parse(s, &d), 1, "a decimal number such as \"12.50\" expected");
    lib_push_decimal(L, s);
    return 1;
}
