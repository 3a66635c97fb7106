/* http1: see http1.h. Lines are read whole (from the input, or gathered when they come in parts), so that where the
 * bytes were cut makes no difference.
 *
 *                +--------------------- next message --------------------+
 *                v                                                       |
 *   START -> LINE -> FIELDS -> BODY -------------------------------+--> DONE
 *             ^        |  |     (length, or until close)           |
 *             +- 1xx --+  +-> SIZE -> DATA -> DATA_END -> SIZE     |
 *                                 \-> TRAILERS --------------------+       any -> BROKEN
 *
 * Strict where leniency would let two readers disagree (RFC 9112 2.2, 5, 6.3, 7.1, 11.2): lines end in CR LF, no folded
 * lines, no white space before a colon, one Content-Length of digits or one `Transfer-Encoding: chunked`, never both.
 */
#include "in/http1.h"
#include <string.h>

enum { HEAD_BYTES = 64 * 1024, HEADERS_MAX = 256, SIZE_LINE_MAX = 4096, FIRST_HEADERS = 16 };
enum { START, LINE, FIELDS, BODY, CLOSE, SIZE, DATA, DATA_END, TRAILERS, END, DONE, BROKEN };

/* == characters ==================================================================================================== */

/* RFC 9110 5.6.2 */
static bool is_token_byte(unsigned char c) {
    static const bool other[128] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
        ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1};
    unsigned char lower = c | 0x20;
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c < 128 && other[c]);
}

static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_byte((unsigned char)s.p[i])) return false;
    return s.n > 0;
}

static bool is_visible(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 127) return false;
    return s.n > 0;
}

/* RFC 9110 5.5: no control characters but the tab. */
static bool is_text(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 127) return false;
    }
    return true;
}

/* One of a comma-separated list. */
static bool has_word(struct str list, struct str word) {
    while (list.p)
        if (str_ieq(str_trim(str_cut(&list, ',')), word)) return true;
    return false;
}

/* == lines ========================================================================================================= */

static int bad(struct http1 *p, struct err *e, const char *what) {
    p->state = BROKEN;
    return err_set(e, ERR_BAD_ANSWER, "%s: %s", p->kind == HTTP1_REQUEST ? "HTTP request" : "HTTP response", what);
}

static size_t line_limit(const struct http1 *p) {
    if (p->state == SIZE || p->state == DATA_END) return SIZE_LINE_MAX;
    return p->head_max ? p->head_max : HEAD_BYTES;
}

/* 1: a line without its end; 0: more bytes are needed; -1: bad. The line lives until line_done. */
static int take_line(struct http1 *p, struct str *in, struct str *ret, struct err *e) {
    const char *end = in->n ? memchr(in->p, '\n', in->n) : NULL;
    size_t n = end ? (size_t)(end - in->p) + 1 : in->n;
    struct str got = str_take(*in, n);
    p->used += n;
    if (p->used > line_limit(p))
        return bad(p, e,
                   p->state == SIZE || p->state == DATA_END ? "the size line of a chunk is too long"
                                                            : "the head is too large");
    *in = str_from(*in, n);
    if (!end || p->line.n) {
        buf_str(&p->line, got);
        got = buf_view(&p->line);
    }
    if (!end) return 0;
    if (got.n < 2 || got.p[got.n - 2] != '\r') return bad(p, e, "a line ends without CR");
    *ret = str_take(got, got.n - 2);
    return 1;
}

static void line_done(struct http1 *p) {
    buf_clear(&p->line);
}

/* == the first line ================================================================================================ */

static int read_version(struct http1 *p, struct str version, struct err *e) {
    if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0"))
        return bad(p, e, "the version is neither HTTP/1.1 nor HTTP/1.0");
    p->old = p->close = version.p[7] == '0';
    return 0;
}

