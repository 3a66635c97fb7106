/* Expiry of objects and of unfinished uploads by the clock: once a day of UTC, as S3 does. An object that is created
 * on day d and has n days to live goes at the midnight that is the first after d + n days. */
#include "local/s3/s3.h"

enum { DAY_MS = 86400000, DONE_MS = 86400000 /* how long a completed upload is remembered */ };

struct sweep {
    struct local_tx *tx;
    struct arena *a;
    struct s3_bin *bin;
    struct s3_bucket bucket;
    struct json rules;
    struct str from; /* the key after which the day's walk goes on */
    int left;        /* rows that may go in this turn */
};

/* Midnight after which what was made at `ms` has been there for `days`. */
static int64_t due(int64_t ms, int64_t days) {
    return (ms + days * DAY_MS + DAY_MS - 1) / DAY_MS * DAY_MS;
}

static int64_t days_of(const struct json *v, const char *name) {
    const struct json *days = json_get(v, name);
    int64_t n = 0;
    if (json_is(days, JSON_STR))
        str_i64(days->s, &n);
    else
        json_i64(days, &n);
    return n;
}

static bool covers(const struct json *rule, struct str key) {
    const struct json *filter = json_get(rule, "Filter");
    return str_is(json_get_s(rule, "Status"), "Enabled") &&
           str_starts(key, json_get_s(filter ? filter : rule, "Prefix"));
}

static bool has_expired(const struct sweep *w, struct str key, int64_t modified_ms) {
    for (uint32_t i = 0; i < w->rules.n; i++) {
        const struct json *rule = &w->rules.items[i], *gone = json_get(rule, "Expiration");
        int64_t date = 0, days = days_of(gone, "Days");
        if (!gone || !covers(rule, key)) continue;
        if (days && due(modified_ms, days) <= w->tx->now_ms) return true;
        if (now_parse_iso(json_get_s(gone, "Date"), &date) && date <= w->tx->now_ms) return true;
    }
    return false;
}

static bool is_abandoned(const struct sweep *w, struct str key, int64_t created_ms) {
    for (uint32_t i = 0; i < w->rules.n; i++) {
        const struct json *rule = &w->rules.items[i];
        int64_t days = days_of(json_get(rule, "AbortIncompleteMultipartUpload"), "DaysAfterInitiation");
        if (days && covers(rule, key) && due(created_ms, days) <= w->tx->now_ms) return true;
    }
    return false;
}

/* == objects ========================================================================================================
 */

/* Keys that go, at most w->left; *ret_done: the bucket was walked to its end. */
static int expired_keys(struct sweep *w, struct json *ret, bool *ret_done, struct err *e) {
    enum { LOOK = 5000 }; /* rows looked at in one turn */
    struct db_stmt *s = NULL;
    int rc, looked = 0;
    *ret = json_make_arr();
    *ret_done = false;
    if (db_stmt(w->tx->db, "SELECT key,modified_ms FROM objects WHERE bucket=?1 AND key>?2 ORDER BY key", &s, e))
        return -1;
    db_bind_text(s, 1, w->bucket.name);
    db_bind_text(s, 2, w->from);
    while ((rc = db_step(s, e)) == 1 && w->left > 0 && looked++ < LOOK) {
        w->from = arena_str(w->a, db_bytes(s, 0));
        if (!has_expired(w, w->from, db_i64(s, 1))) continue;
        json_push(w->a, ret, json_make_str(w->from));
        w->left--;
    }
    *ret_done = rc == 0;
    db_done(s);
    return rc < 0 ? -1 : 0;
}

static int expire(struct sweep *w, bool *ret_done, struct err *e) {
    struct json keys, ignored = json_make_obj();
    *ret_done = !w->rules.n;
    if (*ret_done) return 0;
    if (expired_keys(w, &keys, ret_done, e)) return -1;
    for (uint32_t i = 0; i < keys.n; i++)
        if (s3_remove(w->tx, w->a, &w->bucket, keys.items[i].s, STR_NONE, w->bin, &ignored, e)) return -1;
    return 0;
}

/* == uploads ========================================================================================================
 */

/* Unfinished ones whose time is over, and completed ones that nobody asks for any more. *ret: their ids. */
static int old_uploads(struct sweep *w, struct json *ret, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    *ret = json_make_arr();
    if (db_stmt(w->tx->db, "SELECT upload_id,key,created_ms,done<>'' FROM uploads WHERE bucket=?1", &s, e)) return -1;
    db_bind_text(s, 1, w->bucket.name);
    while ((rc = db_step(s, e)) == 1) {
        bool done = db_i64(s, 3);
        bool old = done ? db_i64(s, 2) + DONE_MS < w->tx->now_ms : is_abandoned(w, db_bytes(s, 1), db_i64(s, 2));
        if (old) json_push(w->a, ret, json_make_str(arena_str(w->a, db_bytes(s, 0))));
    }
    db_done(s);
    return rc;
}

static int forget_uploads(struct sweep *w, struct err *e) {
    struct json ids;
    if (old_uploads(w, &ids, e)) return -1;
    for (uint32_t i = 0; i < ids.n; i++)
        if (s3_upload_forget(w->tx, w->a, w->bucket.name, ids.items[i].s, w->bin, e)) return -1;
    return 0;
}

/* == all ============================================================================================================
 */

static int save(struct sweep *w, int64_t day, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(w->tx->db, "UPDATE buckets SET swept_day=?2,swept_key=?3 WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, w->bucket.name);
    db_bind_i64(s, 2, day);
    db_bind_text(s, 3, w->from);
    return db_run(s, e) ? -1 : 0;
}

/* The next bucket whose walk of the day is not finished. 1, 0: none, -1. */
static int next_bucket(struct sweep *w, int64_t day, struct err *e) {
    struct db_stmt *s = NULL;
    struct str rules;
    if (db_stmt(w->tx->db,
                "SELECT name,lifecycle,swept_key,versioning FROM buckets WHERE swept_day<>?1 AND (lifecycle<>'' OR"
                " EXISTS(SELECT 1 FROM uploads WHERE bucket=name AND done<>'')) LIMIT 1",
                &s, e))
        return -1;
    db_bind_i64(s, 1, day);
    int rc = db_step(s, e);
    if (rc == 1) {
        w->bucket.name = arena_str(w->a, db_bytes(s, 0));
        rules = arena_str(w->a, db_bytes(s, 1));
        w->from = arena_str(w->a, db_bytes(s, 2));
        w->bucket.versioned = str_is(db_bytes(s, 3), "Enabled");
        w->bucket.suspended = str_is(db_bytes(s, 3), "Suspended");
        w->rules = json_make_arr();
        if (rules.n && json_parse(w->a, rules, NULL, &w->rules, e)) rc = err_wrap(e, "a bucket's row");
    }
    db_done(s);
    return rc;
}

int s3_sweep(struct local_tx *tx, struct s3_bin *bin, int max, bool *ret_more, struct err *e) {
    int64_t day = tx->now_ms / DAY_MS;
    struct sweep w = {.tx = tx, .a = bin->a, .bin = bin, .left = max};
    bool done = false;
    int rc = next_bucket(&w, day, e);
    *ret_more = rc == 1;
    if (rc != 1) return rc;
    if (expire(&w, &done, e)) return -1;
    if (done && forget_uploads(&w, e)) return -1;
    if (done) w.from = STR("");
    return save(&w, done ? day : day - 1, e);
}
