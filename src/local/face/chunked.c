/* aws-chunked:  *( hex-size [";chunk-signature=" 64hex] CRLF data CRLF ) "0" [...] CRLF *( name ":" value CRLF )
 *               ["x-amz-trailer-signature:" 64hex CRLF] CRLF */
#include "local/face/chunked.h"
#include <string.h>

enum { LINE_MAX = 4096, TRAILERS_MAX = 16, CHUNK_MIN = 8192 };

struct reader {
    const struct chunked_in *in;
    struct str rest;
    struct arena *a;
    struct chunked_out *out;
    char *to;   /* next decoded byte */
    bool small; /* a chunk came that only the last may be */
};

static int incomplete(struct err *e, const char *why) {
    return err_set(e, ERR_S3_INCOMPLETE,
                   "The request body terminated unexpectedly: the aws-chunked coding is broken, %s", why);
}

/* A line without its end (CRLF; a bare LF is taken too). */
static int read_line(struct reader *r, struct str *ret, struct err *e) {
    ptrdiff_t end = str_chr(str_take(r->rest, LINE_MAX), '\n', 0);
    if (end < 0) return incomplete(e, "a line does not end");
    *ret = str_take(r->rest, (size_t)end);
    if (ret->n && ret->p[ret->n - 1] == '\r') ret->n--;
    r->rest = str_from(r->rest, (size_t)end + 1);
    return 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int read_size(struct str digits, size_t *ret, struct err *e) {
    size_t n = 0;
    if (!digits.n || digits.n > 8) return incomplete(e, "a chunk's size is not 1 to 8 hexadecimal digits");
    for (size_t i = 0; i < digits.n; i++) {
        int d = hex_digit(digits.p[i]);
        if (d < 0) return incomplete(e, "a chunk's size is not 1 to 8 hexadecimal digits");
        n = n * 16 + (size_t)d;
    }
    *ret = n;
    return 0;
}

static int wrong_signature(struct err *e, const char *of) {
    return err_set(e, ERR_S3_SIGNATURE,
                   "The request signature we calculated does not match the signature you provided: that of %s. Check "
                   "your key and signing method.",
                   of);
}

/* extension: what follows the size, "chunk-signature=..." */
static int check_chunk(struct reader *r, struct str extension, struct str data, struct err *e) {
    char expected[65];
    if (!r->in->is_signed) return 0;
    if (!str_starts(extension, STR("chunk-signature="))) return incomplete(e, "a chunk has no chunk-signature");
    if (!r->in->stream) return 0;
    sign_stream_chunk(r->in->stream, data, expected);
    if (crypto_equal(str_from(extension, 16), str_n(expected, 64))) return 0;
    return wrong_signature(e, "a chunk");
}

static int read_end(struct reader *r, struct err *e) {
    struct str nothing;
    if (read_line(r, &nothing, e)) return -1;
    return nothing.n ? incomplete(e, "a chunk is longer than its size says") : 0;
}

/* *ret_last: it was the empty one; its end is left to the trailer. */
static int read_chunk(struct reader *r, bool *ret_last, struct err *e) {
    struct str line, digits;
    size_t n = 0;
    if (read_line(r, &line, e)) return -1;
    digits = str_cut(&line, ';');
    if (read_size(digits, &n, e)) return -1;
    if (r->rest.n < n) return incomplete(e, "a chunk is shorter than its size says");
    struct str data = str_take(r->rest, n);
    if (check_chunk(r, line, data, e)) return -1;
    *ret_last = n == 0;
    if (!n) return 0;
    if (r->small)
        return err_set(e, ERR_S3_CHUNK_SIZE, "Only the last chunk is allowed to have a size less than %d bytes",
                       CHUNK_MIN);
    r->small = r->in->is_signed && n < CHUNK_MIN;
    memcpy(r->to, data.p, n);
    r->to += n;
    r->rest = str_from(r->rest, n);
    return read_end(r, e);
}

/* -- trailing headers -------------------------------------------------------------------------------------------- */

static int bad_trailer(struct err *e, const char *why) {
    return err_set(e, ERR_S3_TRAILER, "The request contained trailing data that was not well-formed: %s", why);
}

static bool is_declared(const struct reader *r, struct str name) {
    for (struct str rest = r->in->names; rest.p;)
        if (str_ieq(str_trim(str_cut(&rest, ',')), name)) return true;
    return false;
}

static bool is_there(const struct reader *r, struct str name) {
    for (size_t i = 0; i < r->out->n_trailers; i++)
        if (str_ieq(r->out->trailers[i].name, name)) return true;
    return false;
}

static int all_there(const struct reader *r, struct err *e) {
    for (struct str rest = r->in->names; rest.p;) {
        struct str name = str_trim(str_cut(&rest, ','));
        if (name.n && !is_there(r, name)) return bad_trailer(e, "a header that x-amz-trailer names is missing");
    }
    return 0;
}

static int add_trailer(struct reader *r, struct str name, struct str value, struct err *e) {
    struct chunked_out *o = r->out;
    if (!is_declared(r, name)) return bad_trailer(e, "it has a header that x-amz-trailer does not name");
    if (is_there(r, name)) return bad_trailer(e, "it has a header twice");
    if (o->n_trailers == TRAILERS_MAX) return bad_trailer(e, "it has too many headers");
    o->trailers[o->n_trailers++] = (struct http_header){name, value};
    return 0;
}

/* "lower-case-name:value\n" each. */
static struct str canonical(const struct reader *r) {
    struct buf b = BUF_MAX(TRAILERS_MAX * (LINE_MAX + 2));
    for (size_t i = 0; i < r->out->n_trailers; i++) {
        const struct http_header *h = &r->out->trailers[i];
        for (size_t k = 0; k < h->name.n; k++)
            buf_byte(&b, h->name.p[k] >= 'A' && h->name.p[k] <= 'Z' ? (char)(h->name.p[k] + 32) : h->name.p[k]);
        buf_byte(&b, ':');
        buf_str(&b, h->value);
        buf_byte(&b, '\n');
    }
    struct str text = arena_str(r->a, buf_view(&b));
    buf_free(&b);
    return text;
}

static int check_trailer(struct reader *r, struct str signature, struct err *e) {
    char expected[65];
    if (!r->in->is_signed) return 0;
    if (!signature.p) return bad_trailer(e, "x-amz-trailer-signature is missing");
    if (!r->in->stream) return 0;
    sign_stream_trailer(r->in->stream, canonical(r), expected);
    return crypto_equal(signature, str_n(expected, 64)) ? 0 : wrong_signature(e, "the trailer");
}

/* The empty line at the end may be missing; some clients put one before the signature. */
static int read_trailer(struct reader *r, struct err *e) {
    struct str signature = STR_NONE;
    r->out->trailers = ARENA_ARRAY(r->a, struct http_header, TRAILERS_MAX);
    while (r->rest.n) {
        struct str value, name;
        if (read_line(r, &value, e)) return bad_trailer(e, "a line does not end");
        if (!value.n) continue;
        name = str_trim(str_cut(&value, ':'));
        if (!name.n || !value.p) return bad_trailer(e, "a line is not \"name:value\"");
        if (signature.p) return bad_trailer(e, "something follows x-amz-trailer-signature");
        value = str_trim(value);
        if (r->in->is_signed && str_ieq(name, STR("x-amz-trailer-signature")))
            signature = value;
        else if (add_trailer(r, name, value, e))
            return -1;
    }
    if (all_there(r, e)) return -1;
    return check_trailer(r, signature, e);
}

static int read_nothing(struct reader *r, struct err *e) {
    struct str line = STR_NONE;
    if (r->rest.n && read_line(r, &line, e)) return -1;
    return line.n || r->rest.n ? incomplete(e, "something follows the last chunk") : 0;
}

int chunked_decode(const struct chunked_in *in, struct arena *a, struct chunked_out *ret, struct err *e) {
    struct reader r = {.in = in, .rest = in->body, .a = a, .out = ret};
    char *data = arena_alloc(a, in->body.n + 1);
    bool last = false;
    *ret = (struct chunked_out){0};
    r.to = data;
    while (!last)
        if (read_chunk(&r, &last, e)) return -1;
    ret->data = str_n(data, (size_t)(r.to - data));
    return in->trailer ? read_trailer(&r, e) : read_nothing(&r, e);
}
