#include "rig.h"
#include "base/crypto.h"
#include "base/xml.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USES = 5000, JSON_NESTING = 1000 };

void must(bool good) {
    if (!good) abort();
}

/* == the engine ==================================================================================================== */

static struct rig the_rig;
static void (*on_close)(void);

void rig_on_close(void (*fn)(void)) {
    on_close = fn;
}

void rig_call(struct rig *g, enum aws_op op, const char *params) {
    struct aws_call *c = aws_call_new(op);
    struct err e = {0};
    if (json_parse(&c->arena, str_c(params), NULL, &c->params, &e)) fatal("%s", e.msg);
    aws_call_wait(local_backend(g->conn), g->loop, c);
    if (c->err.code) fatal("%s", c->err.msg);
    aws_call_free(c);
}

static void close_rig(void) {
    struct rig *g = &the_rig;
    if (!g->loop) return;
    if (on_close) on_close();
    local_detach(g->conn);
    local_close(g->local);
    loop_close(g->loop);
    *g = (struct rig){0};
}

static void open_rig(struct rig *g, bool no_verify) {
    struct err e = {0};
    uint8_t sum[32];
    crypto_digest_end(crypto_digest_new("md5"), sum); /* OpenSSL sets itself up in this thread: it never frees that */
    g->log.level = LOG_OFF;
    struct local_config c = {.no_verify = no_verify, .control = LOCAL_CONTROL_LOOPBACK, .log = &g->log};
    if (loop_open(&g->loop, &e) || local_open(&c, &g->local, &e) || local_attach(g->local, g->loop, &g->conn, &e))
        fatal("%s", e.msg);
    local_set_endpoint(g->local, 4566, "");
    rig_call(g, AWS_S3_CreateBucket, "{\"Bucket\":\"bkt\"}");
    rig_call(g, AWS_SQS_CreateQueue, "{\"QueueName\":\"q\"}");
    rig_call(g, AWS_DYNAMODB_CreateTable,
             "{\"TableName\":\"Orders\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[{"
             "\"AttributeName\":"
             "\"id\",\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"}]}");
}

struct rig *rig_get(bool no_verify, bool spoiled) {
    static bool registered;
    if (!registered) atexit(close_rig);
    registered = true;
    if (spoiled || the_rig.uses >= USES) close_rig();
    if (!the_rig.loop) open_rig(&the_rig, no_verify);
    the_rig.uses++;
    return &the_rig;
}

/* == answers ======================================================================================================= */

struct str head_value(struct str head, const char *name) {
    for (struct str rest = head; rest.n;) {
        struct str value = str_trim(str_cut(&rest, '\n')), key = str_cut(&value, ':');
        if (str_ieq(key, str_c(name))) return value.p ? str_trim(value) : STR("");
    }
    return STR_NONE;
}

static void check_xml(struct arena *a, struct str body) {
    struct xml *x = NULL;
    struct err e = {0};
    must(!xml_parse(a, body, &x, &e));
}

static void check_json(struct arena *a, struct str body) {
    const struct json_limits limits = {.depth = JSON_NESTING};
    struct json v;
    struct err e = {0};
    must(!json_parse(a, body, &limits, &v, &e) && json_is(&v, JSON_OBJ));
}

static void check_crc32(struct str stated, struct str body) {
    char text[16];
    snprintf(text, sizeof text, "%u", crypto_crc32(body));
    must(str_is(stated, text));
}

void check_answer(struct str method, int status, struct str head, struct str body) {
    struct arena a = {0};
    struct str type = head_value(head, "content-type"), crc = head_value(head, "x-amz-crc32");
    bool object = status < 300 && head_value(head, "etag").p; /* its owner says what it is */
    must(status >= 200 && status <= 599);
    if (status == 204 || status == 304) must(!body.n);
    if (body.n && !object && !str_is(method, "HEAD")) {
        if (str_find(type, STR("xml"), 0) >= 0) check_xml(&a, body);
        if (str_find(type, STR("json"), 0) >= 0) check_json(&a, body);
        if (crc.p) check_crc32(crc, body);
    }
    arena_free(&a);
}

/* == requests ====================================================================================================== */

struct asked {
    int answers, status;
    struct str method;
    struct buf *body;
};

static void answered(void *ud, struct http_response *res) {
    struct asked *q = ud;
    q->answers++;
    q->status = res->status;
    if (res->file < 0) check_answer(q->method, res->status, buf_view(&res->head), buf_view(&res->body));
    if (q->body && res->file < 0) buf_str(q->body, buf_view(&res->body));
    http_response_free(res);
}

void rig_request(struct rig *g, struct http_request *r, int *ret_status, struct buf *ret_body) {
    struct asked q = {.method = r->method, .body = ret_body};
    void *ticket = local_face(g->conn, r, answered, &q);
    if (ticket)
        local_face_cancel(ticket);
    else
        while (!q.answers) loop_once(g->loop, -1);
    loop_once(g->loop, 0);
    must(q.answers == !ticket);
    *ret_status = q.status;
}

void read_request(struct str text, struct arena *a, struct http_header *headers, size_t max, struct http_request *r) {
    struct str rest = arena_str(a, text), line = str_cut(&rest, '\n');
    *r = (struct http_request){.version = STR("HTTP/1.1"), .request_id = STR("r"), .arena = a, .loopback = true};
    r->method = str_cut(&line, ' ');
    r->target = line.p ? line : STR("/");
    struct str query = r->target;
    r->path = str_cut(&query, '?');
    r->raw_query = query.p ? query : STR("");
    r->headers = headers;
    while (rest.p && r->n_headers < max) {
        struct str value = str_cut(&rest, '\n'), name = str_cut(&value, ':');
        if (!name.n) break;
        headers[r->n_headers++] = (struct http_header){name, value.p ? str_trim(value) : STR("")};
    }
    r->body = rest.p ? rest : STR("");
}