/* RFC 9112 3 */
static int read_request_line(struct http1 *p, struct str line, struct err *e) {
    struct str rest = line, method = str_cut(&rest, ' '), target = str_cut(&rest, ' ');
    if (!is_token(method)) return bad(p, e, "the method is no token");
    if (!is_visible(target)) return bad(p, e, "the target is empty or not printable ASCII");
    if (read_version(p, rest, e)) return -1;
    p->method = arena_str(&p->arena, method);
    p->target = arena_str(&p->arena, target);
    return 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* RFC 9112 4 */
static int read_status_line(struct http1 *p, struct str line, struct err *e) {
    struct str rest = line, version = str_cut(&rest, ' '), status = str_cut(&rest, ' ');
    if (read_version(p, version, e)) return -1;
    if (status.n != 3 || !is_digit(status.p[0]) || !is_digit(status.p[1]) || !is_digit(status.p[2]))
        return bad(p, e, "the status is no number of three digits");
    p->status = (status.p[0] - '0') * 100 + (status.p[1] - '0') * 10 + status.p[2] - '0';
    if (p->status < 100 || p->status > 599 || p->status == 101) return bad(p, e, "the status is none that can follow");
    return is_text(rest) ? 0 : bad(p, e, "the reason has control characters");
}

static int first_line(struct http1 *p, struct str line, struct err *e) {
    if (p->kind == HTTP1_REQUEST) {
        if (!line.n && p->state == START) { /* RFC 9112 2.2: empty lines before a request are ignored */
            p->used = 0;
            return 0;
        }
        p->state = LINE;
        if (read_request_line(p, line, e)) return -1;
    } else if (read_status_line(p, line, e)) {
        return -1;
    }
    p->state = FIELDS;
    return 0;
}

/* == fields ======================================================================================================== */

static void keep_header(struct http1 *p, struct str name, struct str value) {
    if (p->n_headers == p->cap_headers) {
        size_t cap = p->cap_headers ? p->cap_headers * 2 : FIRST_HEADERS;
        struct http_header *more = arena_alloc(&p->arena, cap * sizeof *more);
        if (p->n_headers) memcpy(more, p->headers, p->n_headers * sizeof *more);
        p->headers = more;
        p->cap_headers = cap;
    }
    p->headers[p->n_headers++] = (struct http_header){arena_str(&p->arena, name), arena_str(&p->arena, value)};
}

static int read_length(struct http1 *p, struct str value, struct err *e) {
    uint64_t n = 0;
    if (p->content_length != UINT64_MAX) return bad(p, e, "Content-Length is given twice");
    if (!value.n || value.n > 18) return bad(p, e, "Content-Length is no number");
    for (size_t i = 0; i < value.n; i++) {
        if (!is_digit(value.p[i])) return bad(p, e, "Content-Length is no number");
        n = n * 10 + (uint64_t)(value.p[i] - '0');
    }
    p->content_length = n;
    return 0;
}

/* What decides where the message ends. */
static int read_framing(struct http1 *p, struct str name, struct str value, struct err *e) {
    if (str_ieq(name, STR("content-length"))) return read_length(p, value, e);
    if (str_ieq(name, STR("transfer-encoding"))) {
        if (p->chunked) return bad(p, e, "Transfer-Encoding is given twice");
        if (!str_ieq(value, STR("chunked"))) return bad(p, e, "a Transfer-Encoding other than chunked");
        p->chunked = true;
    } else if (str_ieq(name, STR("connection"))) {
        if (has_word(value, STR("close")))
            p->must_close = true;
        else if (has_word(value, STR("keep-alive")))
            p->close = false;
    }
    return 0;
}

static bool frames(struct str name) {
    return str_ieq(name, STR("content-length")) || str_ieq(name, STR("transfer-encoding")) ||
           str_ieq(name, STR("host"));
}

static int read_field(struct http1 *p, struct str line, struct err *e) {
    struct str value = line, name = str_cut(&value, ':');
    if (line.p[0] == ' ' || line.p[0] == '\t') return bad(p, e, "a header line is folded");
    if (!value.p) return bad(p, e, "a header line has no colon");
    if (!is_token(name)) return bad(p, e, "the name of a header is no token");
    if (!is_text(value)) return bad(p, e, "the value of a header has control characters");
    value = str_trim(value); /* of what may stand there: spaces and tabs */
    if (p->n_headers == HEADERS_MAX) return bad(p, e, "more than 256 headers");
    if (p->state == TRAILERS && frames(name)) return bad(p, e, "a trailer that belongs in the head");
    if (p->state == FIELDS && read_framing(p, name, value, e)) return -1;
    keep_header(p, name, value);
    return 0;
}

/* RFC 9112 3.2 */
static bool hosts_are_wrong(const struct http1 *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_headers; i++) n += str_ieq(p->headers[i].name, STR("host"));
    return p->kind == HTTP1_REQUEST && n != 1 && (n || !p->old);
}

static void forget_head(struct http1 *p) {
    arena_reset(&p->arena);
    p->method = p->target = p->part = STR_NONE;
    p->headers = NULL;
    p->status = 0;
    p->n_headers = p->cap_headers = 0;
    p->close = p->must_close = p->old = p->chunked = p->until_close = false;
    p->content_length = UINT64_MAX;
    p->left = 0;
}

/* RFC 9112 6.3, in its order. */
static void find_body(struct http1 *p) {
    bool response = p->kind == HTTP1_RESPONSE;
    p->left = p->content_length == UINT64_MAX ? 0 : p->content_length;
    if (response && (p->no_body || p->status == 204 || p->status == 304))
        p->state = END;
    else if (p->chunked)
        p->state = SIZE;
    else if (p->left)
        p->state = BODY;
    else if (p->content_length == 0 || !response)
        p->state = END;
    else
        p->state = CLOSE;
    p->until_close = p->state == CLOSE;
    p->close = p->close || p->must_close || p->until_close;
    p->used = 0;
}

