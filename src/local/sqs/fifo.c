/* FIFO queues: message groups, deduplication, sequence numbers.
 *
 * A message is deliverable when it is visible and no message of its group is in flight (received and not visible yet).
 * One that is only delayed does not stop its group. The table sqs_groups says of each group that has messages when that
 * is worth another look: never later than it is, perhaps earlier, which the look itself mends. */
#include "base/crypto.h"
#include "local/sqs/sqs.h"

enum { MAX_TOKEN = 128, GROUPS_A_LOOK = 20 };

/* == what is sent ===================================================================================================
 */

/* API Reference, SendMessage: up to 128 alphanumeric characters and punctuation. */
int sqs_read_token(const struct json *entry, const char *name, struct str *ret, struct err *e) {
    if (params_str(entry, name, ERR_SQS_PARAMETER, ret, e)) return -1;
    if (!ret->p) return 0;
    bool ok = ret->n > 0 && ret->n <= MAX_TOKEN;
    for (size_t i = 0; ok && i < ret->n; i++) ok = ret->p[i] > 0x20 && ret->p[i] < 0x7f;
    if (ok) return 0;
    return err_set(e, ERR_SQS_PARAMETER,
                   "Value %.*s for parameter %s is invalid. Reason: %s can only include alphanumeric and punctuation "
                   "characters. 1 to %d in length.",
                   STR_ARG(str_take(*ret, 130)), name, name, MAX_TOKEN);
}

static struct str content_id(struct arena *a, struct str body) {
    uint8_t sha[32];
    char *hex = arena_alloc(a, 64);
    crypto_sha256(body, sha);
    crypto_hex_to(hex, sha, sizeof sha);
    return str_n(hex, 64);
}

/* Standard queues take a group (fair queues) but no deduplication. */
int sqs_fifo_read(struct arena *a, const struct sqs_queue *q, const struct json *entry, struct str body,
                  struct sqs_fifo_message *ret, struct err *e) {
    *ret = (struct sqs_fifo_message){0};
    if (sqs_read_token(entry, "MessageGroupId", &ret->group, e)) return -1;
    if (sqs_read_token(entry, "MessageDeduplicationId", &ret->dedup, e)) return -1;
    if (!q->fifo && ret->dedup.p)
        return err_set(e, ERR_SQS_PARAMETER,
                       "Value %.*s for parameter MessageDeduplicationId is invalid. Reason: The request includes a "
                       "parameter that is not valid for this queue type.",
                       STR_ARG(ret->dedup));
    if (!q->fifo) return 0;
    if (!ret->group.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter MessageGroupId.");
    const struct json *delay = json_get(entry, "DelaySeconds");
    int64_t seconds = 0;
    if (params_int(entry, "DelaySeconds", 0, SQS_MAX_DELAY, 0, ERR_SQS_PARAMETER, &seconds, e)) return -1;
    if (delay && seconds)
        return err_set(e, ERR_SQS_PARAMETER,
                       "Value %lld for parameter DelaySeconds is invalid. Reason: The request include parameter that "
                       "is not valid for this queue type.",
                       (long long)seconds);
    if (!ret->dedup.p && !(q->fifo & SQS_BY_CONTENT))
        return err_set(e, ERR_SQS_PARAMETER,
                       "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                       "provided explicitly.");
    if (!ret->dedup.p) ret->dedup = content_id(a, body);
    return 0;
}

/* == deduplication ==================================================================================================
 */

static void bind_key(struct db_stmt *s, const struct sqs_queue *q, const struct sqs_fifo_message *m) {
    db_bind_i64(s, 1, q->id);
    db_bind_text(s, 2, q->fifo & SQS_SCOPE_GROUP ? m->group : STR(""));
    db_bind_text(s, 3, m->dedup);
}

static int find_record(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, struct sqs_fifo_message *m,
                       struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT message_id, seq FROM sqs_dedup WHERE queue=?1 AND grp=?2 AND dedup=?3 AND until_ms>?4",
                &s, e))
        return -1;
    bind_key(s, q, m);
    db_bind_i64(s, 4, tx->now_ms);
    int rc = db_step(s, e);
    if (rc == 1) {
        m->message_id = arena_str(a, db_bytes(s, 0));
        m->seq = db_i64(s, 1);
    }
    db_done(s);
    return rc;
}

int sqs_fifo_sequence(struct local_tx *tx, int64_t queue, int64_t *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "UPDATE queues SET sequence=sequence+1 WHERE id=?1 RETURNING sequence", &s, e)) return -1;
    db_bind_i64(s, 1, queue);
    int rc = db_step(s, e);
    if (rc == 1) *ret = db_i64(s, 0);
    if (rc == 1) rc = db_step(s, e) ? -1 : 1;
    db_done(s);
    if (rc == 0) return err_set(e, ERR_SQS_NO_QUEUE, "The specified queue does not exist.");
    return rc < 0 ? -1 : 0;
}

struct str sqs_fifo_number(struct arena *a, int64_t seq) {
    return arena_printf(a, "188%017lld", (long long)seq);
}

