/* Message move tasks: housekeeping takes messages out of a dead-letter queue, some at a time, to where they came from
 * or to one destination. Moved messages are new ones: new id, new time of sending, never received. */
#include "base/crypto.h"
#include "local/sqs/sqs.h"

enum { RATE_MAX = 500, TASKS_KEPT = 10 };

struct task {
    int64_t id, source, rate, moved, to_move, started_ms; /* rate: messages a second, 0: as fast as it goes */
    struct str name, source_arn, destination, status, reason;
};

#define COLUMNS "id,source,rate,moved,to_move,started_ms,task,source_arn,destination,status,reason"

static void read_row(struct db_stmt *s, struct arena *a, struct task *t) {
    int64_t *numbers[] = {&t->id, &t->source, &t->rate, &t->moved, &t->to_move, &t->started_ms};
    struct str *texts[] = {&t->name, &t->source_arn, &t->destination, &t->status, &t->reason};
    for (int i = 0; i < 6; i++) *numbers[i] = db_i64(s, i);
    for (int i = 0; i < 5; i++) *texts[i] = arena_str(a, db_bytes(s, 6 + i));
}

static int run_i64(struct local_tx *tx, const char *sql, int64_t v, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, v);
    return db_run(s, e) ? -1 : 0;
}

static int select_i64(struct local_tx *tx, const char *sql, int64_t v, int64_t *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, v);
    int rc = db_step(s, e);
    *ret = rc == 1 ? db_i64(s, 0) : 0;
    db_done(s);
    return rc < 0 ? -1 : 0;
}

/* == StartMessageMoveTask ===========================================================================================
 */

