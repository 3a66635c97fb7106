/* What perigee_cloud_load asks of a store that perigee_volume_fill made: the same at any size of it. */
#include "bench/cloud.h"
#include "bench/volume.h"
#include <stdio.h>
#include <string.h>

#define HAS_TABLE "{\"TableName\":\"orders\""

static void prepare(struct cloud *c, int64_t fill) {
    if (fill <= VOLUME_PARTITIONS) fatal("how many items are there?");
    cloud_names(c)->fill = (uint64_t)fill;
}

static uint64_t random_item(struct cloud *c, struct volume_key *ret) {
    uint64_t n = cloud_random() % cloud_names(c)->fill;
    if (ret) volume_key(n, ret);
    return n;
}

/* == DynamoDB =======================================================================================================
 */

static void add_key(struct cloud *c, struct buf *b) {
    struct volume_key k;
    random_item(c, &k);
    buf_printf(b, HAS_TABLE ",\"Key\":{\"pk\":{\"S\":\"%s\"},\"sk\":{\"S\":\"%s\"}}", k.pk, k.sk);
}

static void next_get(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    add_key(c, &t->text);
    buf_byte(&t->text, '}');
    *ret = cloud_json("dynamodb", DYNAMODB "GetItem", buf_view(&t->text));
}

static void next_update(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    add_key(c, &t->text);
    buf_c(&t->text, ",\"UpdateExpression\":\"SET n = n + :one\",\"ConditionExpression\":\"attribute_exists(pk)\","
                    "\"ExpressionAttributeValues\":{\":one\":{\"N\":\"1\"}}}");
    *ret = cloud_json("dynamodb", DYNAMODB "UpdateItem", buf_view(&t->text));
}

static void next_put(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    struct cloud_names *names = cloud_names(c);
    uint64_t mixed = volume_mix(names->count), more = volume_mix(mixed);
    buf_printf(&t->text,
               HAS_TABLE ",\"Item\":{\"pk\":{\"S\":\"shop-%02d\"},\"sk\":{\"S\":\"%08x-%04x-4%03x-8%03x-%012llx\"},"
                         "\"day\":{\"S\":\"day-%02d\"},\"made\":{\"N\":\"%llu\"},\"user_id\":{\"S\":\"u-42\"},"
                         "\"status\":{\"S\":\"PENDING\"},\"total\":{\"N\":\"1250\"},\"n\":{\"N\":\"0\"},\"created_at\":"
                         "{\"S\":\"2026-11-22T05:30:00.000Z\"},\"note\":{\"S\":\"" VOLUME_NOTE "\"},\"items\":{\"L\":[{"
                         "\"M\":{\"sku\":{\"S\":\"tea\"},\"quantity\":{\"N\":\"2\"},\"price\":{\"N\":\"12.50\"}}}]}}}",
               (int)(mixed % VOLUME_PARTITIONS), (unsigned)(more >> 32), (unsigned)(more >> 16 & 0xffff),
               (unsigned)(more >> 4 & 0xfff), (unsigned)(mixed & 0xfff), (unsigned long long)mixed >> 16,
               (int)((mixed >> 32) % VOLUME_PARTITIONS), (unsigned long long)names->count++);
    *ret = cloud_json("dynamodb", DYNAMODB "PutItem", buf_view(&t->text));
}

/* Twenty orders of one shop, from anywhere but near its end. */
static void next_query(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    struct volume_key k;
    do random_item(c, &k);
    while (k.sk[0] > 'a');
    buf_printf(&t->text,
               HAS_TABLE ",\"Limit\":20,\"KeyConditionExpression\":\"pk = :p AND sk >= :s\","
                         "\"ExpressionAttributeValues\":{\":p\":{\"S\":\"%s\"},\":s\":{\"S\":\"%s\"}}}",
               k.pk, k.sk);
    *ret = cloud_json("dynamodb", DYNAMODB "Query", buf_view(&t->text));
}

/* Twenty orders of one day by its index; each lies somewhere else in the table. */
static void next_index(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    uint64_t from = random_item(c, NULL) / 2;
    buf_printf(&t->text,
               HAS_TABLE ",\"IndexName\":\"by_day\",\"Limit\":20,\"KeyConditionExpression\":\"#d = :d AND made >= :m\","
                         "\"ExpressionAttributeNames\":{\"#d\":\"day\"},\"ExpressionAttributeValues\":{\":d\":{\"S\":"
                         "\"day-%02d\"},\":m\":{\"N\":\"%llu\"}}}",
               (int)(cloud_random() % VOLUME_PARTITIONS), (unsigned long long)from);
    *ret = cloud_json("dynamodb", DYNAMODB "Query", buf_view(&t->text));
}

static bool has_page(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a) {
    if (str_find(a->body, STR("\"Count\":20"), 0) < 0) fatal("no page: %.*s", STR_ARG(str_take(a->body, 300)));
    return cloud_has_item(c, t, a);
}

static void next_describe(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    (void)c;
    buf_c(&t->text, HAS_TABLE "}");
    *ret = cloud_json("dynamodb", DYNAMODB "DescribeTable", buf_view(&t->text));
}

/* == SQS ============================================================================================================
 */

#define QUEUE "{\"QueueUrl\":\"http://127.0.0.1/000000000000/waiting\""

/* A turn: send, receive, delete; as many are waiting after it as before. */
enum { SEND, RECEIVE, DELETE };

static void next_turn(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    static const char *const targets[] = {"AmazonSQS.SendMessage", "AmazonSQS.ReceiveMessage",
                                          "AmazonSQS.DeleteMessage"};
    (void)c;
    buf_c(&t->text, QUEUE);
    if (t->step == SEND) buf_c(&t->text, ",\"MessageBody\":\"{\\\"order_id\\\":\\\"17\\\",\\\"total\\\":1250}\"");
    if (t->step == DELETE) buf_printf(&t->text, ",\"ReceiptHandle\":\"%s\"", buf_cstr(&t->handle));
    buf_byte(&t->text, '}');
    *ret = cloud_json("sqs", targets[t->step], buf_view(&t->text));
}

static bool done_turn(struct cloud *c, struct cloud_turn *t, const struct cloud_answer *a) {
    (void)c;
    if (t->step == RECEIVE && !cloud_take_handle(t, a)) fatal("nothing was received");
    t->step = (t->step + 1) % 3;
    return t->step == SEND;
}

static void next_attributes(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    (void)c;
    buf_c(&t->text, QUEUE ",\"AttributeNames\":[\"All\"]}");
    *ret = cloud_json("sqs", "AmazonSQS.GetQueueAttributes", buf_view(&t->text));
}

/* == S3 =============================================================================================================
 */

static void next_list(struct cloud *c, struct cloud_turn *t, struct cloud_request *ret) {
    (void)c, (void)t;
    *ret = (struct cloud_request){.service = "s3", .method = "GET", .path = "/volume"};
}

const struct cloud_work volume_works[] = {
    {"vget", prepare, next_get, cloud_has_item}, {"vquery", prepare, next_query, has_page},
    {"vindex", prepare, next_index, has_page},   {"vput", prepare, next_put, NULL},
    {"vupdate", prepare, next_update, NULL},     {"vturn", prepare, next_turn, done_turn},
    {"vdescribe", prepare, next_describe, NULL}, {"vattributes", prepare, next_attributes, NULL},
    {"vlist", prepare, next_list, NULL},         {NULL}};
