/* SendMessage and SendMessageBatch: one INSERT a message, none for what a FIFO queue knows already. */
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

/* What becomes a row. */
struct sending {
    int64_t delay;
    struct str body, md5, attributes, trace;
    struct sqs_fifo_message fifo;
};

static int insert(struct local_tx *tx, const struct sqs_queue *q, const struct sending *m, struct err *e) {
    const struct str texts[] = {m->fifo.message_id, m->body,       m->md5,       m->attributes,
                                m->trace,           m->fifo.group, m->fifo.dedup};
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "INSERT INTO messages(queue,visible_at,sent_at,receives,first_at,message_id,body,body_md5,attributes,"
                "trace,grp,dedup,seq) VALUES(?1,?2,?3,0,?3,?5,?6,?7,?8,?9,?10,?11,nullif(?4,0))",
                &s, e))
        return -1;
    db_bind_i64(s, 1, q->id);
    db_bind_i64(s, 2, tx->now_ms + m->delay * 1000);
    db_bind_i64(s, 3, tx->now_ms);
    db_bind_i64(s, 4, m->fifo.seq);
    for (int i = 0; i < 7; i++)
        if (texts[i].p) db_bind_text(s, 5 + i, texts[i]);
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

static int read_message(struct arena *a, const struct sqs_queue *q, const struct json *entry, struct sending *m,
                        struct err *e) {
    const struct json *attrs = json_get(entry, "MessageAttributes");
    if (read_body(entry, &m->body, e)) return -1;
    size_t bytes = m->body.n;
    if (params_int(entry, "DelaySeconds", 0, SQS_MAX_DELAY, q->delay, ERR_SQS_PARAMETER, &m->delay, e)) return -1;
    if (q->fifo) m->delay = q->delay;
    if (sqs_attributes_check(attrs, &bytes, e) || read_trace(entry, &m->trace, e) || check_size(bytes, q, e)) return -1;
    if (sqs_fifo_read(a, q, entry, m->body, &m->fifo, e)) return -1;
    m->md5 = sqs_md5_hex(a, m->body);
    m->attributes = json_is(attrs, JSON_OBJ) && attrs->n ? written(a, attrs) : STR_NONE;
    return 0;
}

static void told(struct arena *a, const struct json *entry, const struct sending *m, struct json *ret) {
    json_set(a, ret, "MessageId", json_make_str(m->fifo.message_id));
    json_set(a, ret, "MD5OfMessageBody", json_make_str(m->md5));
    if (m->attributes.p)
        json_set(a, ret, "MD5OfMessageAttributes",
                 json_make_str(sqs_attributes_md5(a, json_get(entry, "MessageAttributes"))));
    if (m->trace.p)
        json_set(a, ret, "MD5OfMessageSystemAttributes",
                 json_make_str(sqs_attributes_md5(a, json_get(entry, "MessageSystemAttributes"))));
    if (m->fifo.seq) json_set(a, ret, "SequenceNumber", json_make_str(sqs_fifo_number(a, m->fifo.seq)));
}

#define MEMBERS                                                                                                        \
    " MessageBody DelaySeconds MessageAttributes MessageSystemAttributes MessageGroupId MessageDeduplicationId"

static int send_one(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, const struct json *entry,
                    struct json *ret, struct err *e) {
    struct arena *a = &c->arena;
    struct sending m = {0};
    char *id = arena_alloc(a, 37);
    bool single = entry == &c->params;
    if (params_only(entry, single ? "QueueUrl" MEMBERS : "Id" MEMBERS, single ? "SendMessage" : "SendMessageBatch",
                    ERR_SQS_PARAMETER, e))
        return -1;
    if (read_message(a, q, entry, &m, e)) return -1;
    crypto_uuid4(id);
    m.fifo.message_id = str_n(id, 36);
    int repeated = q->fifo ? sqs_fifo_dedup(tx, a, q, &m.fifo, e) : 0;
    if (repeated < 0 || (!repeated && insert(tx, q, &m, e))) return -1;
    told(a, entry, &m, ret);
    if (repeated) return 0;
    local_touch(tx, q->id);
    return q->fifo ? sqs_group_changed(tx, q->id, m.fifo.group, e) : 0;
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
