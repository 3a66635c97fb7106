#include "base/url.h"
#include <string.h>

static bool unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void url_encode(struct buf *b, struct str s, bool keep_slash) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (unreserved((char)c) || (keep_slash && c == '/')) {
            buf_byte(b, (char)c);
        } else {
            char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(b, escaped, 3);
        }
    }
}

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int url_decode(struct arena *a, struct str s, bool plus, struct str *ret, struct err *e) {
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < s.n ? nibble(s.p[i + 1]) : -1, low = i + 2 < s.n ? nibble(s.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return err_set(e, ERR_VALIDATION, "bad percent escape at position %zu of a URL part", i);
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0') return err_set(e, ERR_VALIDATION, "NUL byte at position %zu of a URL part", i);
        out[n++] = c;
    }
    out[n] = '\0';
    *ret = str_n(out, n);
    return 0;
}

/* authority = [ userinfo "@" ] host [ ":" port ]; userinfo is refused: nothing here may leak a password. */
static int authority(struct str s, struct url *u, struct err *e) {
    int64_t port = u->port;
    if (str_chr(s, '@', 0) >= 0)
        return err_set(e, ERR_VALIDATION, "URL holds user information, which is not supported");
    size_t host_end = 0;
    if (s.n && s.p[0] == '[') { /* IP-literal */
        ptrdiff_t close = str_chr(s, ']', 0);
        if (close < 2) return err_set(e, ERR_VALIDATION, "URL has a malformed IPv6 host");
        host_end = (size_t)close + 1;
        u->host = str_n(s.p + 1, (size_t)close - 1);
    } else {
        ptrdiff_t colon = str_chr(s, ':', 0);
        host_end = colon < 0 ? s.n : (size_t)colon;
        u->host = str_take(s, host_end);
    }
    if (!u->host.n) return err_set(e, ERR_VALIDATION, "URL has no host");
    struct str rest = str_from(s, host_end);
    if (!rest.n) return 0;
    if (rest.p[0] != ':' || (rest.n > 1 && (!str_i64(str_from(rest, 1), &port) || port < 0 || port > 65535)))
        return err_set(e, ERR_VALIDATION, "URL has a malformed port '%.*s'", STR_ARG(str_take(str_from(rest, 1), 32)));
    u->port = (int)port;
    return 0;
}

/* Spaces, controls and bytes above 0x7e must be percent-encoded (RFC 3986 2). */
static bool printable(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~') return false;
    return true;
}

int url_parse(struct str s, struct url *ret, struct err *e) {
    struct url u = {0};
    if (!printable(s)) return err_set(e, ERR_VALIDATION, "URL holds a character that must be percent-encoded");
    ptrdiff_t colon = str_find(s, STR("://"), 0);
    if (colon < 1) return err_set(e, ERR_VALIDATION, "URL has no scheme (http:// or https://)");
    u.scheme = str_take(s, (size_t)colon);
    if (!str_ieq(u.scheme, STR("http")) && !str_ieq(u.scheme, STR("https")))
        return err_set(e, ERR_VALIDATION, "URL scheme '%.*s' is not http or https", STR_ARG(str_take(u.scheme, 32)));
    u.port = u.scheme.n == 5 ? 443 : 80;
    s = str_from(s, (size_t)colon + 3);
    ptrdiff_t hash = str_chr(s, '#', 0);
    if (hash >= 0) s = str_take(s, (size_t)hash);
    size_t end = 0;
    while (end < s.n && s.p[end] != '/' && s.p[end] != '?') end++;
    if (authority(str_take(s, end), &u, e)) return -1;
    u.query = str_from(s, end);
    u.path = str_cut(&u.query, '?');
    if (!u.path.n) u.path = STR("/");
    *ret = u;
    return 0;
}

static int param(struct arena *a, struct str pair, struct url_param *ret, struct err *e) {
    struct str value = pair, name = str_cut(&value, '=');
    if (url_decode(a, name, true, &ret->name, e)) return -1;
    return url_decode(a, value, true, &ret->value, e);
}

int url_query(struct arena *a, struct str query, size_t max, struct url_param **ret, size_t *ret_n, struct err *e) {
    size_t n = 0, cap = query.n ? 1 : 0;
    for (size_t i = 0; i < query.n; i++) cap += query.p[i] == '&';
    if (cap > max) cap = max;
    struct url_param *params = ARENA_ARRAY(a, struct url_param, cap);
    while (query.n) {
        struct str pair = str_cut(&query, '&');
        if (!pair.n) continue;
        if (n == max) return err_set(e, ERR_VALIDATION, "query has more than %zu parameters", max);
        if (param(a, pair, &params[n], e)) return -1;
        n++;
    }
    *ret = params;
    *ret_n = n;
    return 0;
}