/* 1: tell; 0: go on; -1: bad */
static int end_of_head(struct http1 *p, struct err *e) {
    if (p->status >= 100 && p->status < 200) { /* `used` goes on: so many of them are too large a head */
        forget_head(p);
        p->state = LINE;
        return 0;
    }
    if (p->chunked && p->content_length != UINT64_MAX) return bad(p, e, "both Content-Length and Transfer-Encoding");
    if (p->chunked && p->old) return bad(p, e, "Transfer-Encoding in HTTP/1.0");
    if (hosts_are_wrong(p)) return bad(p, e, "not exactly one Host");
    find_body(p);
    return 1;
}

/* == chunks ======================================================================================================== */

static int hex(char c) {
    if (is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 9112 7.1; extensions are ignored. */
static int read_size(struct http1 *p, struct str line, struct err *e) {
    uint64_t n = 0;
    size_t i = 0;
    for (; i < line.n && hex(line.p[i]) >= 0; i++) {
        if (i == 15) return bad(p, e, "the size of a chunk is too large");
        n = n << 4 | (uint64_t)hex(line.p[i]);
    }
    if (!i || (i < line.n && line.p[i] != ';') || !is_text(line)) return bad(p, e, "the size of a chunk is no number");
    p->left = n;
    p->used = 0;
    p->state = n ? DATA : TRAILERS;
    return 0;
}

static int read_data_end(struct http1 *p, struct str line, struct err *e) {
    if (line.n) return bad(p, e, "a chunk is longer than its size says");
    p->used = 0;
    p->state = SIZE;
    return 0;
}

/* == feeding ======================================================================================================= */

/* 1: the head is complete; 0: go on; -1: bad */
static int read_line(struct http1 *p, struct str line, struct err *e) {
    switch (p->state) {
    case START:
    case LINE:
        return first_line(p, line, e);
    case SIZE:
        return read_size(p, line, e);
    case DATA_END:
        return read_data_end(p, line, e);
    case TRAILERS:
        if (line.n) return read_field(p, line, e);
        p->state = END;
        return 0;
    default:
        return line.n ? read_field(p, line, e) : end_of_head(p, e);
    }
}

static enum http1_event take_body(struct http1 *p, struct str *in) {
    size_t n = in->n;
    if (p->state != CLOSE && n > p->left) n = (size_t)p->left;
    p->part = str_take(*in, n);
    *in = str_from(*in, n);
    if (p->state == CLOSE) return HTTP1_BODY;
    p->left -= n;
    if (!p->left) p->state = p->state == DATA ? DATA_END : END;
    return HTTP1_BODY;
}

enum http1_event http1_feed(struct http1 *p, struct str *in, struct err *e) {
    if (p->state == DONE) {
        forget_head(p);
        p->state = START;
    }
    for (;;) {
        struct str line;
        if (p->state == BROKEN) {
            bad(p, e, "the connection is out of step since an earlier error");
            return HTTP1_BAD;
        }
        if (p->state == END) {
            p->state = DONE;
            p->used = 0;
            return HTTP1_END;
        }
        if (!in->n) return HTTP1_MORE;
        if (p->state == BODY || p->state == CLOSE || p->state == DATA) return take_body(p, in);
        int rc = take_line(p, in, &line, e);
        if (!rc) return HTTP1_MORE;
        if (rc > 0) rc = read_line(p, line, e);
        line_done(p);
        if (rc < 0) return HTTP1_BAD;
        if (rc > 0) return HTTP1_HEAD;
    }
}

enum http1_event http1_eof(struct http1 *p, struct err *e) {
    if (p->state == CLOSE || p->state == END) {
        p->state = DONE;
        p->used = 0;
        return HTTP1_END;
    }
    if (http1_fresh(p)) return HTTP1_MORE;
    bad(p, e,
        p->state <= FIELDS ? "the connection was closed within the head" : "the connection was closed within the body");
    return HTTP1_BAD;
}

/* == the rest ====================================================================================================== */

void http1_init(struct http1 *p, enum http1_kind kind) {
    *p = (struct http1){.kind = kind, .state = START, .content_length = UINT64_MAX};
    p->line = BUF_MAX(SIZE_MAX / 2); /* `used` is the cap */
}

void http1_free(struct http1 *p) {
    arena_free(&p->arena);
    buf_free(&p->line);
    http1_init(p, p->kind);
}

struct str http1_header(const struct http1 *p, const char *name) {
    struct str wanted = str_c(name);
    for (size_t i = 0; i < p->n_headers; i++)
        if (str_ieq(p->headers[i].name, wanted)) return p->headers[i].value;
    return STR_NONE;
}

bool http1_fresh(const struct http1 *p) {
    return (p->state == START || p->state == DONE) && !p->used;
}
