/* record: jobs and their calls as documents. */
#include "probe/record.h"
#include "base/crypto.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECT_MAX = 256 << 10, DOCUMENT_MAX = 8 << 20 };

struct recorder {
    struct recorder_config c;
    struct list jobs; /* struct recording */
    uint64_t dropped;
};
struct recording {
    struct list node;
    uint64_t job, n, start_ns;
    char version[17];
    size_t bytes; /* of the calls that have their answers */
    struct buf members;
    struct list calls; /* struct call_text, in the order of starting */
};
struct call_text {
    struct list node;
    const struct aws_call *call; /* NULL: it has its answer */
    struct buf text;
};

/* -- members --------------------------------------------------------------------------------------------------- */

void record_text(struct buf *b, const char *name, struct str value) {
    buf_printf(b, "\"%s\":", name);
    json_write_str(b, value);
    buf_byte(b, ',');
}

void record_number(struct buf *b, const char *name, int64_t value) {
    buf_printf(b, "\"%s\":%lld,", name, (long long)value);
}

void record_bytes(struct buf *b, const char *name, struct str bytes, size_t max) {
    bool text = bytes.n <= max && str_bad_utf8(bytes) < 0;
    if (bytes.n > max) {
        buf_printf(b, "\"%s_omitted\":%zu", name, bytes.n);
        return;
    }
    buf_printf(b, text ? "\"%s\":" : "\"%s_base64\":\"", name);
    if (text) {
        json_write_str(b, bytes.p ? bytes : STR(""));
        return;
    }
    crypto_base64(b, bytes);
    buf_byte(b, '"');
}

static void member(struct buf *b, const char *name, const struct json *v) {
    buf_printf(b, "\"%s\":", name);
    json_write(b, v);
    buf_byte(b, ',');
}

/* Bytes of an object, in memory or the first `len` of a file. */
static void object(const struct recorder *r, struct buf *b, const char *name, struct str bytes, int fd, uint64_t len) {
    struct buf file = BUF_MAX(r->c.object_max);
    if (fd >= 0 && len <= r->c.object_max) {
        buf_reserve(&file, len);
        ssize_t n = pread(fd, file.p, len, 0);
        file.n = n > 0 ? (size_t)n : 0;
        bytes = buf_view(&file);
    }
    if (fd >= 0 && len > r->c.object_max)
        buf_printf(b, "\"%s_omitted\":%llu,", name, (unsigned long long)len);
    else if (bytes.p) {
        record_bytes(b, name, bytes, r->c.object_max);
        buf_byte(b, ',');
    }
    buf_free(&file);
}

/* -- calls ------------------------------------------------------------------------------------------------------- */

static struct call_text *call_new(struct recorder *r, struct recording *x) {
    struct call_text *t = calloc(1, sizeof *t);
    if (!t) fatal("out of memory for a recording");
    t->text = BUF_MAX(r->c.document_max);
    list_add(&x->calls, &t->node);
    return t;
}

static void call_free(struct call_text *t) {
    list_del(&t->node);
    buf_free(&t->text);
    free(t);
}

static bool has_room(const struct recorder *r, const struct recording *x) {
    return x->bytes <= r->c.document_max;
}

static struct call_text *begin_call(struct recorder *r, struct recording *x, const struct aws_call *call) {
    if (!has_room(r, x)) return NULL;
    struct call_text *t = call_new(r, x);
    struct buf *b = &t->text;
    t->call = call;
    buf_byte(b, '{');
    record_number(b, "n", (int64_t)++x->n);
    record_text(b, "service", str_c(aws_service_name(call->row->service)));
    record_text(b, "action", str_c(call->row->action));
    member(b, "params", &call->params);
    object(r, b, "body", call->body, call->body_fd, call->body_len);
    return t;
}

static void on_before(void *ud, const struct aws_call *call) {
    struct recorder *r = ud;
    struct recording *x = recorder_find(r, call->context.job);
    struct call_text *t = x ? begin_call(r, x, call) : NULL;
    if (t) record_before(&r->c, call, &t->text);
}

static void write_error(struct buf *b, const struct err *e, const struct json *more) {
    buf_c(b, "\"error\":{");
    record_text(b, "code", str_c(err_name_of(e)));
    record_text(b, "message", str_c(e->msg));
    if (more->n) member(b, "more", more);
    buf_printf(b, "\"status\":%d},", err_status_of(e));
}

static uint64_t file_bytes(const struct aws_call *call) {
    const struct json *v = json_get(&call->result, "ContentLength");
    int64_t n = 0;
    return json_i64(v, &n) && n > 0 ? (uint64_t)n : 0;
}

static void write_answer(const struct recorder *r, struct buf *b, const struct probe_call *c) {
    const struct aws_call *call = c->call;
    if (c->told.code)
        write_error(b, &c->told, &call->result);
    else {
        member(b, "result", &call->result);
        object(r, b, "result_body", call->result_body, call->result_fd, file_bytes(call));
    }
    if (c->fault) record_text(b, "fault", str_c(c->fault));
    record_number(b, "began_ms", c->began_ms);
    record_number(b, "ended_ms", c->ended_ms);
    buf_printf(b, "\"effect\":%s}", c->effect ? "true" : "false");
}

