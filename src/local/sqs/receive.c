/* ReceiveMessage: takes a batch of visible messages; then what was received too often moves to
 * the dead-letter queue, and what outlived its retention goes. Nothing there and time to wait: the call is parked. */
#include "local/sqs/sqs.h"

struct taken {
    int64_t queue, id[SQS_BATCH], receives[SQS_BATCH];
    struct str group[SQS_BATCH]; /* of FIFO queues, else empty */
    int n;
};

struct receiving {
    struct sqs_queue q;
    int64_t max, visibility, wait;
    const struct json *system_names, *attribute_names, *names;
    struct str attempt; /* of FIFO queues only */
    bool full;          /* too many messages are in flight */
    struct sqs_message *given;
    struct taken *taken;
};

static int read_request(struct local_tx *tx, struct aws_call *c, struct receiving *r) {
    struct err *e = &c->err;
    const struct json *p = &c->params;
    if (params_only(p,
                    "QueueUrl AttributeNames MessageSystemAttributeNames MessageAttributeNames MaxNumberOfMessages "
                    "VisibilityTimeout WaitTimeSeconds ReceiveRequestAttemptId",
                    "ReceiveMessage", ERR_SQS_PARAMETER, e))
        return -1;
    if (sqs_find(tx, c, &r->q, e)) return -1;
    if (params_int(p, "MaxNumberOfMessages", 1, SQS_BATCH, 1, ERR_SQS_PARAMETER, &r->max, e)) return -1;
    if (params_int(p, "VisibilityTimeout", 0, SQS_MAX_VISIBILITY, r->q.visibility, ERR_SQS_PARAMETER, &r->visibility,
                   e))
        return -1;
    if (params_int(p, "WaitTimeSeconds", 0, SQS_MAX_WAIT, r->q.wait, ERR_SQS_PARAMETER, &r->wait, e)) return -1;
    if (sqs_read_token(p, "ReceiveRequestAttemptId", &r->attempt, e)) return -1;
    if (!r->q.fifo) r->attempt = STR_NONE;
    r->given = ARENA_ARRAY(&c->arena, struct sqs_message, SQS_BATCH);
    r->system_names = json_get(p, "MessageSystemAttributeNames");
    r->attribute_names = json_get(p, "AttributeNames"); /* the older name of the same */
    r->names = json_get(p, "MessageAttributeNames");
    r->taken = ARENA_NEW(&c->arena, struct taken);
    r->taken->queue = r->q.id;
    return 0;
}

/* == going elsewhere ================================================================================================
 */

static int drop(struct local_tx *tx, int64_t id, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "DELETE FROM messages WHERE id=?1", &s, e)) return -1;
    db_bind_i64(s, 1, id);
    return db_run(s, e) ? -1 : 0;
}

/* After m left queue `from`, perhaps for `to`. */
static int regroup(struct local_tx *tx, const struct sqs_message *m, int64_t from, int64_t to, struct err *e) {
    if (!m->seq) return 0;
    if (sqs_group_changed(tx, from, m->group, e)) return -1;
    return to ? sqs_group_changed(tx, to, m->group, e) : 0;
}

/* Same message id, same counts; this attempt does not count. "For standard queues [...] the enqueue timestamp is
 * unchanged. For FIFO queues, the enqueue timestamp resets", and the dead-letter queue gives its own sequence number.
 */
static int bury(struct local_tx *tx, struct arena *a, const struct receiving *r, const struct sqs_message *m,
                struct err *e) {
    struct db_stmt *s = NULL;
    struct str source = sqs_arn(tx, a, r->q.name);
    int64_t seq = 0;
    if (m->seq && sqs_fifo_sequence(tx, r->q.dlq, &seq, e)) return -1;
    if (db_stmt(tx->db,
                "UPDATE messages SET queue=?2, visible_at=?3, receives=receives-1, source=?4, sent_at=?5,"
                " seq=nullif(?6,0) WHERE id=?1",
                &s, e))
        return -1;
    db_bind_i64(s, 1, m->id);
    db_bind_i64(s, 2, r->q.dlq);
    db_bind_i64(s, 3, tx->now_ms);
    db_bind_text(s, 4, source);
    db_bind_i64(s, 5, m->seq ? tx->now_ms : m->sent_at);
    db_bind_i64(s, 6, seq);
    if (db_run(s, e)) return -1;
    local_touch(tx, r->q.dlq);
    return 0;
}

