/* What the benchmark of the cloud port asks for: DynamoDB and SQS in JSON 1.0, S3. */
#include "base/crypto.h"
#include "base/now.h"
#include "bench/cloud.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cloud_request cloud_json(const char *service, const char *target, struct str body) {
    return (struct cloud_request){service, "POST", "/", str_c(target), body};
}

/* Preparations may be repeated: what exists already is fine. */
static void ask_json(struct cloud *c, const char *service, const char *target, struct str body,
                     struct cloud_answer *a) {
    struct cloud_request r = cloud_json(service, target, body);
    cloud_ask(c, &r, a);
    if (a->status == 200 || str_find(a->body, STR("ResourceInUse"), 0) >= 0) return;
    fatal("%s: %d %.*s", target, a->status, STR_ARG(str_take(a->body, 300)));
}

/* xorshift64*. */
uint64_t cloud_random(void) {
    static uint64_t x = 0x9e3779b97f4a7c15;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    return x * 0x2545f4914f6cdd1d;
}

/* == DynamoDB =======================================================================================================
 */

/* An order of about 400 bytes. */
static void add_item(struct buf *b, const char *pk, int64_t sk) {
    buf_printf(b,
               "{\"pk\":{\"S\":\"%s\"},\"sk\":{\"N\":\"%lld\"},\"user_id\":{\"S\":\"u-%lld\"},\"status\":{\"S\":"
               "\"PENDING\"},\"total\":{\"N\":\"%lld\"},\"n\":{\"N\":\"0\"},\"created_at\":{\"S\":\"2026-11-22T05:30:"
               "00.000Z\"},\"note\":{\"S\":\"Espresso machine, chrome, to be left with the neighbours when nobody is "
               "at home, please ring twice\"},\"items\":{\"L\":[{\"M\":{\"sku\":{\"S\":\"tea\"},\"quantity\":{\"N\":"
               "\"2\"},\"price\":{\"N\":\"12.50\"}}}]}}",
               pk, (long long)sk, (long long)sk % 97, 1250 + (long long)sk % 1000);
}

static void wait_for_table(struct cloud *c) {
    struct cloud_answer a;
    for (uint64_t end = now_mono_ms() + 20000; now_mono_ms() < end;) {
        ask_json(c, "dynamodb", DYNAMODB "DescribeTable", STR("{\"TableName\":\"bench\"}"), &a);
        if (str_find(a.body, STR("ACTIVE"), 0) >= 0) return;
    }
    fatal("the table does not become ACTIVE");
}

/* CLOUD_ITEMS items below 50 partition keys, 20 each. */
static void prepare_table(struct cloud *c, int64_t fill) {
    struct buf b = BUF_MAX(1 << 20);
    struct cloud_answer a;
    (void)fill;
    ask_json(c, "dynamodb", DYNAMODB "CreateTable",
             STR("{\"TableName\":\"bench\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[{"
                 "\"AttributeName\":\"pk\",\"AttributeType\":\"S\"},{\"AttributeName\":\"sk\",\"AttributeType\":\"N\"}]"
                 ",\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"sk\","
                 "\"KeyType\":\"RANGE\"}]}"),
             &a);
    wait_for_table(c);
    for (int at = 0; at < CLOUD_ITEMS; at += 20) {
        char pk[32];
        buf_clear(&b);
        buf_c(&b, "{\"RequestItems\":{\"bench\":[");
        snprintf(pk, sizeof pk, "group-%d", at / 20);
        for (int i = 0; i < 20; i++) {
            buf_c(&b, i ? ",{\"PutRequest\":{\"Item\":" : "{\"PutRequest\":{\"Item\":");
            add_item(&b, pk, i);
            buf_c(&b, "}}");
        }
        buf_c(&b, "]}}");
        ask_json(c, "dynamodb", DYNAMODB "BatchWriteItem", buf_view(&b), &a);
    }
    buf_free(&b);
}

static void next_put(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    char id[37];
    crypto_uuid7(clock_ms(NULL), id);
    buf_c(&t->text, "{\"TableName\":\"bench\",\"Item\":");
    add_item(&t->text, id, (int64_t)cloud_names(c)->count++);
    buf_c(&t->text, "}");
    *ret = cloud_json("dynamodb", DYNAMODB "PutItem", buf_view(&t->text));
}