static struct call_text *find_call(struct recording *x, const struct aws_call *call) {
    for (struct list *n = x->calls.prev; n != &x->calls; n = n->prev)
        if (CONTAINER(n, struct call_text, node)->call == call) return CONTAINER(n, struct call_text, node);
    return NULL;
}

static void on_seen(void *ud, const struct probe_call *c) {
    struct recorder *r = ud;
    struct recording *x = recorder_find(r, c->call->context.job);
    struct call_text *t = x ? find_call(x, c->call) : NULL;
    if (x && !t) t = begin_call(r, x, c->call); /* a fault kept it from being carried out */
    if (!t) return;
    write_answer(r, &t->text, c);
    t->call = NULL;
    x->bytes += t->text.n;
}

/* -- jobs -------------------------------------------------------------------------------------------------------- */

struct recording *recorder_begin(struct recorder *r, uint64_t job, const char *version) {
    struct recording *x = calloc(1, sizeof *x);
    if (!x) fatal("out of memory for a recording");
    x->job = job;
    x->start_ns = now_mono_ns();
    strncpy(x->version, version, sizeof x->version - 1);
    x->members = BUF_MAX(r->c.document_max);
    list_init(&x->calls);
    list_add(&r->jobs, &x->node);
    return x;
}

struct recording *recorder_find(struct recorder *r, uint64_t job) {
    for (struct list *n = r->jobs.next; job && n != &r->jobs; n = n->next)
        if (CONTAINER(n, struct recording, node)->job == job) return CONTAINER(n, struct recording, node);
    return NULL;
}

struct buf *recording_members(struct recording *x) {
    return &x->members;
}

uint64_t recording_ns(const struct recording *x) {
    return now_mono_ns() - x->start_ns;
}

static void recording_free(struct recording *x) {
    while (!list_empty(&x->calls)) call_free(CONTAINER(x->calls.next, struct call_text, node));
    list_del(&x->node);
    buf_free(&x->members);
    free(x);
}

static void write_calls(struct buf *b, struct recording *x) {
    bool first = true;
    buf_c(b, "\"calls\":[");
    for (struct list *n = x->calls.next; n != &x->calls; n = n->next) {
        struct call_text *t = CONTAINER(n, struct call_text, node);
        if (t->call) buf_c(&t->text, "\"unanswered\":true}");
        if (!first) buf_byte(b, ',');
        buf_str(b, buf_view(&t->text));
        b->over = b->over || t->text.over;
        first = false;
    }
    buf_c(b, "]}");
}

/* JSON is UTF-8, and what clients send in headers and targets may be none: each such byte becomes U+FFFD. */
static void make_utf8(struct buf *b) {
    struct buf clean = BUF_MAX(b->max);
    struct str rest = buf_view(b);
    ptrdiff_t bad = str_bad_utf8(rest);
    if (bad < 0) return;
    for (; bad >= 0; bad = str_bad_utf8(rest)) {
        buf_str(&clean, str_take(rest, (size_t)bad));
        buf_c(&clean, "\xef\xbf\xbd");
        rest = str_from(rest, (size_t)bad + 1);
    }
    buf_str(&clean, rest);
    buf_free(b);
    *b = clean;
}

void recorder_end(struct recorder *r, struct recording *x) {
    struct buf b = BUF_MAX(r->c.document_max);
    buf_byte(&b, '{');
    buf_str(&b, buf_view(&x->members));
    write_calls(&b, x);
    make_utf8(&b);
    if (b.over || x->members.over || !has_room(r, x)) {
        r->dropped++;
        buf_free(&b);
    } else {
        r->c.sink(r->c.ud, x->version, &b);
    }
    recording_free(x);
}

uint64_t recorder_dropped(const struct recorder *r) {
    return r->dropped;
}

int recorder_open(const struct recorder_config *c, struct recorder **ret, struct err *e) {
    struct recorder *r = calloc(1, sizeof *r);
    if (!r) fatal("out of memory for a recorder");
    r->c = *c;
    if (!r->c.object_max) r->c.object_max = OBJECT_MAX;
    if (!r->c.document_max) r->c.document_max = DOCUMENT_MAX;
    list_init(&r->jobs);
    if (probe_listen(c->probe, on_seen, r, e)) {
        free(r);
        return -1;
    }
    probe_before(c->probe, on_before, r);
    *ret = r;
    return 0;
}

void recorder_close(struct recorder *r) {
    if (!r) return;
    probe_before(r->c.probe, NULL, NULL);
    probe_unlisten(r->c.probe, on_seen, r);
    while (!list_empty(&r->jobs)) recording_free(CONTAINER(r->jobs.next, struct recording, node));
    free(r);
}
