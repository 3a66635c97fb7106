/* SendMessage and SendMessageBatch: one INSERT a message. */
#include "base/crypto.h"
#include "local/sqs/sqs.h"

/* MessageSystemAttributes has one member that may be sent: AWSTraceHeader. "The size of a message system attribute
 * doesn't count towards the total size of a message." */
static int read_trace(const struct json *entry, struct str *ret, struct err *e) {
    const struct json *sys = json_get(entry, "MessageSystemAttributes");
    *ret = STR_NONE;
    if (!json_is(sys, JSON_OBJ)) return 0;
    if (params_only(sys, "AWSTraceHeader", "MessageSystemAttributes", ERR_SQS_PARAMETER, e)) return -1;
    *ret = json_get_s(json_get(sys, "AWSTraceHeader"), "StringValue");
    return sqs_check_text(*ret, "AWSTraceHeader", e);
}

static int insert(struct local_tx *tx, const struct sqs_queue *q, int64_t delay, struct str message_id, struct str body,
                  struct str md5, struct str attrs, struct str trace, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "INSERT INTO messages(queue,visible_at,sent_at,receives,message_id,body,body_md5,attributes,trace)"
                " VALUES(?1,?2,?3,0,?4,?5,?6,?7,?8)",
                &s, e))
        return -1;
    db_bind_i64(s, 1, q->id);
    db_bind_i64(s, 2, tx->now_ms + delay * 1000);
    db_bind_i64(s, 3, tx->now_ms);
    db_bind_text(s, 4, message_id);
    db_bind_text(s, 5, body);
    db_bind_text(s, 6, md5);
    if (attrs.p) db_bind_text(s, 7, attrs);
    if (trace.p) db_bind_text(s, 8, trace);
    return db_run(s, e) ? -1 : 0;
}

static struct str written(struct arena *a, const struct json *attrs) {
    struct buf b = BUF_MAX(8 << 20);
    json_write(&b, attrs);
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static int check_size(size_t bytes, const struct sqs_queue *q, struct err *e) {
    if (bytes <= (size_t)q->max_size) return 0;
    return err_set(e, ERR_SQS_PARAMETER,
                   "One or more parameters are invalid. Reason: Message must be shorter than %lld bytes, "
                   "it has %zu.",
                   (long long)q->max_size, bytes);
}

static int read_body(const struct json *entry, struct str *ret, struct err *e) {
    if (params_str(entry, "MessageBody", ERR_SQS_PARAMETER, ret, e)) return -1;
    if (!ret->n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter MessageBody.");
    return sqs_check_text(*ret, "MessageBody", e);
}

static int send_one(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, const struct json *entry,
                    struct json *ret, struct err *e) {
    const struct json *attrs = json_get(entry, "MessageAttributes");
    struct arena *a = &c->arena;
    struct str body, trace;
    int64_t delay;
    bool single = entry == &c->params;
    const char *known = single ? "QueueUrl MessageBody DelaySeconds MessageAttributes MessageSystemAttributes"
                               : "Id MessageBody DelaySeconds MessageAttributes MessageSystemAttributes";
    if (params_only(entry, known, single ? "SendMessage" : "SendMessageBatch", ERR_SQS_PARAMETER, e)) return -1;
    if (read_body(entry, &body, e)) return -1;
    size_t bytes = body.n;
    if (params_int(entry, "DelaySeconds", 0, SQS_MAX_DELAY, q->delay, ERR_SQS_PARAMETER, &delay, e)) return -1;
    if (sqs_attributes_check(attrs, &bytes, e) || read_trace(entry, &trace, e) || check_size(bytes, q, e)) return -1;
    char *id = arena_alloc(a, 37);
    crypto_uuid4(id);
    bool has = json_is(attrs, JSON_OBJ) && attrs->n;
    struct str md5 = sqs_md5_hex(a, body);
    if (insert(tx, q, delay, str_n(id, 36), body, md5, has ? written(a, attrs) : STR_NONE, trace, e)) return -1;
    json_set(a, ret, "MessageId", json_make_str(str_n(id, 36)));
    json_set(a, ret, "MD5OfMessageBody", json_make_str(md5));
    if (has) json_set(a, ret, "MD5OfMessageAttributes", json_make_str(sqs_attributes_md5(a, attrs)));
    if (trace.p)
        json_set(a, ret, "MD5OfMessageSystemAttributes",
                 json_make_str(sqs_attributes_md5(a, json_get(entry, "MessageSystemAttributes"))));
    local_touch(tx, q->id);
    return 0;
}

int sqs_send(struct local_tx *tx, struct aws_call *c) {
    return sqs_single(tx, c, send_one);
}

/* The limit of 1 MiB holds for the sum too. */
static int check_total(const struct json *entries, struct err *e) {
    size_t bytes = 0;
    for (uint32_t i = 0; json_is(entries, JSON_ARR) && i < entries->n; i++) {
        struct err ignored = {0}; /* a bad attribute is that entry's own failure */
        bytes += json_get_s(&entries->items[i], "MessageBody").n;
        sqs_attributes_check(json_get(&entries->items[i], "MessageAttributes"), &bytes, &ignored);
    }
    if (bytes <= SQS_MAX_BYTES) return 0;
    return err_set(e, ERR_SQS_BATCH_SIZE, "Batch requests cannot be longer than %d bytes. You have sent %zu bytes.",
                   SQS_MAX_BYTES, bytes);
}

int sqs_send_batch(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    if (params_only(&c->params, "QueueUrl Entries", "SendMessageBatch", ERR_SQS_PARAMETER, &c->err)) return -1;
    if (sqs_find(tx, c, &q, &c->err) || check_total(json_get(&c->params, "Entries"), &c->err)) return -1;
    return sqs_batch(tx, c, &q, send_one);
}