/* 1: m is to be delivered; 0: it went elsewhere; -1. */
static int sort_out(struct local_tx *tx, struct arena *a, const struct receiving *r, const struct sqs_message *m,
                    struct err *e) {
    bool old = m->sent_at + r->q.retention * 1000 <= tx->now_ms;
    bool dead = r->q.dlq && r->q.dlq != r->q.id && m->receives > r->q.max_receives;
    if (!old && !dead) return 1;
    if (old ? drop(tx, m->id, e) : bury(tx, a, r, m, e)) return -1;
    return regroup(tx, m, r->q.id, old ? 0 : r->q.dlq, e);
}

/* == answering ======================================================================================================
 */

static bool asked(const struct json *names, const char *name) {
    for (uint32_t i = 0; json_is(names, JSON_ARR) && i < names->n; i++)
        if (str_is(json_str(&names->items[i]), "All") || str_is(json_str(&names->items[i]), name)) return true;
    return false;
}

static struct json system_attributes(struct local_tx *tx, struct arena *a, const struct receiving *r,
                                     const struct sqs_message *m) {
    const struct {
        const char *name;
        struct str value;
    } all[] = {{"SenderId", tx->id.account},
               {"SentTimestamp", arena_printf(a, "%lld", (long long)m->sent_at)},
               {"ApproximateReceiveCount", arena_printf(a, "%lld", (long long)m->receives)},
               {"ApproximateFirstReceiveTimestamp", arena_printf(a, "%lld", (long long)m->first_at)},
               {"AWSTraceHeader", m->trace},
               {"DeadLetterQueueSourceArn", m->source},
               {"MessageGroupId", m->group},
               {"MessageDeduplicationId", m->dedup},
               {"SequenceNumber", m->seq ? sqs_fifo_number(a, m->seq) : STR_NONE}};
    struct json out = json_make_obj();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value.n && (asked(r->system_names, all[i].name) || asked(r->attribute_names, all[i].name)))
            json_set(a, &out, all[i].name, json_make_str(all[i].value));
    return out;
}

static int add_attributes(struct arena *a, const struct receiving *r, const struct sqs_message *m, struct json *row,
                          struct err *e) {
    struct json all;
    if (!m->attributes.n || !json_is(r->names, JSON_ARR)) return 0;
    if (json_parse(a, m->attributes, NULL, &all, e))
        return err_wrap(e, "attributes of message %.*s", STR_ARG(m->message_id));
    struct json picked = sqs_attributes_pick(a, &all, r->names);
    if (!picked.n) return 0;
    json_set(a, row, "MessageAttributes", picked);
    json_set(a, row, "MD5OfMessageAttributes", json_make_str(sqs_attributes_md5(a, &picked)));
    return 0;
}

static int answer(struct local_tx *tx, struct arena *a, const struct receiving *r, const struct sqs_message *m,
                  struct json *messages, struct err *e) {
    struct sqs_handle h = {r->q.id, m->id, m->receives, m->message_id};
    struct json row = json_make_obj(), system = system_attributes(tx, a, r, m);
    json_set(a, &row, "MessageId", json_make_str(m->message_id));
    json_set(a, &row, "ReceiptHandle", json_make_str(sqs_handle_seal(tx, a, &h)));
    json_set(a, &row, "MD5OfBody", json_make_str(m->md5));
    json_set(a, &row, "Body", json_make_str(m->body));
    if (system.n) json_set(a, &row, "Attributes", system);
    if (add_attributes(a, r, m, &row, e)) return -1;
    json_push(a, messages, row);
    r->given[r->taken->n] = *m;
    r->taken->id[r->taken->n] = m->id;
    r->taken->group[r->taken->n] = m->seq ? m->group : STR_NONE;
    r->taken->receives[r->taken->n++] = m->receives;
    return 0;
}

