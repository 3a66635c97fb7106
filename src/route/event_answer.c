/* Answers -> the documents that the services want. */
#include "base/crypto.h"
#include "route/event.h"
#include <ctype.h>

enum { ALB_MAX = 1024 * 1024 };

// ---- text or bytes ----

static bool starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && str_ieq(str_take(s, prefix.n), prefix);
}

static bool is_binary_type(struct str type) {
    static const char *const kinds[] = {"image/", "audio/", "video/", "font/", NULL};
    static const char *const types[] = {"application/octet-stream", "application/pdf",      "application/zip",
                                        "application/gzip",         "application/protobuf", NULL};
    type = str_trim(str_cut(&type, ';'));
    if (str_ieq(type, STR("image/svg+xml"))) return false;
    for (int i = 0; kinds[i]; i++)
        if (starts(type, str_c(kinds[i]))) return true;
    for (int i = 0; types[i]; i++)
        if (str_ieq(type, str_c(types[i]))) return true;
    return false;
}

bool event_is_text(struct str content_type, struct str body) {
    return !body.n || (!is_binary_type(content_type) && str_bad_utf8(body) < 0);
}

// ---- headers ----

struct line {
    struct str name, value;
    bool written;
};
struct head {
    struct line *lines;
    size_t n;
};

static struct str next_line(struct str *rest, struct str *ret_name) {
    struct str line = str_cut(rest, '\n');
    *ret_name = str_cut(&line, ':');
    return str_trim(line);
}

struct str event_head_get(struct str head, struct str name) {
    while (head.p && head.n) {
        struct str found, value = next_line(&head, &found);
        if (str_ieq(found, name)) return value;
    }
    return STR_NONE;
}

static struct head split(struct arena *a, struct str text) {
    struct head h = {0};
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '\n';
    h.lines = ARENA_ARRAY(a, struct line, n);
    while (text.p && text.n) {
        struct line *l = &h.lines[h.n];
        l->value = next_line(&text, &l->name);
        h.n += l->name.n > 0;
    }
    return h;
}

static bool is_repeated(const struct head *h, size_t at) {
    for (size_t i = 0; i < h->n; i++)
        if (i != at && str_ieq(h->lines[i].name, h->lines[at].name)) return true;
    return false;
}

static bool is_cookie(const struct line *l) {
    return str_ieq(l->name, STR("set-cookie"));
}

static void comma(struct buf *b, bool *any) {
    if (*any) buf_byte(b, ',');
    *any = true;
}

static void write_list(struct buf *b, struct head *h, size_t at) {
    bool any = false;
    json_write_str(b, h->lines[at].name);
    buf_c(b, ":[");
    for (size_t i = at; i < h->n; i++) {
        struct line *l = &h->lines[i];
        if (!str_ieq(l->name, h->lines[at].name)) continue;
        comma(b, &any);
        json_write_str(b, l->value);
        l->written = true;
    }
    buf_byte(b, ']');
}

/* Lists of values: of all headers, or only of the repeated ones. */
static void write_lists(struct buf *b, struct head *h, const char *key, bool all) {
    bool any = false;
    for (size_t i = 0; i < h->n; i++) {
        if (h->lines[i].written || (!all && !is_repeated(h, i))) continue;
        if (!any) buf_printf(b, ",\"%s\":{", key);
        comma(b, &any);
        write_list(b, h, i);
    }
    if (any) buf_byte(b, '}');
}

static void write_joined(struct arena *a, struct buf *b, struct head *h, size_t at) {
    struct str value = h->lines[at].value;
    for (size_t i = at + 1; i < h->n; i++) {
        struct line *l = &h->lines[i];
        if (l->written || !str_ieq(l->name, h->lines[at].name)) continue;
        value = arena_printf(a, "%.*s, %.*s", STR_ARG(value), STR_ARG(l->value));
        l->written = true;
    }
    json_write_str(b, h->lines[at].name);
    buf_byte(b, ':');
    json_write_str(b, value);
}

/* Set-Cookie cannot be joined (RFC 9110 5.3). Where a name has one value, each cookie gets a spelling of the name of
 * its own: "set-cookie", "Set-cookie", "sEt-cookie", ... */
