/* lambda_stream: an answer in parts: POST /response, chunked, begun while the handler runs (Lambda developer guide,
 * "Response streaming"; the prelude as @types of awslambda.HttpResponseStream). An error after the beginning is told in
 * trailers. */
#include "base/crypto.h"
#include "base/json.h"
#include "in/lambda.h"

/* Lambda's server is Go's net/http, which reads trailers of its buffer's size only, 4096 bytes: an answer with longer
 * ones counts as broken off. A third of it is base64's. */
enum { PRELUDE_MAX = 512 << 10, TRAILERS_MAX = 4095, ERROR_MAX = 2800, DOCUMENT_MAX = 512 << 10 };

static struct str cut_header(struct str *lines, struct str *ret_value) {
    struct str line = str_cut(lines, '\n'), name = str_cut(&line, ':');
    *ret_value = str_trim(line);
    return name;
}

static bool is_cookie(struct str name) {
    return str_ieq(name, STR("set-cookie"));
}

/* Values of one name, joined (RFC 9110 5.2); only for the first line of it. */
static void write_header(struct buf *b, struct str all, struct str name, struct str at) {
    struct buf joined = BUF_MAX(PRELUDE_MAX);
    struct str value;
    for (struct str rest = all; rest.n;) {
        const char *line = rest.p;
        if (!str_ieq(cut_header(&rest, &value), name)) continue;
        if (line < at.p) goto out;
        if (joined.n) buf_c(&joined, ", ");
        buf_str(&joined, value);
    }
    if (b->p[b->n - 1] != '{') buf_byte(b, ',');
    json_write_str(b, name);
    buf_byte(b, ':');
    json_write_str(b, buf_view(&joined));
out:
    buf_free(&joined);
}

static void write_headers(struct buf *b, struct str all) {
    struct str value;
    buf_c(b, ",\"headers\":{");
    for (struct str rest = all; rest.n;) {
        struct str at = rest, name = cut_header(&rest, &value);
        if (name.n && !is_cookie(name)) write_header(b, all, name, at);
    }
    buf_byte(b, '}');
}

static void write_cookies(struct buf *b, struct str all) {
    const char *before = ",\"cookies\":[";
    struct str value;
    while (all.n) {
        if (!is_cookie(cut_header(&all, &value))) continue;
        buf_c(b, before);
        json_write_str(b, value);
        before = ",";
    }
    if (*before == ',' && !before[1]) buf_byte(b, ']');
}

static void write_prelude(struct buf *b, const struct http_response *head) {
    struct str lines = buf_view(&head->head);
    buf_printf(b, "{\"statusCode\":%d", head->status);
    write_headers(b, lines);
    write_cookies(b, lines);
    buf_byte(b, '}');
    buf_add(b, "\0\0\0\0\0\0\0\0", 8);
}

static void on_drained(void *ud) {
    struct lambda_slot *s = ud;
    if (s->state == SLOT_RUNNING && s->stream.drained) s->stream.drained(s->stream.ud);
}

static void begin(void *stream, struct http_response *head) {
    struct lambda_slot *s = stream;
    struct lambda_conn *c = &s->conn;
    struct buf prelude = BUF_MAX(PRELUDE_MAX);
    write_prelude(&prelude, head);
    lambda_slot_request(s, "response");
    lambda_header(c, "Content-Type", STR("application/vnd.awslambda.http-integration-response"));
    lambda_header(c, "Lambda-Runtime-Function-Response-Mode", STR("streaming"));
    lambda_header(c, "Transfer-Encoding", STR("chunked"));
    lambda_header(c, "Trailer", STR("Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"));
    buf_printf(&c->out, "\r\n%zx\r\n", prelude.n);
    buf_str(&c->out, buf_view(&prelude));
    buf_c(&c->out, "\r\n");
    c->drained = on_drained;
    s->streamed = true;
    lambda_conn_begin(c, lambda_slot_answered, s);
    buf_free(&prelude);
    buf_free(&head->head);
}

static size_t write_part(void *stream, struct str bytes) {
    struct lambda_slot *s = stream;
    return lambda_conn_chunk(&s->conn, bytes);
}

static const struct http_stream_ops ops = {begin, write_part};

void lambda_stream_init(struct lambda_slot *s) {
    s->stream = (struct http_stream){.ops = &ops, .stream = s};
    s->streamed = false;
    s->conn.drained = NULL;
}

void lambda_stream_answered(struct lambda_slot *s, const struct err *e) {
    log_event(s->l->c.log, LOG_WARN, "a stream was ended by Lambda before its handler", "Sis", "request_id",
              s->event.id, "status", (int64_t)(e ? 0 : s->conn.answer.status), "error", e ? e->msg : NULL);
    if (s->run) route_invoke_cancel(s->run);
    s->run = NULL;
    s->state = SLOT_ANSWERING;
    lambda_slot_answered(s, e);
}

void lambda_stream_end(struct lambda_slot *s, const struct lambda_failure *f) {
    struct buf trailers = BUF_MAX(TRAILERS_MAX), body = BUF_MAX(DOCUMENT_MAX);
    if (f) {
        buf_c(&trailers, "Lambda-Runtime-Function-Error-Type: ");
        lambda_error_type(&trailers, f);
        buf_c(&trailers, "\r\nLambda-Runtime-Function-Error-Body: ");
        lambda_error_short(&body, f, ERROR_MAX);
        crypto_base64(&trailers, buf_view(&body));
        buf_c(&trailers, "\r\n");
    }
    lambda_conn_end(&s->conn, buf_view(&trailers));
    buf_free(&trailers);
    buf_free(&body);
}
