/* Taking messages: what ReceiveMessage makes invisible. A standard queue gives what became visible first by one UPDATE,
 * a FIFO queue what fifo.c picked, one by one. */
#include "local/sqs/sqs.h"
#include <stdlib.h>

/* == how many are in flight =========================================================================================
 */

static int count(struct local_tx *tx, int64_t queue, int64_t *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT count(*) FROM messages WHERE queue=?1 AND visible_at>?2 AND receives>0", &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_i64(s, 2, tx->now_ms);
    int rc = db_step(s, e);
    if (rc == 1) *ret = db_i64(s, 0);
    db_done(s);
    return rc == 1 ? 0 : -1;
}

/* *limit becomes what may still be taken. The rows are counted only near the limit: a bound grows with what is taken,
 * and is made true again by counting. */
static int check_in_flight(struct local_tx *tx, int64_t queue, int64_t *limit, int64_t **ret_bound, struct err *e) {
    struct sqs_state *st = sqs_state(tx);
    size_t i = (uint64_t)queue % SQS_SLOTS;
    int64_t *bound = &st->bounds[i].in_flight;
    if (st->bounds[i].queue != queue || *bound + *limit > SQS_MAX_IN_FLIGHT) {
        st->bounds[i].queue = 0;
        if (count(tx, queue, bound, e)) return -1;
        st->bounds[i].queue = queue;
    }
    int64_t room = SQS_MAX_IN_FLIGHT - *bound;
    if (*limit > room) *limit = room > 0 ? room : 0;
    *ret_bound = bound;
    return 0;
}

/* == rows ===========================================================================================================
 */

#define MESSAGE                                                                                                        \
    "SELECT id, sent_at, receives, first_at, coalesce(seq,0), message_id, body, body_md5, attributes, trace, source, " \
    "grp, dedup FROM messages "

static void read_row(struct db_stmt *s, struct arena *a, struct sqs_message *m) {
    int64_t *numbers[] = {&m->id, &m->sent_at, &m->receives, &m->first_at, &m->seq};
    struct str *texts[] = {&m->message_id, &m->body,   &m->md5,   &m->attributes,
                           &m->trace,      &m->source, &m->group, &m->dedup};
    for (int i = 0; i < 5; i++) *numbers[i] = db_i64(s, i);
    for (int i = 0; i < 8; i++) {
        struct str v = db_bytes(s, 5 + i);
        *texts[i] = v.p ? arena_str(a, v) : STR_NONE;
    }
}

/* In the row, first_at of a message that was never received is its time of sending: so the row keeps its size, and
 * SQLite writes into it instead of moving it. */
static int hide(struct local_tx *tx, const struct sqs_message *m, int64_t until, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "UPDATE messages SET visible_at=?2, receives=?3, first_at=?4 WHERE id=?1", &s, e)) return -1;
    db_bind_i64(s, 1, m->id);
    db_bind_i64(s, 2, until);
    db_bind_i64(s, 3, m->receives);
    db_bind_i64(s, 4, m->first_at);
    return db_run(s, e) ? -1 : 0;
}

static int receive(struct local_tx *tx, struct sqs_message *m, int64_t until, struct err *e) {
    if (!m->receives++) m->first_at = tx->now_ms;
    return hide(tx, m, until, e);
}

static int by_id(const void *x, const void *y) {
    const struct sqs_message *a = x, *b = y;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int take_standard(struct local_tx *tx, struct arena *a, int64_t queue, int64_t until, int64_t limit,
                         struct sqs_message *ret, int *ret_n, struct err *e) {
    struct db_stmt *s = NULL;
    int rc, n = 0;
    if (db_stmt(tx->db, MESSAGE "WHERE queue=?1 AND visible_at<=?2 ORDER BY visible_at, receives, id LIMIT ?3", &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_i64(s, 3, limit);
    while ((rc = db_step(s, e)) == 1) read_row(s, a, &ret[n++]);
    db_done(s);
    for (int i = 0; !rc && i < n; i++) rc = receive(tx, &ret[i], until, e);
    qsort(ret, (size_t)n, sizeof *ret, by_id);
    *ret_n = n;
    return rc;
}

static int find_one(struct local_tx *tx, struct arena *a, int64_t id, struct sqs_message *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, MESSAGE "WHERE id=?1", &s, e)) return -1;
    db_bind_i64(s, 1, id);
    int rc = db_step(s, e);
    if (rc == 1) read_row(s, a, ret);
    db_done(s);
    if (rc == 0) return err_set(e, ERR_INTERNAL, "message %lld is gone", (long long)id);
    return rc == 1 ? 0 : -1;
}

static int take_fifo(struct local_tx *tx, struct arena *a, int64_t queue, int64_t until, int64_t limit,
                     struct sqs_message *ret, int *ret_n, struct err *e) {
    int64_t ids[SQS_BATCH];
    int n = 0;
    if (sqs_fifo_pick(tx, a, queue, limit, ids, &n, e)) return -1;
    for (int i = 0; i < n; i++) {
        if (find_one(tx, a, ids[i], &ret[i], e) || receive(tx, &ret[i], until, e)) return -1;
        bool last = i == 0 || !str_eq(ret[i].group, ret[i - 1].group);
        if (last && sqs_group_changed(tx, queue, ret[i].group, e)) return -1;
    }
    *ret_n = n;
    return 0;
}

int sqs_take(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, int64_t visibility, int64_t limit,
             struct sqs_message *ret, int *ret_n, bool *ret_full, struct err *e) {
    int64_t until = tx->now_ms + visibility * 1000, *bound = NULL;
    *ret_n = 0;
    if (check_in_flight(tx, q->id, &limit, &bound, e)) return -1;
    *ret_full = !limit;
    if (!limit) return 0;
    int rc = q->fifo ? take_fifo(tx, a, q->id, until, limit, ret, ret_n, e)
                     : take_standard(tx, a, q->id, until, limit, ret, ret_n, e);
    *bound += *ret_n;
    return rc;
}

int sqs_take_again(struct local_tx *tx, struct arena *a, int64_t id, int64_t until, struct sqs_message *ret,
                   struct err *e) {
    return find_one(tx, a, id, ret, e) || hide(tx, ret, until, e) ? -1 : 0;
}
