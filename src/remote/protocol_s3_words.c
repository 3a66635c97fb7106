#include "base/crypto.h"
#include "remote/wire_s3.h"
#include <string.h>

enum { WORD_BYTES = 45 }; /* 60 characters of base64: a word has at most 75 */

static bool needs_words(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80) return true;
    return false;
}

/* Characters are not cut through. */
static size_t word_length(struct str s) {
    size_t n = s.n < WORD_BYTES ? s.n : WORD_BYTES;
    while (n < s.n && n > 1 && ((unsigned char)s.p[n] & 0xC0) == 0x80) n--;
    return n;
}

struct str s3_words_encode(struct arena *a, struct str text) {
    struct buf b = BUF_MAX(4 * text.n + 64);
    if (!needs_words(text)) return text;
    while (text.n) {
        size_t n = word_length(text);
        buf_c(&b, b.n ? " =?UTF-8?B?" : "=?UTF-8?B?");
        crypto_base64(&b, str_take(text, n));
        buf_c(&b, "?=");
        text = str_from(text, n);
    }
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 2047 4.2: "=XX", and "_" for a space. */
static bool decode_q(struct buf *b, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '=') {
            int high = i + 2 < s.n ? nibble(s.p[i + 1]) : -1, low = i + 2 < s.n ? nibble(s.p[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_byte(b, s.p[i] == '_' && c == '_' ? ' ' : c);
    }
    return true;
}

/* "=?UTF-8?B?...?=" at the start of s: appends what it means and returns its length, else 0. */
static size_t decode_word(struct buf *b, struct str s) {
    const size_t head = 10; /* =?UTF-8?B? */
    if (s.n < head + 2 || !str_ieq(str_take(s, 8), STR("=?UTF-8?")) || s.p[9] != '?') return 0;
    bool q = s.p[8] == 'Q' || s.p[8] == 'q';
    if (!q && s.p[8] != 'B' && s.p[8] != 'b') return 0;
    ptrdiff_t end = str_find(s, STR("?="), head);
    if (end < 0) return 0;
    struct buf word = BUF_MAX(s.n);
    struct str body = str_n(s.p + head, (size_t)end - head);
    bool ok = (q ? decode_q(&word, body) : crypto_unbase64(&word, body)) && !word.over &&
              !(word.n && memchr(word.p, 0, word.n));
    if (ok) buf_str(b, buf_view(&word));
    buf_free(&word);
    return ok ? (size_t)end + 2 : 0;
}

struct str s3_words_decode(struct arena *a, struct str text) {
    struct buf b = BUF_MAX(text.n + 1);
    size_t before = 0; /* length in b of what precedes the white space after a word; 0: no word precedes */
    bool words = false;
    if (str_find(text, STR("=?"), 0) < 0) return text;
    for (size_t i = 0; i < text.n;) {
        size_t at = b.n;
        if (words && before < at) b.n = before; /* white space between words is no text (RFC 2047 6.2) */
        size_t n = decode_word(&b, str_from(text, i));
        if (n) {
            words = true;
            before = b.n;
        } else {
            b.n = at;
            buf_byte(&b, text.p[i]);
            if (text.p[i] != ' ') words = false;
        }
        i += n ? n : 1;
    }
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return str_bad_utf8(s) < 0 ? s : text;
}