/* The record holds whether or not the message is still there. */
int sqs_fifo_dedup(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, struct sqs_fifo_message *m,
                   struct err *e) {
    struct db_stmt *s = NULL;
    int rc = find_record(tx, a, q, m, e);
    if (rc) return rc;
    if (sqs_fifo_sequence(tx, q->id, &m->seq, e)) return -1;
    if (db_stmt(tx->db,
                "INSERT INTO sqs_dedup(queue,grp,dedup,message_id,seq,until_ms) VALUES(?1,?2,?3,?4,?5,?6)"
                " ON CONFLICT(queue,grp,dedup) DO UPDATE SET message_id=?4,seq=?5,until_ms=?6",
                &s, e))
        return -1;
    bind_key(s, q, m);
    db_bind_text(s, 4, m->message_id);
    db_bind_i64(s, 5, m->seq);
    db_bind_i64(s, 6, tx->now_ms + SQS_DEDUP_MS);
    return db_run(s, e) ? -1 : 0;
}

/* == groups =========================================================================================================
 */

/* 1: *ret is set; 0: no row; -1. */
static int time_of(struct local_tx *tx, const char *sql, int64_t queue, struct str group, int64_t *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, queue);
    db_bind_text(s, 2, group);
    db_bind_i64(s, 3, tx->now_ms);
    int rc = db_step(s, e);
    if (rc == 1) *ret = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* When the last message in flight is visible again; else when the first message is visible. */
static int ready_time(struct local_tx *tx, int64_t queue, struct str group, int64_t *ret, struct err *e) {
    int rc = time_of(tx,
                     "SELECT visible_at FROM messages WHERE queue=?1 AND grp=?2 AND visible_at>?3 AND receives>0 AND "
                     "seq IS NOT NULL ORDER BY visible_at DESC LIMIT 1",
                     queue, group, ret, e);
    if (rc) return rc;
    return time_of(tx,
                   "SELECT visible_at FROM messages WHERE queue=?1 AND grp=?2 AND ?3 AND seq IS NOT NULL ORDER BY "
                   "visible_at LIMIT 1",
                   queue, group, ret, e);
}

int sqs_group_changed(struct local_tx *tx, int64_t queue, struct str group, struct err *e) {
    struct db_stmt *s = NULL;
    int64_t ready = 0;
    int rc = ready_time(tx, queue, group, &ready, e);
    if (rc < 0) return -1;
    if (db_stmt(tx->db,
                rc ? "INSERT INTO sqs_groups(queue,grp,ready_at) VALUES(?1,?2,?3) ON CONFLICT(queue,grp) DO UPDATE SET "
                     "ready_at=?3"
                   : "DELETE FROM sqs_groups WHERE queue=?1 AND grp=?2",
                &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_text(s, 2, group);
    if (rc) db_bind_i64(s, 3, ready);
    return db_run(s, e) ? -1 : 0;
}

static int ready_groups(struct local_tx *tx, struct arena *a, int64_t queue, struct str *ret, int *ret_n,
                        struct err *e) {
    struct db_stmt *s = NULL;
    int rc, n = 0;
    if (db_stmt(tx->db, "SELECT grp FROM sqs_groups WHERE queue=?1 AND ready_at<=?2 ORDER BY ready_at, grp LIMIT ?3",
                &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_i64(s, 3, GROUPS_A_LOOK);
    while ((rc = db_step(s, e)) == 1) ret[n++] = arena_str(a, db_bytes(s, 0));
    db_done(s);
    *ret_n = n;
    return rc;
}

static int add_visible(struct local_tx *tx, int64_t queue, struct str group, int64_t limit, int64_t *ids, int *n,
                       struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(tx->db,
                "SELECT id FROM messages WHERE queue=?1 AND grp=?2 AND seq IS NOT NULL AND visible_at<=?3 ORDER BY seq "
                "LIMIT ?4",
                &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_text(s, 2, group);
    db_bind_i64(s, 3, tx->now_ms);
    db_bind_i64(s, 4, limit - *n);
    while ((rc = db_step(s, e)) == 1) ids[(*n)++] = db_i64(s, 0);
    db_done(s);
    return rc;
}

/* 1: of this group there is something; 0: not yet, and the table knows better now. */
static int look(struct local_tx *tx, int64_t queue, struct str group, struct err *e) {
    int64_t ready = 0;
    int rc = ready_time(tx, queue, group, &ready, e);
    if (rc < 0) return -1;
    if (rc && ready <= tx->now_ms) return 1;
    return sqs_group_changed(tx, queue, group, e) ? -1 : 0;
}

/* "SQS first attempts to return as many messages with the same message group ID as possible." */
int sqs_fifo_pick(struct local_tx *tx, struct arena *a, int64_t queue, int64_t limit, int64_t *ret_ids, int *ret_n,
                  struct err *e) {
    struct str groups[GROUPS_A_LOOK];
    int n = 0, n_groups = 0;
    for (bool again = true; again && n < limit;) {
        again = false;
        n = 0;
        if (ready_groups(tx, a, queue, groups, &n_groups, e)) return -1;
        for (int i = 0; i < n_groups && n < limit; i++) {
            int rc = look(tx, queue, groups[i], e);
            if (rc < 0 || (rc && add_visible(tx, queue, groups[i], limit, ret_ids, &n, e))) return -1;
            again |= !rc;
        }
    }
    *ret_n = n;
    return 0;
}