static void add_key(struct buf *b) {
    uint64_t n = cloud_random() % CLOUD_ITEMS;
    buf_printf(b, "{\"TableName\":\"bench\",\"Key\":{\"pk\":{\"S\":\"group-%d\"},\"sk\":{\"N\":\"%d\"}}", (int)(n / 20),
               (int)(n % 20));
}

static void next_update(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    (void)c;
    add_key(&t->text);
    buf_c(&t->text,
          ",\"UpdateExpression\":\"SET n = n + :one, #s = :s\",\"ConditionExpression\":\"attribute_exists(pk) "
          "AND n < :max\",\"ExpressionAttributeNames\":{\"#s\":\"status\"},\"ExpressionAttributeValues\":{"
          "\":one\":{\"N\":\"1\"},\":s\":{\"S\":\"PAID\"},\":max\":{\"N\":\"1000000000\"}}}");
    *ret = cloud_json("dynamodb", DYNAMODB "UpdateItem", buf_view(&t->text));
}

static void next_get(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    (void)c;
    add_key(&t->text);
    buf_byte(&t->text, '}');
    *ret = cloud_json("dynamodb", DYNAMODB "GetItem", buf_view(&t->text));
}

bool cloud_has_item(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a) {
    (void)c, (void)t;
    if (str_find(a->body, STR("created_at"), 0) < 0) fatal("no item: %.*s", STR_ARG(str_take(a->body, 300)));
    return true;
}

static void next_query(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    (void)c;
    buf_printf(&t->text,
               "{\"TableName\":\"bench\",\"KeyConditionExpression\":\"pk = :p\",\"ExpressionAttributeValues\":{\":p\":{"
               "\"S\":\"group-%d\"}}}",
               (int)(cloud_random() % (CLOUD_ITEMS / 20)));
    *ret = cloud_json("dynamodb", DYNAMODB "Query", buf_view(&t->text));
}

/* == SQS ============================================================================================================
 */

static void send_many(struct cloud *c, int64_t n) {
    struct buf b = BUF_MAX(1 << 16);
    struct cloud_answer a;
    for (int64_t at = 0; at < n; at += 10) {
        buf_clear(&b);
        buf_printf(&b, "{\"QueueUrl\":\"%s\",\"Entries\":[", cloud_names(c)->queue);
        for (int i = 0; i < 10; i++)
            buf_printf(&b, "%s{\"Id\":\"%d\",\"MessageBody\":\"order %d of many, to be packed\"}", i ? "," : "", i, i);
        buf_c(&b, "]}");
        ask_json(c, "sqs", "AmazonSQS.SendMessageBatch", buf_view(&b), &a);
    }
    buf_free(&b);
}

static void prepare_queue(struct cloud *c, int64_t fill) {
    struct arena arena = {0};
    struct cloud_answer a;
    struct json v;
    struct err e;
    ask_json(c, "sqs", "AmazonSQS.CreateQueue",
             STR("{\"QueueName\":\"bench\",\"Attributes\":{\"VisibilityTimeout\":\"300\"}}"), &a);
    if (json_parse(&arena, a.body, NULL, &v, &e)) fatal("CreateQueue: %s", e.msg);
    snprintf(cloud_names(c)->queue, sizeof cloud_names(c)->queue, "%.*s", STR_ARG(json_get_s(&v, "QueueUrl")));
    arena_free(&arena);
    send_many(c, fill);
}

static void next_send(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    buf_printf(&t->text,
               "{\"QueueUrl\":\"%s\",\"MessageBody\":\"{\\\"order_id\\\":\\\"%llu\\\",\\\"user_id\\\":\\\"u-42\\\","
               "\\\"status\\\":\\\"PENDING\\\",\\\"total\\\":1250}\"}",
               cloud_names(c)->queue, (unsigned long long)cloud_names(c)->count++);
    *ret = cloud_json("sqs", "AmazonSQS.SendMessage", buf_view(&t->text));
}

/* Receive, delete, receive, ...; a delete is one round. A queue that ran empty gets a message, which is not counted. */
enum { RECEIVE, DELETE, SEND };

