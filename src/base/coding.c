/* The text codings of crypto.h: they need no OpenSSL. */
#include "base/crypto.h"
#include <string.h>

static const char digits_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char digits_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Sixteen bytes at once, in the compiler's portable vectors: high and low nibbles interleaved, then made digits. */
static void hex_of_16(char out[32], const uint8_t p[16]) {
    typedef uint8_t bytes __attribute__((vector_size(16)));
    bytes x, high, low;
    memcpy(&x, p, sizeof x);
    high = x >> 4;
    low = x & 15;
    for (int half = 0; half < 2; half++) {
        bytes v = half
                      ? __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
                      : __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        v += '0' + ((bytes)(v > 9) & ('a' - '0' - 10));
        memcpy(out + 16 * half, &v, sizeof v);
    }
}

void crypto_hex_to(char *out, const uint8_t *p, size_t n) {
    static const char hex[] = "0123456789abcdef";
    for (; n >= 16; n -= 16, p += 16, out += 32) hex_of_16(out, p);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
}

void crypto_hex(struct buf *b, struct str data) {
    for (size_t i = 0; i < data.n; i += 64) {
        char digits[128];
        size_t n = data.n - i < 64 ? data.n - i : 64;
        crypto_hex_to(digits, (const uint8_t *)data.p + i, n);
        buf_add(b, digits, 2 * n);
    }
}

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool crypto_unhex(struct buf *b, struct str text) {
    if (text.n % 2) return false;
    for (size_t i = 0; i < text.n; i++)
        if (nibble(text.p[i]) < 0) return false;
    for (size_t i = 0; i < text.n; i += 2) buf_byte(b, (char)(nibble(text.p[i]) << 4 | nibble(text.p[i + 1])));
    return true;
}

static void encode(struct buf *b, struct str data, const char *set, bool padded) {
    const uint8_t *p = (const uint8_t *)data.p;
    buf_reserve(b, data.n / 3 * 4 + 4);
    for (size_t i = 0; i < data.n; i += 3) {
        size_t left = data.n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        char four[4] = {set[v >> 18], set[v >> 12 & 63], left > 1 ? set[v >> 6 & 63] : '=',
                        left > 2 ? set[v & 63] : '='};
        buf_add(b, four, padded || left > 2 ? 4 : left + 1);
    }
}

/* `text` without padding. Bits behind the last byte must be 0 (RFC 4648 3.5). */
static bool decode(struct buf *b, struct str text, const char *set) {
    int8_t value[256];
    memset(value, -1, sizeof value);
    for (int i = 0; i < 64; i++) value[(uint8_t)set[i]] = (int8_t)i;
    for (size_t i = 0; i < text.n; i++)
        if (value[(uint8_t)text.p[i]] < 0) return false;
    uint32_t v = 0;
    unsigned bits = (unsigned)(text.n * 6 % 8);
    if (text.n % 4 == 1) return false;
    if (bits && value[(uint8_t)text.p[text.n - 1]] & ((1 << bits) - 1)) return false;
    bits = 0;
    buf_reserve(b, text.n / 4 * 3 + 3);
    for (size_t i = 0; i < text.n; i++) {
        v = v << 6 | (uint32_t)value[(uint8_t)text.p[i]];
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        buf_byte(b, (char)(v >> bits & 0xff));
    }
    return true;
}

void crypto_base64(struct buf *b, struct str data) {
    encode(b, data, digits_std, true);
}

bool crypto_unbase64(struct buf *b, struct str text) {
    if (text.n % 4) return false;
    for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++) text.n--;
    return decode(b, text, digits_std);
}

void crypto_base64url(struct buf *b, struct str data) {
    encode(b, data, digits_url, false);
}

bool crypto_unbase64url(struct buf *b, struct str text) {
    return decode(b, text, digits_url);
}
