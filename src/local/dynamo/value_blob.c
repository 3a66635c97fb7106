/* Items as stored: the blob format is described in dynamo.h. */
#include "local/dynamo/dynamo.h"
#include <string.h>

enum { BLOB_VERSION = 1 };

/* ==== writing: one pass for the length, one for the bytes ==== */

struct out {
    uint8_t *p; /* NULL: only count */
    size_t n;
};

static void put_byte(struct out *o, uint8_t b) {
    if (o->p) o->p[o->n] = b;
    o->n++;
}

static void put_varint(struct out *o, uint64_t v) {
    for (; v >= 0x80; v >>= 7) put_byte(o, (uint8_t)(v | 0x80));
    put_byte(o, (uint8_t)v);
}

static void put_bytes(struct out *o, struct str s) {
    put_varint(o, s.n);
    if (o->p && s.n) memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
}

static void put_value(struct out *o, const struct av *v);

static void put_members(struct out *o, const struct av *m) {
    put_varint(o, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        put_bytes(o, m->members[i].name);
        put_value(o, &m->members[i].value);
    }
}

static void put_items(struct out *o, const struct av *v) {
    put_varint(o, v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->type == AV_L)
            put_value(o, &v->items[i]);
        else
            put_bytes(o, v->items[i].s);
    }
}

static void put_value(struct out *o, const struct av *v) {
    put_byte(o, (uint8_t)v->type);
    switch (v->type) {
    case AV_S:
    case AV_N:
    case AV_B:
        put_bytes(o, v->s);
        break;
    case AV_BOOL:
        put_byte(o, v->boolean);
        break;
    case AV_M:
        put_members(o, v);
        break;
    case AV_NULL:
        break;
    default:
        put_items(o, v);
    }
}

struct str av_encode(struct arena *a, const struct av *m) {
    struct out o = {0};
    put_byte(&o, BLOB_VERSION);
    put_members(&o, m);
    o.p = arena_alloc(a, o.n);
    o.n = 0;
    put_byte(&o, BLOB_VERSION);
    put_members(&o, m);
    return str_n((char *)o.p, o.n);
}

/* ==== reading ==== */

struct in {
    struct arena *a;
    const uint8_t *p, *end;
    bool bad;
    int depth;
};

static uint64_t get_varint(struct in *in) {
    uint64_t v = 0;
    for (int shift = 0; shift < 63 && in->p < in->end; shift += 7) {
        uint8_t b = *in->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) return v;
    }
    in->bad = true;
    return 0;
}

static struct str get_bytes(struct in *in) {
    uint64_t n = get_varint(in);
    if (n > (size_t)(in->end - in->p)) in->bad = true;
    if (in->bad) return STR("");
    struct str s = str_n((const char *)in->p, n);
    in->p += n;
    return s;
}

/* Every element takes at least one byte, so the count is bounded by what is left. */
static uint32_t get_count(struct in *in) {
    uint64_t n = get_varint(in);
    if (n > (size_t)(in->end - in->p)) in->bad = true;
    return in->bad ? 0 : (uint32_t)n;
}

static void get_value(struct in *in, struct av *ret);

static void get_members(struct in *in, struct av *ret) {
    uint32_t n = get_count(in);
    *ret = (struct av){.type = AV_M, .n = n, .cap = n, .members = arena_alloc(in->a, n * sizeof *ret->members)};
    for (uint32_t i = 0; i < n; i++) {
        ret->members[i].name = get_bytes(in);
        get_value(in, &ret->members[i].value);
        if (in->bad) ret->n = i;
        if (in->bad) return;
    }
}

static void get_items(struct in *in, enum av_type t, struct av *ret) {
    static const enum av_type of[] = {[AV_SS] = AV_S, [AV_NS] = AV_N, [AV_BS] = AV_B};
    uint32_t n = get_count(in);
    *ret = (struct av){.type = t, .n = n, .cap = n, .items = arena_alloc(in->a, n * sizeof *ret->items)};
    for (uint32_t i = 0; i < n && !in->bad; i++) {
        if (t == AV_L)
            get_value(in, &ret->items[i]);
        else
            ret->items[i] = (struct av){.type = of[t], .s = get_bytes(in)};
    }
}

static bool get_bool(struct in *in) {
    if (in->p == in->end || *in->p > 1) in->bad = true;
    return !in->bad && *in->p++;
}

static void get_value(struct in *in, struct av *ret) {
    *ret = (struct av){.type = AV_NULL};
    enum av_type t = in->p < in->end ? (enum av_type) * in->p++ : AV_GONE;
    if (t < AV_S || t >= AV_GONE || in->depth > NESTING_MAX) in->bad = true;
    if (in->bad) return;
    in->depth++;
    ret->type = t;
    if (t == AV_S || t == AV_N || t == AV_B)
        ret->s = get_bytes(in);
    else if (t == AV_BOOL)
        ret->boolean = get_bool(in);
    else if (t == AV_M)
        get_members(in, ret);
    else if (t != AV_NULL)
        get_items(in, t, ret);
    in->depth--;
}

int av_decode(struct arena *a, struct str blob, struct av *ret, struct err *e) {
    struct in in = {.a = a, .p = (const uint8_t *)blob.p, .end = (const uint8_t *)blob.p + blob.n};
    if (!blob.n || *in.p++ != BLOB_VERSION)
        return err_set(e, ERR_CORRUPT, "a stored item has the unknown format %d", blob.n ? blob.p[0] : -1);
    get_members(&in, ret);
    if (in.bad || in.p != in.end) return err_set(e, ERR_CORRUPT, "a stored item of %zu bytes is damaged", blob.n);
    return 0;
}
