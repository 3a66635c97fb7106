/* MIME messages: writing simple ones, reading headers of raw ones. */
#include "base/crypto.h"
#include "local/ses/ses.h"
#include <string.h>

enum { WORD_BYTES = 42, LINE_MAX_BYTES = 900, BASE64_LINE = 57 };

/* == header values ==================================================================================================
 */

static bool is_plain(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e) return false;
    return s.n <= LINE_MAX_BYTES && str_find(s, STR("=?"), 0) < 0;
}

static bool continues(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* RFC 2047, 2 and 5: encoded words of at most 75 characters, never splitting a character, folded between. */
static void write_words(struct buf *b, struct str s) {
    if (is_plain(s)) {
        buf_str(b, s);
        return;
    }
    for (bool first = true; s.n; first = false) {
        size_t n = s.n < WORD_BYTES ? s.n : WORD_BYTES;
        while (n < s.n && n > 1 && continues(s.p[n])) n--;
        buf_c(b, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?");
        crypto_base64(b, str_take(s, n));
        buf_c(b, "?=");
        s = str_from(s, n);
    }
}

/* "José <a@b>" -> "=?UTF-8?B?...?= <a@b>" */
static void write_address(struct buf *b, struct str address) {
    struct str bare = aws_bare_address(address);
    bool named = bare.p > address.p && bare.p[-1] == '<';
    struct str name = named ? str_trim(str_n(address.p, (size_t)(bare.p - 1 - address.p))) : STR_NONE;
    if (!name.n) {
        buf_str(b, bare);
        return;
    }
    if (is_plain(name)) {
        buf_str(b, name);
    } else {
        if (name.n >= 2 && name.p[0] == '"' && name.p[name.n - 1] == '"') name = str_n(name.p + 1, name.n - 2);
        write_words(b, name);
    }
    buf_c(b, " <");
    buf_str(b, bare);
    buf_byte(b, '>');
}

static void write_addresses(struct buf *b, const char *header, const struct json *list) {
    if (!json_is(list, JSON_ARR) || !list->n) return;
    buf_printf(b, "%s: ", header);
    for (uint32_t i = 0; i < list->n; i++) {
        if (i) buf_c(b, ",\r\n ");
        write_address(b, json_str(&list->items[i]));
    }
    buf_c(b, "\r\n");
}

/* == bodies =========================================================================================================
 */

static const char *transfer_encoding(struct str s) {
    bool ascii = true;
    size_t line = 0;
    for (size_t i = 0; i < s.n; i++) {
        line = s.p[i] == '\n' ? 0 : line + 1;
        if (line > LINE_MAX_BYTES || !s.p[i]) return "base64";
        ascii &= (unsigned char)s.p[i] < 0x80;
    }
    return ascii ? "7bit" : "8bit";
}

static void write_lines(struct buf *b, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') continue;
        if (s.p[i] == '\n' || s.p[i] == '\r')
            buf_c(b, "\r\n");
        else
            buf_byte(b, s.p[i]);
    }
    buf_c(b, "\r\n");
}

static void write_part(struct buf *b, const char *type, struct str s) {
    const char *encoding = transfer_encoding(s);
    buf_printf(b, "Content-Type: %s; charset=UTF-8\r\nContent-Transfer-Encoding: %s\r\n\r\n", type, encoding);
    if (strcmp(encoding, "base64")) {
        write_lines(b, s);
        return;
    }
    for (; s.n; s = str_from(s, BASE64_LINE)) {
        crypto_base64(b, str_take(s, BASE64_LINE));
        buf_c(b, "\r\n");
    }
}

static void write_date(struct buf *b, int64_t now_ms) {
    char date[30];
    now_http(now_ms, date); /* RFC 5322 has the same shape with a numeric zone */
    buf_printf(b, "Date: %.25s +0000\r\n", date);
}

void ses_mime_write(struct buf *b, const struct ses_mail *m) {
    buf_c(b, "From: ");
    write_address(b, m->from);
    buf_c(b, "\r\n");
    write_addresses(b, "To", m->to);
    write_addresses(b, "Cc", m->cc);
    write_addresses(b, "Reply-To", m->reply_to);
    buf_c(b, "Subject: ");
    write_words(b, m->subject);
    buf_c(b, "\r\n");
    write_date(b, m->now_ms);
    buf_printf(b, "Message-ID: <%.*s@perigee.local>\r\nMIME-Version: 1.0\r\n", STR_ARG(m->message_id));
    if (!m->text.p || !m->html.p) {
        write_part(b, m->text.p ? "text/plain" : "text/html", m->text.p ? m->text : m->html);
        return;
    }
    /* An id of our making cannot occur in what the caller wrote before. */
    buf_printf(b, "Content-Type: multipart/alternative; boundary=\"=_%.*s\"\r\n\r\n", STR_ARG(m->message_id));
    buf_printf(b, "--=_%.*s\r\n", STR_ARG(m->message_id));
    write_part(b, "text/plain", m->text);
    buf_printf(b, "--=_%.*s\r\n", STR_ARG(m->message_id));
    write_part(b, "text/html", m->html);
    buf_printf(b, "--=_%.*s--\r\n", STR_ARG(m->message_id));
}

/* == reading headers ================================================================================================
 */

static int hex_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_q(struct buf *b, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '=') {
            buf_byte(b, s.p[i] == '_' ? ' ' : s.p[i]);
            continue;
        }
        if (i + 2 >= s.n || hex_of(s.p[i + 1]) < 0 || hex_of(s.p[i + 2]) < 0) return false;
        buf_byte(b, (char)(hex_of(s.p[i + 1]) * 16 + hex_of(s.p[i + 2])));
        i += 2;
    }
    return true;
}

