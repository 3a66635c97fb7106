/* ReceiveRequestAttemptId of FIFO queues: "During the deduplication interval, the same ReceiveRequestAttemptId returns
 * the same messages and receipt handles" and begins their visibility timeout again, as long as none of them was deleted
 * or had its visibility changed or ended. */
#include "local/sqs/sqs.h"

struct was {
    int64_t id, receives, visible_at;
};

static int read_record(struct local_tx *tx, struct arena *a, int64_t queue, struct str attempt, struct json *ret,
                       struct err *e) {
    struct db_stmt *s = NULL;
    struct str text = STR_NONE;
    if (db_stmt(tx->db, "SELECT messages FROM sqs_attempts WHERE queue=?1 AND attempt=?2 AND until_ms>?3", &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_text(s, 2, attempt);
    db_bind_i64(s, 3, tx->now_ms);
    int rc = db_step(s, e);
    if (rc == 1) text = arena_str(a, db_bytes(s, 0));
    db_done(s);
    if (rc == 1 && json_parse(a, text, NULL, ret, e)) return err_wrap(e, "a receive attempt");
    return rc;
}

/* [id, receives, visible_at, ...] */
static int read_list(const struct json *list, struct was *ret) {
    int n = 0;
    for (uint32_t i = 0; json_is(list, JSON_ARR) && i + 2 < list->n && n < SQS_BATCH; i += 3, n++) {
        json_i64(&list->items[i], &ret[n].id);
        json_i64(&list->items[i + 1], &ret[n].receives);
        json_i64(&list->items[i + 2], &ret[n].visible_at);
    }
    return n;
}

static int is_untouched(struct local_tx *tx, int64_t queue, const struct was *w, struct err *e) {
    struct db_stmt *s = NULL;
    if (w->visible_at <= tx->now_ms) return 0;
    if (db_stmt(tx->db, "SELECT 1 FROM messages WHERE id=?1 AND queue=?2 AND receives=?3 AND visible_at=?4", &s, e))
        return -1;
    db_bind_i64(s, 1, w->id);
    db_bind_i64(s, 2, queue);
    db_bind_i64(s, 3, w->receives);
    db_bind_i64(s, 4, w->visible_at);
    int rc = db_step(s, e);
    db_done(s);
    return rc;
}

int sqs_attempt_repeat(struct local_tx *tx, struct arena *a, int64_t queue, struct str attempt, int64_t until,
                       struct sqs_message *ret, int *ret_n, struct err *e) {
    struct json list;
    struct was all[SQS_BATCH];
    int rc = read_record(tx, a, queue, attempt, &list, e);
    if (rc != 1) return rc;
    int n = read_list(&list, all);
    for (int i = 0; i < n; i++) {
        rc = is_untouched(tx, queue, &all[i], e);
        if (rc != 1) return rc;
    }
    for (int i = 0; i < n; i++) {
        if (sqs_take_again(tx, a, all[i].id, until, &ret[i], e)) return -1;
        if (sqs_group_changed(tx, queue, ret[i].group, e)) return -1;
    }
    *ret_n = n;
    return 1;
}

int sqs_attempt_save(struct local_tx *tx, struct arena *a, int64_t queue, struct str attempt, int64_t until,
                     const struct sqs_message *messages, int n, struct err *e) {
    struct buf text = BUF_MAX(4096);
    struct db_stmt *s = NULL;
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%s%lld,%lld,%lld", i ? "," : "[", (long long)messages[i].id, (long long)messages[i].receives,
                   (long long)until);
    buf_c(&text, n ? "]" : "[]");
    struct str list = arena_str(a, buf_view(&text));
    buf_free(&text);
    if (db_stmt(
            tx->db,
            "INSERT INTO sqs_attempts(queue,attempt,messages,until_ms) VALUES(?1,?2,?3,?4) ON CONFLICT(queue,attempt)"
            " DO UPDATE SET messages=?3, until_ms=?4",
            &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_text(s, 2, attempt);
    db_bind_text(s, 3, list);
    db_bind_i64(s, 4, tx->now_ms + SQS_DEDUP_MS);
    return db_run(s, e) ? -1 : 0;
}
