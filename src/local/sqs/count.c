/* How many messages a queue holds: exactly up to a number, beyond it by estimate. Counting all of a long queue would
 * take a third of a second a million, and counters of its own would cost every send and every delete a row. */
#include "local/sqs/sqs.h"
#include <string.h>

enum { SAMPLES = 4096 };

static int read_counts(struct local_tx *tx, const char *sql, int64_t queue, int64_t *ret, int n, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, queue);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_i64(s, 3, SQS_COUNTED);
    int rc = db_step(s, e);
    for (int i = 0; rc == 1 && i < n; i++) ret[i] = db_i64(s, i);
    db_done(s);
    return rc == 1 ? 0 : -1;
}

static int count_exactly(struct local_tx *tx, int64_t queue, struct sqs_counts *ret, struct err *e) {
    int64_t hidden[2] = {0};
    if (read_counts(tx, "SELECT count(*) FROM (SELECT 1 FROM messages WHERE queue=?1 AND visible_at<=?2 LIMIT ?3)",
                    queue, &ret->visible, 1, e))
        return -1;
    if (read_counts(tx,
                    "SELECT count(*) FILTER (WHERE receives>0), count(*) FILTER (WHERE receives=0) FROM (SELECT "
                    "receives FROM messages WHERE queue=?1 AND visible_at>?2 LIMIT ?3)",
                    queue, hidden, 2, e))
        return -1;
    ret->in_flight = hidden[0];
    ret->delayed = hidden[1];
    return 0;
}

/* == estimates ======================================================================================================
 */

static int bounds(struct local_tx *tx, int64_t *ret_first, int64_t *ret_last, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT (SELECT min(id) FROM messages), (SELECT max(id) FROM messages)", &s, e)) return -1;
    int rc = db_step(s, e);
    if (rc == 1) *ret_first = db_i64(s, 0);
    if (rc == 1) *ret_last = db_i64(s, 1);
    db_done(s);
    return rc == 1 ? 0 : -1;
}

/* Adds 1 to what the message of that id is counted as, if it is there and of the queue. */
static int look_at(struct local_tx *tx, int64_t queue, int64_t id, struct sqs_counts *hits, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT visible_at, receives FROM messages WHERE id=?1 AND queue=?2", &s, e)) return -1;
    db_bind_i64(s, 1, id);
    db_bind_i64(s, 2, queue);
    int rc = db_step(s, e);
    if (rc == 1) (*(db_i64(s, 0) <= tx->now_ms ? &hits->visible : db_i64(s, 1) ? &hits->in_flight : &hits->delayed))++;
    db_done(s);
    return rc < 0 ? -1 : 0;
}

static int64_t at_least(int64_t counted, int64_t hits, double width) {
    int64_t estimate = (int64_t)((double)hits * width + 0.5);
    return estimate > counted ? estimate : counted;
}

/* One message of each of SAMPLES stretches of ids; where in its stretch, is spread by the golden ratio, so that queues
 * that are filled in turns do not fall into step with it. */
static int estimate(struct local_tx *tx, int64_t queue, struct sqs_counts *hits, double *ret_width, struct err *e) {
    int64_t first = 0, last = 0;
    double at = 0;
    memset(hits, 0, sizeof *hits);
    if (bounds(tx, &first, &last, e)) return -1;
    *ret_width = (double)(last - first + 1) / SAMPLES;
    for (int i = 0; i < SAMPLES; i++) {
        at += 0.6180339887498949;
        if (at >= 1) at -= 1;
        if (look_at(tx, queue, first + (int64_t)((i + at) * *ret_width), hits, e)) return -1;
    }
    return 0;
}

int sqs_count(struct local_tx *tx, int64_t queue, struct sqs_counts *ret, struct err *e) {
    struct sqs_counts hits;
    double width = 0;
    if (count_exactly(tx, queue, ret, e)) return -1;
    bool many = ret->visible >= SQS_COUNTED, hidden = ret->in_flight + ret->delayed >= SQS_COUNTED;
    if (!many && !hidden) return 0;
    if (estimate(tx, queue, &hits, &width, e)) return -1;
    if (many) ret->visible = at_least(ret->visible, hits.visible, width);
    if (hidden) ret->in_flight = at_least(ret->in_flight, hits.in_flight, width);
    if (hidden) ret->delayed = at_least(ret->delayed, hits.delayed, width);
    return 0;
}