static int find_queue(struct local_tx *tx, struct aws_call *c, const char *name, struct sqs_queue *ret, struct err *e) {
    struct str arn;
    if (params_str(&c->params, name, ERR_SQS_PARAMETER, &arn, e)) return -1;
    if (!arn.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter %s.", name);
    int rc = sqs_lookup_arn(tx, &c->arena, arn, ret, e);
    if (rc) return rc < 0 ? -1 : 0;
    return err_set(e, ERR_SQS_NO_RESOURCE, "The resource that you specified for the %s parameter doesn't exist.", name);
}

static int check_source(struct local_tx *tx, const struct sqs_queue *q, struct err *e) {
    int64_t users = 0, running = 0;
    if (select_i64(tx, "SELECT count(*) FROM queues WHERE dlq=?1 AND gone=0", q->id, &users, e)) return -1;
    if (!users) return err_set(e, ERR_SQS_PARAMETER, "Source queue must be configured as a Dead Letter Queue.");
    if (select_i64(tx, "SELECT count(*) FROM sqs_moves WHERE source=?1 AND status='RUNNING'", q->id, &running, e))
        return -1;
    if (!running) return 0;
    return err_set(e, ERR_SQS_UNSUPPORTED,
                   "There is already a task running. Only one active task is allowed for a source queue arn at a "
                   "given time.");
}

static int check_destination(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *source, struct str *ret,
                             struct err *e) {
    struct sqs_queue q;
    *ret = STR("");
    if (!json_get_s(&c->params, "DestinationArn").n) return 0;
    if (find_queue(tx, c, "DestinationArn", &q, e)) return -1;
    if (q.id == source->id)
        return err_set(e, ERR_SQS_PARAMETER, "Source queue arn and destination queue arn cannot be the same.");
    if (!q.fifo != !source->fifo)
        return err_set(e, ERR_SQS_PARAMETER, "The destination must be a queue of the same type as the source.");
    *ret = json_get_s(&c->params, "DestinationArn");
    return 0;
}

/* As AWS's: base64 of the task and its source. */
static struct str seal(struct arena *a, const struct task *t) {
    struct buf b = BUF_MAX(2048);
    crypto_base64(
        &b, arena_printf(a, "{\"taskId\":\"%.*s\",\"sourceArn\":\"%.*s\"}", STR_ARG(t->name), STR_ARG(t->source_arn)));
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static int insert(struct local_tx *tx, const struct task *t, struct err *e) {
    struct db_stmt *s = NULL;
    const struct str texts[] = {t->name, t->source_arn, t->destination};
    const int64_t numbers[] = {t->source, t->rate, t->to_move, t->started_ms};
    if (db_stmt(tx->db,
                "INSERT INTO sqs_moves(task,source_arn,destination,source,rate,to_move,started_ms,moved,status,reason)"
                " VALUES(?1,?2,?3,?4,?5,?6,?7,0,'RUNNING','')",
                &s, e))
        return -1;
    for (int i = 0; i < 3; i++) db_bind_text(s, 1 + i, texts[i]);
    for (int i = 0; i < 4; i++) db_bind_i64(s, 4 + i, numbers[i]);
    return db_run(s, e) ? -1 : 0;
}

static int forget_old(struct local_tx *tx, int64_t source, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(
            tx->db,
            "DELETE FROM sqs_moves WHERE source=?1 AND id NOT IN (SELECT id FROM sqs_moves WHERE source=?1 ORDER BY "
            "id DESC LIMIT ?2)",
            &s, e))
        return -1;
    db_bind_i64(s, 1, source);
    db_bind_i64(s, 2, TASKS_KEPT);
    return db_run(s, e) ? -1 : 0;
}

int sqs_move_start(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    struct sqs_queue q;
    struct task t = {.started_ms = tx->now_ms};
    struct sqs_counts n = {0};
    char *name = arena_alloc(a, 37);
    if (params_only(&c->params, "SourceArn DestinationArn MaxNumberOfMessagesPerSecond", "StartMessageMoveTask",
                    ERR_SQS_PARAMETER, e))
        return -1;
    if (params_int(&c->params, "MaxNumberOfMessagesPerSecond", 1, RATE_MAX, 0, ERR_SQS_PARAMETER, &t.rate, e))
        return -1;
    if (find_queue(tx, c, "SourceArn", &q, e) || check_source(tx, &q, e)) return -1;
    if (check_destination(tx, c, &q, &t.destination, e)) return -1;
    if (sqs_count(tx, q.id, &n, e)) return -1;
    t.to_move = n.visible + n.in_flight + n.delayed;
    crypto_uuid4(name);
    t.name = str_n(name, 36);
    t.source = q.id;
    t.source_arn = json_get_s(&c->params, "SourceArn");
    if (insert(tx, &t, e) || forget_old(tx, q.id, e)) return -1;
    json_set(a, &c->result, "TaskHandle", json_make_str(seal(a, &t)));
    return 0;
}

/* == ListMessageMoveTasks, CancelMessageMoveTask ====================================================================
 */

static struct json described(struct arena *a, const struct task *t) {
    struct json row = json_make_obj();
    bool running = str_is(t->status, "RUNNING");
    if (running) json_set(a, &row, "TaskHandle", json_make_str(seal(a, t)));
    json_set(a, &row, "Status", json_make_str(t->status));
    json_set(a, &row, "SourceArn", json_make_str(t->source_arn));
    if (t->destination.n) json_set(a, &row, "DestinationArn", json_make_str(t->destination));
    if (t->rate) json_set(a, &row, "MaxNumberOfMessagesPerSecond", json_make_i64(a, t->rate));
    json_set(a, &row, "ApproximateNumberOfMessagesMoved", json_make_i64(a, t->moved));
    json_set(a, &row, "ApproximateNumberOfMessagesToMove", json_make_i64(a, t->to_move));
    if (t->reason.n) json_set(a, &row, "FailureReason", json_make_str(t->reason));
    json_set(a, &row, "StartedTimestamp", json_make_i64(a, t->started_ms));
    return row;
}

int sqs_move_list(struct local_tx *tx, struct aws_call *c) {
    struct db_stmt *s = NULL;
    struct sqs_queue q;
    struct json rows = json_make_arr();
    struct err *e = &c->err;
    int64_t max;
    int rc;
    if (params_only(&c->params, "SourceArn MaxResults", "ListMessageMoveTasks", ERR_SQS_PARAMETER, e)) return -1;
    if (params_int(&c->params, "MaxResults", 1, TASKS_KEPT, 1, ERR_SQS_PARAMETER, &max, e)) return -1;
    if (find_queue(tx, c, "SourceArn", &q, e)) return -1;
    if (db_stmt(tx->db, "SELECT " COLUMNS " FROM sqs_moves WHERE source=?1 ORDER BY id DESC LIMIT ?2", &s, e))
        return -1;
    db_bind_i64(s, 1, q.id);
    db_bind_i64(s, 2, max);
    while ((rc = db_step(s, e)) == 1) {
        struct task t;
        read_row(s, &c->arena, &t);
        json_push(&c->arena, &rows, described(&c->arena, &t));
    }
    db_done(s);
    json_set(&c->arena, &c->result, "Results", rows);
    return rc;
}

static int no_task(struct err *e) {
    return err_set(e, ERR_SQS_NO_RESOURCE, "Task does not exist.");
}

static int open_handle(struct arena *a, struct str handle, struct str *ret, struct err *e) {
    struct buf raw = BUF_MAX(4096);
    struct json doc;
    bool ok =
        crypto_unbase64(&raw, handle) && !raw.over && !json_parse(a, arena_str(a, buf_view(&raw)), NULL, &doc, NULL);
    buf_free(&raw);
    *ret = ok ? json_get_s(&doc, "taskId") : STR_NONE;
    return ret->n ? 0 : err_set(e, ERR_SQS_PARAMETER, "Value for parameter TaskHandle is invalid.");
}

int sqs_move_cancel(struct local_tx *tx, struct aws_call *c) {
    struct db_stmt *s = NULL;
    struct str handle, name;
    struct err *e = &c->err;
    int64_t id = 0, moved = 0;
    if (params_only(&c->params, "TaskHandle", "CancelMessageMoveTask", ERR_SQS_PARAMETER, e)) return -1;
    if (params_str(&c->params, "TaskHandle", ERR_SQS_PARAMETER, &handle, e)) return -1;
    if (!handle.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter TaskHandle.");
    if (open_handle(&c->arena, handle, &name, e)) return -1;
    if (db_stmt(tx->db, "SELECT id, moved FROM sqs_moves WHERE task=?1 AND status='RUNNING'", &s, e)) return -1;
    db_bind_text(s, 1, name);
    int rc = db_step(s, e);
    if (rc == 1) id = db_i64(s, 0);
    if (rc == 1) moved = db_i64(s, 1);
    db_done(s);
    if (rc != 1) return rc < 0 ? -1 : no_task(e);
    if (run_i64(tx, "UPDATE sqs_moves SET status='CANCELLED' WHERE id=?1", id, e)) return -1;
    json_set(&c->arena, &c->result, "ApproximateNumberOfMessagesMoved", json_make_i64(&c->arena, moved));
    return 0;
}

/* == a step =========================================================================================================
 */

enum { STEP_MAX = 500 };
struct moving {
    int64_t id;
    struct str source; /* where it came from, an ARN; may be empty */
    struct str group;  /* of FIFO queues */
};

/* Messages that are in flight or delayed are left. */
static int pick(struct local_tx *tx, struct arena *a, const struct task *t, int64_t limit, struct moving *ret,
                int *ret_n, struct err *e) {
    struct db_stmt *s = NULL;
    int rc, n = 0;
    if (db_stmt(tx->db,
                "SELECT id, coalesce(source,''), coalesce(grp,'') FROM messages WHERE queue=?1 AND visible_at<=?2 "
                "ORDER BY visible_at, "
                "receives, id LIMIT ?3",
                &s, e))
        return -1;
    db_bind_i64(s, 1, t->source);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_i64(s, 3, limit);
    while ((rc = db_step(s, e)) == 1)
        ret[n++] = (struct moving){db_i64(s, 0), arena_str(a, db_bytes(s, 1)), arena_str(a, db_bytes(s, 2))};
    db_done(s);
    *ret_n = n;
    return rc;
}

static int move_row(struct local_tx *tx, const struct sqs_queue *to, int64_t id, struct err *e) {
    struct db_stmt *s = NULL;
    char uuid[37];
    int64_t seq = 0;
    crypto_uuid4(uuid);
    if (to->fifo && sqs_fifo_sequence(tx, to->id, &seq, e)) return -1;
    if (db_stmt(tx->db,
                "UPDATE messages SET queue=?2, visible_at=?3, sent_at=?3, receives=0, first_at=?3, source=NULL,"
                " message_id=?4, seq=nullif(?5,0) WHERE id=?1",
                &s, e))
        return -1;
    db_bind_i64(s, 1, id);
    db_bind_i64(s, 2, to->id);
    db_bind_i64(s, 3, tx->now_ms);
    db_bind_text(s, 4, str_n(uuid, 36));
    db_bind_i64(s, 5, seq);
    if (db_run(s, e)) return -1;
    local_touch(tx, to->id);
    return 0;
}

/* 1: moved; 0: *ret_why tells why it cannot be; -1. */
static int move_one(struct local_tx *tx, struct arena *a, const struct task *t, const struct moving *m,
                    const char **ret_why, struct err *e) {
    struct sqs_queue to;
    struct str arn = t->destination.n ? t->destination : m->source;
    *ret_why = "CouldNotDetermineMessageSource";
    if (!arn.n) return 0;
    int rc = sqs_lookup_arn(tx, a, arn, &to, e);
    if (rc < 0) return -1;
    *ret_why = "AWS.SimpleQueueService.NonExistentQueue";
    if (!rc || to.id == t->source) return 0;
    if (move_row(tx, &to, m->id, e)) return -1;
    if (to.fifo && (sqs_group_changed(tx, t->source, m->group, e) || sqs_group_changed(tx, to.id, m->group, e)))
        return -1;
    return 1;
}

static int save(struct local_tx *tx, const struct task *t, const char *status, const char *reason, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "UPDATE sqs_moves SET moved=?2, status=?3, reason=?4 WHERE id=?1", &s, e)) return -1;
    db_bind_i64(s, 1, t->id);
    db_bind_i64(s, 2, t->moved);
    db_bind_text(s, 3, str_c(status));
    db_bind_text(s, 4, str_c(reason));
    return db_run(s, e) ? -1 : 0;
}