/* One "=?UTF-8?B?...?=" at the start of s. Returns its length, 0 when it is none that can be read. */
static size_t decode_word(struct buf *b, struct str s) {
    struct str rest = str_from(s, 2), charset = str_cut(&rest, '?'), kind = str_cut(&rest, '?'),
               text = str_cut(&rest, '?');
    struct buf plain = BUF_MAX(4096);
    if (!rest.n || rest.p[0] != '=' || !(str_ieq(charset, STR("utf-8")) || str_ieq(charset, STR("us-ascii")))) return 0;
    bool ok =
        str_ieq(kind, STR("B")) ? crypto_unbase64(&plain, text) : str_ieq(kind, STR("Q")) && decode_q(&plain, text);
    ok = ok && str_bad_utf8(buf_view(&plain)) < 0;
    if (ok) buf_str(b, buf_view(&plain));
    buf_free(&plain);
    return ok ? (size_t)(rest.p + 1 - s.p) : 0;
}

static struct str decode_words(struct arena *a, struct str s) {
    struct buf b = BUF_MAX(64 * 1024);
    for (bool after_word = false; s.n;) {
        struct str ahead = after_word ? str_trim(s) : s; /* white space between words is none (RFC 2047, 6.2) */
        size_t n = str_starts(ahead, STR("=?")) ? decode_word(&b, ahead) : 0;
        if (n) {
            s = str_from(s, (size_t)(ahead.p - s.p) + n);
            after_word = true;
            continue;
        }
        buf_byte(&b, s.p[0]);
        s = str_from(s, 1);
        after_word = false;
    }
    struct str out = arena_str(a, buf_view(&b));
    buf_free(&b);
    return out;
}

struct str ses_mime_header(struct arena *a, struct str raw, const char *name) {
    struct buf value = BUF_MAX(64 * 1024);
    bool in = false;
    for (struct str rest = raw, line; rest.n;) {
        line = str_cut(&rest, '\n');
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        if (!line.n) break;
        bool folded = line.p[0] == ' ' || line.p[0] == '\t';
        if (!folded && in) break;
        struct str body = line;
        if (!folded) in = str_ieq(str_trim(str_cut(&body, ':')), str_c(name)) && body.p;
        if (in && value.n) buf_byte(&value, ' ');
        if (in) buf_str(&value, str_trim(body));
    }
    struct str out = in || value.n ? decode_words(a, buf_view(&value)) : STR_NONE;
    buf_free(&value);
    return out;
}