static void write_cookie(struct buf *b, const struct line *l, unsigned spelling) {
    char name[] = "set-cookie";
    for (size_t i = 0; name[i]; i++) {
        if (!isalpha((unsigned char)name[i])) continue;
        if (spelling & 1) name[i] = (char)toupper((unsigned char)name[i]);
        spelling >>= 1;
    }
    json_write_str(b, str_c(name));
    buf_byte(b, ':');
    json_write_str(b, l->value);
}

/* One value a name. Cookies: 0 they are elsewhere, else spelled. */
static void write_single(struct arena *a, struct buf *b, struct head *h, bool cookies) {
    bool any = false;
    unsigned spelling = 0;
    buf_c(b, ",\"headers\":{");
    for (size_t i = 0; i < h->n; i++) {
        struct line *l = &h->lines[i];
        if (l->written || (is_cookie(l) && !cookies)) continue;
        comma(b, &any);
        l->written = true;
        if (is_cookie(l))
            write_cookie(b, l, spelling++);
        else
            write_joined(a, b, h, i);
    }
    buf_byte(b, '}');
}

static void write_cookies(struct buf *b, const struct head *h) {
    bool any = false;
    for (size_t i = 0; i < h->n; i++) {
        if (!is_cookie(&h->lines[i])) continue;
        buf_c(b, any ? "," : ",\"cookies\":[");
        any = true;
        json_write_str(b, h->lines[i].value);
    }
    if (any) buf_byte(b, ']');
}

static void write_headers(struct arena *a, struct buf *b, const struct event_http *in, struct head *h) {
    switch (in->kind) {
    case EVENT_HTTP_V2:
    case EVENT_URL:
        write_single(a, b, h, false);
        write_cookies(b, h);
        return;
    case EVENT_ALB:
        if (in->multi_value)
            write_lists(b, h, "multiValueHeaders", true);
        else
            write_single(a, b, h, true);
        return;
    default: /* API Gateway merges the two */
        write_lists(b, h, "multiValueHeaders", false);
        write_single(a, b, h, true);
    }
}

// ---- the document ----

static void write_body(struct buf *b, const struct http_response *res, struct str type) {
    struct str body = buf_view(&res->body);
    bool text = event_is_text(type, body);
    buf_c(b, ",\"body\":");
    if (text) {
        json_write_str(b, body);
    } else {
        buf_byte(b, '"');
        crypto_base64(b, body);
        buf_byte(b, '"');
    }
    buf_printf(b, ",\"isBase64Encoded\":%s}", text ? "false" : "true");
}

/* Shapes: API Gateway developer guide, "Output format of a Lambda function for proxy integration in API Gateway" and
 * "Create AWS Lambda proxy integrations for HTTP APIs"; Lambda developer guide, "Invoking Lambda function URLs";
 * Elastic Load Balancing user guide, "Lambda functions as targets" (its answers are at most 1 MB of JSON). */
int event_write_answer(struct buf *b, const struct event_http *in, const struct http_response *res, size_t max,
                       struct err *e) {
    ptrdiff_t bad = str_bad_utf8(buf_view(&res->head));
    if (bad >= 0) return err_set(e, ERR_VALIDATION, "the answer's headers are not UTF-8 (at byte %td)", bad);
    struct arena a = {0};
    struct head h = split(&a, buf_view(&res->head));
    size_t limit = in->kind == EVENT_ALB && max > ALB_MAX ? ALB_MAX : max;
    struct buf out = BUF_MAX(limit);
    buf_reserve(&out, res->body.n + res->head.n + 256 < limit ? res->body.n + res->head.n + 256 : limit);
    buf_printf(&out, "{\"statusCode\":%d", res->status);
    if (in->kind == EVENT_ALB)
        buf_printf(&out, ",\"statusDescription\":\"%d %s\"", res->status, http_reason(res->status));
    write_headers(&a, &out, in, &h);
    write_body(&out, res, event_head_get(buf_view(&res->head), STR("Content-Type")));
    arena_free(&a);
    if (buf_check(&out, "the answer document", e)) {
        buf_free(&out);
        return -1;
    }
    buf_free(b);
    *b = out;
    return 0;
}