static int64_t allowed_now(struct local_tx *tx, const struct task *t, int max) {
    int64_t n = max < STEP_MAX ? max : STEP_MAX;
    if (!t->rate) return n;
    int64_t by_now = t->rate * ((tx->now_ms - t->started_ms) / 1000) - t->moved;
    return by_now < n ? by_now : n;
}

static int step_task(struct local_tx *tx, struct arena *a, struct task *t, int max, bool *ret_more, struct err *e) {
    struct moving *list = ARENA_ARRAY(a, struct moving, STEP_MAX);
    int64_t limit = allowed_now(tx, t, max);
    const char *why = "";
    int n = 0, rc = 1;
    if (limit <= 0) return 0;
    if (pick(tx, a, t, limit, list, &n, e)) return -1;
    for (int i = 0; i < n && rc == 1; i++) {
        rc = move_one(tx, a, t, &list[i], &why, e);
        if (rc == 1) t->moved++;
    }
    if (rc < 0) return -1;
    if (!rc) return save(tx, t, "FAILED", why, e);
    *ret_more |= n == limit && !t->rate;
    return save(tx, t, n < limit ? "COMPLETED" : "RUNNING", "", e);
}

static int next_task(struct local_tx *tx, struct arena *a, int64_t after, struct task *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT " COLUMNS " FROM sqs_moves WHERE status='RUNNING' AND id>?1 ORDER BY id LIMIT 1", &s,
                e))
        return -1;
    db_bind_i64(s, 1, after);
    int rc = db_step(s, e);
    if (rc == 1) read_row(s, a, ret);
    db_done(s);
    return rc;
}

int sqs_move_step(struct local_tx *tx, int max, bool *ret_more, struct err *e) {
    struct arena a = {0};
    struct task t = {0};
    int rc;
    while ((rc = next_task(tx, &a, t.id, &t, e)) == 1) {
        rc = step_task(tx, &a, &t, max, ret_more, e);
        arena_reset(&a);
        if (rc) break;
    }
    arena_free(&a);
    return rc;
}