static void next_round(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    if (t->step == SEND) {
        next_send(c, t, ret);
        return;
    }
    buf_printf(&t->text, "{\"QueueUrl\":\"%s\"", cloud_names(c)->queue);
    if (t->step == DELETE) buf_printf(&t->text, ",\"ReceiptHandle\":\"%s\"", buf_cstr(&t->handle));
    buf_byte(&t->text, '}');
    *ret = cloud_json("sqs", t->step == DELETE ? "AmazonSQS.DeleteMessage" : "AmazonSQS.ReceiveMessage",
                      buf_view(&t->text));
}

bool cloud_take_handle(struct cloud_turn *t, const struct cloud_answer *a) {
    struct arena arena = {0};
    struct json v;
    struct err e;
    if (json_parse(&arena, a->body, NULL, &v, &e)) fatal("ReceiveMessage: %s", e.msg);
    const struct json *messages = json_get(&v, "Messages");
    buf_clear(&t->handle);
    if (json_is(messages, JSON_ARR) && messages->n)
        buf_str(&t->handle, json_get_s(&messages->items[0], "ReceiptHandle"));
    arena_free(&arena);
    return t->handle.n > 0;
}

static bool done_round(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a) {
    int step = t->step;
    (void)c;
    t->step = RECEIVE;
    if (step != RECEIVE) return step == DELETE;
    t->step = cloud_take_handle(t, a) ? DELETE : SEND;
    return false;
}

/* == S3 =============================================================================================================
 */

static void prepare_bucket(struct cloud *c, int64_t fill) {
    struct cloud_names *n = cloud_names(c);
    struct cloud_answer a;
    char path[64];
    (void)fill;
    cloud_ask(c, &(struct cloud_request){.service = "s3", .method = "PUT", .path = "/bench"}, &a);
    if (a.status != 200 && a.status != 409) fatal("CreateBucket: %d %.*s", a.status, STR_ARG(str_take(a.body, 300)));
    for (size_t i = 0; i < sizeof n->object; i++) n->object[i] = (char)(i * 2654435761u >> 13);
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/bench/receipts/%d", i);
        cloud_ask(c, &(struct cloud_request){"s3", "PUT", path, STR_NONE, str_n(n->object, sizeof n->object)}, &a);
        if (a.status != 200) fatal("PutObject: %d %.*s", a.status, STR_ARG(str_take(a.body, 300)));
    }
}

static void next_s3put(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    struct cloud_names *n = cloud_names(c);
    buf_clear(&t->handle);
    buf_printf(&t->handle, "/bench/orders/%012llu", (unsigned long long)n->count++);
    buf_add(&t->text, n->object, sizeof n->object);
    memcpy(t->text.p, t->handle.p, t->handle.n); /* no two objects are alike */
    *ret = (struct cloud_request){"s3", "PUT", buf_cstr(&t->handle), STR_NONE, buf_view(&t->text)};
}

static void next_s3get(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    buf_clear(&t->handle);
    (void)c;
    buf_printf(&t->handle, "/bench/receipts/%d", (int)(cloud_random() % 100));
    *ret = (struct cloud_request){.service = "s3", .method = "GET", .path = buf_cstr(&t->handle)};
}

static bool has_object(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a) {
    (void)c, (void)t;
    if (a->body.n != CLOUD_OBJECT) fatal("an object of %zu bytes", a->body.n);
    return true;
}

const struct cloud_work *cloud_find(const char *name) {
    static const struct cloud_work all[] = {
        {"put", prepare_table, next_put, NULL},           {"update", prepare_table, next_update, NULL},
        {"get", prepare_table, next_get, cloud_has_item}, {"query", prepare_table, next_query, cloud_has_item},
        {"send", prepare_queue, next_send, NULL},         {"round", prepare_queue, next_round, done_round},
        {"s3put", prepare_bucket, next_s3put, NULL},      {"s3get", prepare_bucket, next_s3get, has_object},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i].name, name)) return &all[i];
    for (const struct cloud_work *w = volume_works; w->name; w++)
        if (!strcmp(w->name, name)) return w;
    return NULL;
}
