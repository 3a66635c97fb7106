#include "base/trace.h"
#include <string.h>

bool trace_request_id_ok(struct str s) {
    if (!s.n || s.n > 128) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (!c || !strchr("_.:-", c))) return false;
    }
    return true;
}

static bool is_lower_hex(struct str s) {
    bool any = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return false;
        any = any || c != '0';
    }
    return any;
}

struct str trace_of_parent(struct str t) {
    if (t.n < 55 || t.p[2] != '-' || t.p[35] != '-' || t.p[52] != '-') return STR_NONE;
    struct str version = str_take(t, 2), trace = str_n(t.p + 3, 32), parent = str_n(t.p + 36, 16);
    bool known = str_is(version, "00");
    if (known ? t.n != 55 : (!is_lower_hex(version) || str_is(version, "ff") || (t.n > 55 && t.p[55] != '-')))
        return STR_NONE;
    return is_lower_hex(trace) && is_lower_hex(parent) ? trace : STR_NONE;
}

/* 1-<8 hex digits of the time>-<24 hex digits> */
static bool root(struct str s, char ret[33]) {
    if (s.n != 35 || s.p[0] != '1' || s.p[1] != '-' || s.p[10] != '-') return false;
    memcpy(ret, s.p + 2, 8);
    memcpy(ret + 8, s.p + 11, 24);
    ret[32] = '\0';
    return is_lower_hex(str_n(ret, 32));
}

bool trace_of_xray(struct str header, char ret[33]) {
    while (header.p) {
        struct str value = str_trim(str_cut(&header, ';')), name = str_cut(&value, '=');
        if (str_is(name, "Root") && value.p && root(value, ret)) return true;
    }
    return false;
}
