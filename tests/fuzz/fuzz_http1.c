/* in/http1.h: any bytes, fed at once and in pieces, as a server and as a client reads them. What is told does not
 * depend on where the bytes were cut, comes in order, and ends with a refusal. The first byte: what they are, and how
 * they are cut. */
#include "in/http1.h"
#include "rig.h"
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 4 << 20 };

/* What was told as text: heads, bodies in one piece each, ends, the error. */
struct told {
    struct http1 p;
    struct buf text;
    enum http1_event last;
};

static void note(struct buf *b, const char *what, struct str s) {
    buf_printf(b, "\n%s %zu ", what, s.n);
    buf_str(b, s);
}

static void note_headers(struct told *t) {
    for (size_t i = 0; i < t->p.n_headers; i++) {
        note(&t->text, "name", t->p.headers[i].name);
        note(&t->text, "value", t->p.headers[i].value);
    }
}

static void note_event(struct told *t, enum http1_event event) {
    if (event == HTTP1_HEAD) {
        buf_printf(&t->text, "\nhead %d %d %d %llu", t->p.status, t->p.close, t->p.chunked,
                   (unsigned long long)t->p.content_length);
        note(&t->text, "method", t->p.method);
        note(&t->text, "target", t->p.target);
        note_headers(t);
    } else if (event == HTTP1_BODY) {
        if (t->last != HTTP1_BODY) buf_c(&t->text, "\nbody ");
        buf_str(&t->text, t->p.part);
    } else if (event == HTTP1_END) {
        buf_c(&t->text, "\nend");
        note_headers(t);
    } else if (event == HTTP1_BAD) {
        buf_c(&t->text, "\nbad");
    }
    if (event != HTTP1_MORE) t->last = event;
}

/* A body ends before its end is told, and follows its head. */
static void check_order(const struct told *t, enum http1_event event) {
    bool within = t->last == HTTP1_HEAD || t->last == HTTP1_BODY;
    must(event != HTTP1_HEAD || !within);
    must((event != HTTP1_BODY && event != HTTP1_END) || within);
    must(event != HTTP1_BODY || t->p.part.n);
}

/* The piece is copied, so that reading past its end is seen. */
static bool feed(struct told *t, struct str piece) {
    char *copy = malloc(piece.n + !piece.n);
    struct str in = {memcpy(copy, piece.n ? piece.p : "", piece.n), piece.n};
    struct err e = {0};
    enum http1_event event;
    do {
        event = http1_feed(&t->p, &in, &e);
        check_order(t, event);
        note_event(t, event);
    } while (event != HTTP1_MORE && event != HTTP1_BAD);
    must(event == HTTP1_BAD || !in.n);
    must(event != HTTP1_BAD || *e.msg);
    free(copy);
    return event == HTTP1_MORE;
}

static void open_told(struct told *t, uint8_t kind) {
    *t = (struct told){.text = BUF_MAX(TOLD_MAX), .last = HTTP1_END};
    http1_init(&t->p, kind & 1 ? HTTP1_REQUEST : HTTP1_RESPONSE);
    t->p.no_body = kind & 2;
    t->p.head_max = kind & 4 ? 200 : 0;
}

static void end(struct told *t) {
    struct err e = {0};
    if (t->last != HTTP1_BAD) note_event(t, http1_eof(&t->p, &e));
    struct str none = STR_NONE;
    if (t->last == HTTP1_BAD) must(http1_feed(&t->p, &none, &e) == HTTP1_BAD);
}

static void close_told(struct told *t) {
    http1_free(&t->p);
    buf_free(&t->text);
}

static void read_pieces(struct told *t, struct str bytes, uint8_t kind, size_t step) {
    open_told(t, kind);
    for (size_t at = 0; at < bytes.n; at += step)
        if (!feed(t, str_take(str_from(bytes, at), step))) break;
    end(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct told whole, cut;
    if (!n) return 0;
    struct str bytes = str_n((const char *)data + 1, n - 1);
    read_pieces(&whole, bytes, *data, bytes.n + 1);
    read_pieces(&cut, bytes, *data, (*data >> 3) + 1u);
    must(str_eq(buf_view(&whole.text), buf_view(&cut.text)));
    close_told(&whole);
    close_told(&cut);
    return 0;
}
