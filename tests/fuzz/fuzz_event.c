/* AWS event documents: a request that is read is made into a document and read again, an answer likewise; every
 * document is also read as an answer, by each of the services. */
#include "route/route.h"
#include <stdlib.h>

static void must(bool ok) {
    if (!ok) abort();
}

static bool starts_with_stage(struct str path) {
    return str_starts(path, STR("/stage"));
}

/* The same request, whichever service tells of it. */
static void again(struct arena *a, const struct event_http *h, enum event_kind kind) {
    struct event_route r = {.stage = STR("stage"),
                            .region = STR("r"),
                            .account = STR("a"),
                            .partition = STR("aws"),
                            .multi_value = kind == EVENT_ALB};
    struct json made;
    struct event_http back;
    struct err e;
    must(!event_make_http(a, kind, &h->request, &r, &made, &e));
    must(event_kind_of(&made) == kind);
    must(!event_read_http(a, &made, &back, &e));
    must(str_eq(back.request.method, h->request.method) && str_eq(back.request.body, h->request.body));
    must(starts_with_stage(h->path) || str_eq(back.path, h->path));
}

static void check_request(struct arena *a, const struct json *document) {
    struct event_http h;
    struct err e;
    if (event_read_http(a, document, &h, &e)) {
        must(e.msg[0] != '\0');
        return;
    }
    must(h.request.method.n > 0 && h.request.path.n > 0 && h.request.path.p[0] == '/');
    must(!h.path.p || str_bad_utf8(h.path) < 0);
    for (int k = EVENT_REST_V1; h.path.p && k <= EVENT_ALB; k++) again(a, &h, (enum event_kind)k);
}

static void check_messages(struct arena *a, const struct json *document) {
    struct event_messages list;
    struct err e;
    if (event_read_sqs(a, document, &list, &e)) {
        must(e.msg[0] != '\0');
        return;
    }
    for (size_t i = 0; i < list.n; i++) must(list.messages[i].id.n && list.messages[i].queue.n);
}

/* What a service takes for a response is written and taken again. */
static void check_answer(struct arena *a, const struct json *document, enum event_kind kind) {
    struct event_http in = {.kind = kind, .multi_value = true};
    struct http_response res, back;
    struct buf b = {0};
    struct json written;
    struct err e;
    event_read_answer(a, kind, document, &res);
    must(res.status >= 100 && res.status <= 599);
    if (!event_write_answer(&b, &in, &res, 1 << 20, &e)) {
        must(!json_parse(a, arena_str(a, buf_view(&b)), NULL, &written, &e));
        event_read_answer(a, kind, &written, &back);
        must(back.status == res.status && str_eq(buf_view(&back.body), buf_view(&res.body)));
        http_response_free(&back);
    }
    buf_free(&b);
    http_response_free(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct json document;
    struct err e;
    struct json_limits limits = {.duplicate_keys = true};
    if (!json_parse(&a, arena_str(&a, str_n((const char *)data, n)), &limits, &document, &e)) {
        enum event_kind kind = event_kind_of(&document);
        if (event_is_http(kind)) check_request(&a, &document);
        if (kind == EVENT_SQS) check_messages(&a, &document);
        for (int k = EVENT_REST_V1; k <= EVENT_ALB; k++) check_answer(&a, &document, (enum event_kind)k);
    }
    arena_free(&a);
    return 0;
}