/* Another round only when some went elsewhere, and not when what was taken is visible again at once. */
static int fill(struct local_tx *tx, struct arena *a, struct receiving *r, struct json *messages, struct err *e) {
    struct sqs_message got[SQS_BATCH];
    for (bool again = true; again && messages->n < r->max;) {
        int n = 0;
        if (sqs_take(tx, a, &r->q, r->visibility, r->max - messages->n, got, &n, &r->full, e)) return -1;
        again = false;
        for (int i = 0; i < n; i++) {
            int rc = sort_out(tx, a, r, &got[i], e);
            if (rc < 0 || (rc && answer(tx, a, r, &got[i], messages, e))) return -1;
            again |= !rc;
        }
        if (!r->visibility && messages->n) again = false;
    }
    return 0;
}

/* A repeated attempt gets what it got; else what is there. */
static int fill_attempt(struct local_tx *tx, struct arena *a, struct receiving *r, struct json *messages,
                        struct err *e) {
    struct sqs_message got[SQS_BATCH];
    int64_t until = tx->now_ms + r->visibility * 1000;
    int n = 0, rc = 0;
    if (r->attempt.n) rc = sqs_attempt_repeat(tx, a, r->q.id, r->attempt, until, got, &n, e);
    if (rc < 0) return -1;
    for (int i = 0; i < n; i++)
        if (answer(tx, a, r, &got[i], messages, e)) return -1;
    if (!n && fill(tx, a, r, messages, e)) return -1;
    if (!r->attempt.n || !messages->n) return 0;
    return sqs_attempt_save(tx, a, r->q.id, r->attempt, until, r->given, r->taken->n, e);
}

/* == waiting and giving back ========================================================================================
 */

static int next_visible(struct local_tx *tx, const struct sqs_queue *q, int64_t *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                q->fifo
                    ? "SELECT ready_at FROM sqs_groups WHERE queue=?1 AND ready_at>?2 ORDER BY ready_at LIMIT 1"
                    : "SELECT visible_at FROM messages WHERE queue=?1 AND visible_at>?2 ORDER BY visible_at LIMIT 1",
                &s, e))
        return -1;
    db_bind_i64(s, 1, q->id);
    db_bind_i64(s, 2, tx->now_ms);
    int rc = db_step(s, e);
    *ret = rc == 1 ? db_i64(s, 0) : 0;
    db_done(s);
    return rc < 0 ? -1 : 0;
}

/* The caller went away before it got the messages: they were not received. */
static int give_back(struct local_op *op, struct local_tx *tx, struct err *e) {
    const struct taken *t = op->undo_ud;
    for (int i = 0; i < t->n; i++) {
        struct db_stmt *s = NULL;
        if (db_stmt(tx->db, "UPDATE messages SET visible_at=?3, receives=receives-1 WHERE id=?1 AND receives=?2", &s,
                    e))
            return -1;
        db_bind_i64(s, 1, t->id[i]);
        db_bind_i64(s, 2, t->receives[i]);
        db_bind_i64(s, 3, tx->now_ms);
        if (db_run(s, e)) return -1;
        if (t->group[i].p && sqs_group_changed(tx, t->queue, t->group[i], e)) return -1;
    }
    local_touch(tx, t->queue);
    return 0;
}

int sqs_receive(struct local_tx *tx, struct aws_call *c) {
    struct receiving r = {0};
    struct json messages = json_make_arr();
    int64_t due = 0;
    if (read_request(tx, c, &r) || fill_attempt(tx, &c->arena, &r, &messages, &c->err)) return -1;
    if (messages.n) {
        json_set(&c->arena, &c->result, "Messages", messages);
        local_on_undelivered(tx, give_back, r.taken);
        return 0;
    }
    if (!r.wait && r.full && !r.q.fifo)
        return err_set(&c->err, ERR_SQS_OVER_LIMIT, "Too many messages in flight: %d in queue %.*s", SQS_MAX_IN_FLIGHT,
                       STR_ARG(r.q.name));
    if (!r.wait) return 0;
    if (next_visible(tx, &r.q, &due, &c->err)) return -1;
    local_park(tx, r.q.id, due, r.wait * 1000);
    return 0;
}
