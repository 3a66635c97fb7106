/* DeleteMessage and ChangeMessageVisibility, single and in batches. A handle means one receiving of one message: when
 * the message was received again since, an old handle changes nothing. */
#include "local/sqs/sqs.h"

static int read_handle(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, const struct json *entry,
                       struct sqs_handle *ret, struct err *e) {
    struct str text;
    if (params_str(entry, "ReceiptHandle", ERR_SQS_PARAMETER, &text, e)) return -1;
    if (!text.p) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter ReceiptHandle.");
    return sqs_handle_open(tx, &c->arena, q->id, text, ret, e);
}

static void bind_handle(struct db_stmt *s, const struct sqs_handle *h) {
    db_bind_i64(s, 1, h->id);
    db_bind_i64(s, 2, h->receives);
    db_bind_text(s, 3, h->message_id);
    db_bind_i64(s, 4, h->queue);
}

#define THAT_RECEIVING " WHERE id=?1 AND receives=?2 AND message_id=?3 AND queue=?4"

/* 1: the message of that receiving is there, its group and visibility are set; 0; -1. */
static int find(struct local_tx *tx, struct arena *a, const struct sqs_handle *h, struct str *ret_group,
                int64_t *ret_visible_at, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT grp, visible_at FROM messages" THAT_RECEIVING, &s, e)) return -1;
    bind_handle(s, h);
    int rc = db_step(s, e);
    if (rc == 1) {
        *ret_group = arena_str(a, db_bytes(s, 0));
        *ret_visible_at = db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

static int remove_row(struct local_tx *tx, const struct sqs_handle *h, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "DELETE FROM messages" THAT_RECEIVING, &s, e)) return -1;
    bind_handle(s, h);
    return db_run(s, e) ? -1 : 0;
}

/* A message of a FIFO queue that is visible again belongs to nobody: its group may have gone on without the handle. */
static int delete_fifo(struct local_tx *tx, struct arena *a, const struct sqs_handle *h, struct str text,
                       struct err *e) {
    struct str group;
    int64_t visible_at = 0;
    int rc = find(tx, a, h, &group, &visible_at, e);
    if (rc != 1) return rc;
    if (visible_at <= tx->now_ms)
        return err_set(e, ERR_SQS_PARAMETER,
                       "Value %.*s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
                       STR_ARG(text));
    if (remove_row(tx, h, e) || sqs_group_changed(tx, h->queue, group, e)) return -1;
    local_touch(tx, h->queue);
    return 0;
}

static int delete_one(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, const struct json *entry,
                      struct json *ret, struct err *e) {
    struct sqs_handle h;
    struct str text = json_get_s(entry, "ReceiptHandle");
    (void)ret;
    if (params_only(entry, entry == &c->params ? "QueueUrl ReceiptHandle" : "Id ReceiptHandle", "DeleteMessage",
                    ERR_SQS_PARAMETER, e))
        return -1;
    if (read_handle(tx, c, q, entry, &h, e)) return -1;
    return q->fifo ? delete_fifo(tx, &c->arena, &h, text, e) : remove_row(tx, &h, e);
}

/* Why nothing was changed: the message is visible, or gone. */
static int not_changed(struct local_tx *tx, const struct sqs_handle *h, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT 1 FROM messages" THAT_RECEIVING, &s, e)) return -1;
    bind_handle(s, h);
    int rc = db_step(s, e);
    db_done(s);
    if (rc < 0) return -1;
    if (rc) return err_set(e, ERR_SQS_NOT_IN_FLIGHT, "Message %.*s is not in flight", STR_ARG(h->message_id));
    return err_set(e, ERR_SQS_PARAMETER,
                   "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
                   "available for visibility timeout change.");
}

static int regroup(struct local_tx *tx, struct arena *a, const struct sqs_handle *h, struct err *e) {
    struct str group;
    int64_t visible_at;
    int rc = find(tx, a, h, &group, &visible_at, e);
    return rc == 1 ? sqs_group_changed(tx, h->queue, group, e) : rc;
}

static int change_one(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, const struct json *entry,
                      struct json *ret, struct err *e) {
    struct sqs_handle h;
    struct db_stmt *s = NULL;
    int64_t seconds;
    (void)ret;
    const char *known =
        entry == &c->params ? "QueueUrl ReceiptHandle VisibilityTimeout" : "Id ReceiptHandle VisibilityTimeout";
    if (params_only(entry, known, "ChangeMessageVisibility", ERR_SQS_PARAMETER, e)) return -1;
    if (!json_get(entry, "VisibilityTimeout"))
        return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter VisibilityTimeout.");
    if (params_int(entry, "VisibilityTimeout", 0, SQS_MAX_VISIBILITY, 0, ERR_SQS_PARAMETER, &seconds, e)) return -1;
    if (read_handle(tx, c, q, entry, &h, e)) return -1;
    if (db_stmt(tx->db, "UPDATE messages SET visible_at=?5" THAT_RECEIVING " AND visible_at>?6", &s, e)) return -1;
    bind_handle(s, &h);
    db_bind_i64(s, 5, tx->now_ms + seconds * 1000);
    db_bind_i64(s, 6, tx->now_ms);
    if (db_run(s, e)) return -1;
    if (!db_changes(tx->db)) return not_changed(tx, &h, e);
    local_touch(tx, q->id);
    return q->fifo ? regroup(tx, &c->arena, &h, e) : 0;
}

static int batch(struct local_tx *tx, struct aws_call *c, const char *what, sqs_entry_fn *fn) {
    struct sqs_queue q;
    if (params_only(&c->params, "QueueUrl Entries", what, ERR_SQS_PARAMETER, &c->err)) return -1;
    if (sqs_find(tx, c, &q, &c->err)) return -1;
    return sqs_batch(tx, c, &q, fn);
}

int sqs_delete(struct local_tx *tx, struct aws_call *c) {
    return sqs_single(tx, c, delete_one);
}

int sqs_delete_batch(struct local_tx *tx, struct aws_call *c) {
    return batch(tx, c, "DeleteMessageBatch", delete_one);
}

int sqs_change(struct local_tx *tx, struct aws_call *c) {
    return sqs_single(tx, c, change_one);
}

int sqs_change_batch(struct local_tx *tx, struct aws_call *c) {
    return batch(tx, c, "ChangeMessageVisibilityBatch", change_one);
}
