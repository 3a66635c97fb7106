/* Whole requests to the cloud port: "METHOD target\nName: value\n...\n\nbody". Nothing is verified, so that everything
 * behind the signature is reached; each request gets exactly one answer with a status of HTTP. */
#include "base/crypto.h"
#include "local/local.h"
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 40 };

struct rig {
    struct log log;
    struct loop *loop;
    struct local *local;
    struct local_conn *conn;
    int answers;
};

static void open_rig(struct rig *g) {
    struct err e = {0};
    uint8_t sum[32];
    crypto_digest_end(crypto_digest_new("md5"), sum); /* OpenSSL sets itself up in this thread: it never frees that */
    g->log.level = LOG_OFF;
    struct local_config c = {.no_verify = true, .log = &g->log};
    if (loop_open(&g->loop, &e) || local_open(&c, &g->local, &e) || local_attach(g->local, g->loop, &g->conn, &e))
        fatal("%s", e.msg);
    local_set_endpoint(g->local, 4566, "");
}

static struct rig *the_rig;

static void close_rig(void) {
    local_detach(the_rig->conn);
    local_close(the_rig->local);
    loop_close(the_rig->loop);
    free(the_rig);
}

static void call(struct rig *g, enum aws_op op, const char *params) {
    struct aws_call *c = aws_call_new(op);
    struct err e = {0};
    if (json_parse(&c->arena, str_c(params), NULL, &c->params, &e)) fatal("%s", e.msg);
    aws_call_wait(local_backend(g->conn), g->loop, c);
    if (c->err.code) fatal("%s", c->err.msg);
    aws_call_free(c);
}

static void answered(void *ud, struct http_response *res) {
    struct rig *g = ud;
    if (res->status < 200 || res->status > 599) abort();
    http_response_free(res);
    g->answers++;
}

static void read_head(struct http_request *r, struct str *rest, struct http_header *h) {
    struct str line = str_cut(rest, '\n');
    r->method = str_cut(&line, ' ');
    r->target = line.p ? line : STR("/");
    struct str query = r->target;
    r->path = str_cut(&query, '?');
    r->raw_query = query.p ? query : STR("");
    r->headers = h;
    while (rest->p && r->n_headers < HEADERS_MAX) {
        struct str value = str_cut(rest, '\n'), name = str_cut(&value, ':');
        if (!name.n) break;
        h[r->n_headers++] = (struct http_header){name, value.p ? str_trim(value) : STR("")};
    }
    r->body = rest->p ? *rest : STR("");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct rig *g = the_rig;
    if (!g) {
        g = the_rig = calloc(1, sizeof *g);
        if (!g) fatal("out of memory");
        open_rig(g);
        atexit(close_rig);
        call(g, AWS_S3_CreateBucket, "{\"Bucket\":\"bkt\"}");
        call(g, AWS_SQS_CreateQueue, "{\"QueueName\":\"q\"}");
        call(g, AWS_DYNAMODB_CreateTable,
             "{\"TableName\":\"Orders\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[{"
             "\"AttributeName\":"
             "\"id\",\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"}]}");
    }
    struct arena a = {0};
    struct http_header headers[HEADERS_MAX];
    struct http_request r = {.version = STR("HTTP/1.1"), .request_id = STR("r"), .arena = &a, .loopback = true};
    struct str text = arena_str(&a, str_n((const char *)data, n));
    read_head(&r, &text, headers);
    g->answers = 0;
    void *ticket = local_face(g->conn, &r, answered, g);
    if (ticket)
        local_face_cancel(ticket);
    else
        while (!g->answers) loop_once(g->loop, -1);
    loop_once(g->loop, 0);
    if (g->answers != !ticket) abort();
    arena_free(&a);
    return 0;
}
