/* /_perigee/cloud/: what tests do to the engine from outside. */
#include "local/face/control.h"
#include "local/s3/s3.h"
#include "local/snapshot.h"
#include "local/writer.h"
#include <string.h>

#define ROOT "/_perigee/cloud"
#define ONE_SNAPSHOT "snapshots/"

/* == answers ========================================================================================================
 */

static void send_json(struct face *f, int status, const struct json *v) {
    struct http_response res;
    http_response_init(&res, status);
    face_set(&res, "Content-Type", STR("application/json"));
    face_set(&res, "Cache-Control", STR("no-store"));
    json_write(&res.body, v);
    buf_byte(&res.body, '\n');
    face_send(f, &res);
}

static void send_one(struct face *f, const char *name, struct json value) {
    struct json v = json_make_obj();
    json_set(f->r->arena, &v, name, value);
    send_json(f, 200, &v);
}

static void send_error(struct face *f, int status, const struct err *e) {
    struct http_response res;
    http_response_init(&res, status);
    http_error(&res, status, err_name_of(e), "%s", e->msg);
    face_send(f, &res);
}

/* == the clock ======================================================================================================
 */

static void tell_clock(struct face *f) {
    struct arena *a = f->r->arena;
    struct clock *c = f->conn->local->clock;
    struct json v = json_make_obj();
    int64_t frozen = atomic_load(&c->frozen_ms);
    char iso[25];
    now_iso(clock_ms(c), iso);
    json_set(a, &v, "now", json_make_str(arena_str(a, str_c(iso))));
    json_set(a, &v, "now_ms", json_make_i64(a, clock_ms(c)));
    json_set(a, &v, "offset_ms", json_make_i64(a, atomic_load(&c->offset_ms)));
    json_set(a, &v, "frozen", json_make_bool(frozen != 0));
    send_json(f, 200, &v);
}

/* {"now": "2026-11-22T09:00:00Z"}, {"advance_ms": n}, {"freeze": bool}, in this order; {"reset": true} alone: the
 * system's time again. */
static int move_clock(struct clock *c, const struct json *doc, struct err *e) {
    int64_t now, advance = 0, year_10000 = 253402300800000;
    bool freeze = atomic_load(&c->frozen_ms) != 0, reset = false;
    const struct json *at = json_get(doc, "now"), *by = json_get(doc, "advance_ms"), *hold = json_get(doc, "freeze");
    if (json_get(doc, "reset") && (!json_bool(json_get(doc, "reset"), &reset) || !reset || doc->n > 1))
        return err_set(e, ERR_VALIDATION, "clock: reset goes alone, and is true");
    if (hold && !json_bool(hold, &freeze)) return err_set(e, ERR_VALIDATION, "clock: freeze is neither true nor false");
    now = clock_ms(c);
    if (at && !now_parse_iso(json_str(at), &now))
        return err_set(e, ERR_VALIDATION, "clock: now is not like \"2026-11-22T09:00:00Z\"");
    if (by && (!json_i64(by, &advance) || advance > year_10000 || advance < -year_10000))
        return err_set(e, ERR_VALIDATION, "clock: advance_ms is not a number of milliseconds");
    now += advance;
    if (now < 1 || now >= year_10000) return err_set(e, ERR_VALIDATION, "clock: that is out of the years 1970 to 9999");
    if (!reset && !at && !by && !hold)
        return err_set(e, ERR_VALIDATION, "clock: there are now, advance_ms, freeze and reset");
    if (atomic_load(&c->simulated)) {
        if (reset || !freeze) return err_set(e, ERR_VALIDATION, "clock: simulated time does not go on by itself");
        atomic_fetch_add(&c->offset_ms, now - clock_ms(c));
        return 0;
    }
    atomic_store(&c->frozen_ms, reset || !freeze ? 0 : now);
    atomic_store(&c->offset_ms, reset || freeze ? 0 : now - clock_ms(NULL));
    return 0;
}

static int clock_door(struct face *f, const struct json *doc, struct err *e) {
    struct local *l = f->conn->local;
    if (doc && move_clock(l->clock, doc, e)) return -1;
    if (doc) writer_poke(l->writer);
    tell_clock(f);
    return 0;
}

/* == mail, faults ===================================================================================================
 */

static int mailbox_door(struct face *f, const struct json *doc, struct err *e) {
    struct json v;
    if (doc) return err_set(e, ERR_S3_METHOD, "mailbox: there is only GET");
    if (local_mailbox(f->conn, f->r->arena, &v, e)) return -1;
    send_json(f, 200, &v);
    return 0;
}

static int faults_door(struct face *f, const struct json *doc, struct err *e) {
    struct json v;
    if (doc && faults_set(f->conn->local->injected, doc, e)) return -1;
    faults_get(f->conn->local->injected, f->r->arena, &v);
    send_json(f, 200, &v);
    return 0;
}

/* == a fresh start ==================================================================================================
 */

struct wipe {
    struct local_op op;
    struct face *f;
    struct s3_bin bin;
    struct pool_work work;
};

/* What declares resources stays: tables, queues, buckets, identities, tags. */
static bool is_content(struct str table) {
    static const char *const kept[] = {"meta", "queues", "ses_identities"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (str_is(table, kept[i])) return false;
    if (str_starts(table, STR("sqlite_")) || str_find(table, STR("bucket"), 0) >= 0) return false;
    if (str_find(table, STR("tag"), 0) >= 0) return false;
    return !str_starts(table, STR("ddb_")) || str_is(table, "ddb_token");
}

static int list_contents(struct local_tx *tx, struct arena *a, struct json *ret, struct err *e) {
    struct db_stmt *s = NULL;
    int rc = db_stmt(tx->db, "SELECT name FROM sqlite_master WHERE type='table'", &s, e);
    *ret = json_make_arr();
    while (!rc && (rc = db_step(s, e)) == 1) {
        rc = 0;
        if (is_content(db_bytes(s, 0))) json_push(a, ret, json_make_str(arena_str(a, db_bytes(s, 0))));
    }
    db_done(s);
    return rc < 0 ? -1 : 0;
}

static int list_files(struct wipe *w, struct local_tx *tx, struct err *e) {
    struct snapshot_ids ids = {0};
    int rc = snapshot_ids(tx->db, &ids, e);
    s3_bin_init(&w->bin, tx->local, w->f->r->arena);
    for (size_t i = 0; !rc && i < ids.ids.n; i++)
        s3_bin_add(&w->bin, tx->local, *(const struct str *)ids.ids.slots[i].value, ids.ids.slots[i].key);
    snapshot_ids_free(&ids);
    return rc;
}

/* Writer thread. */
static int wipe_run(struct local_op *op, struct local_tx *tx, struct err *e) {
    struct arena a = {0};
    struct json tables;
    int rc = list_files(op->ud, tx, e) || list_contents(tx, &a, &tables, e) ? -1 : 0;
    for (uint32_t i = 0; !rc && i < tables.n; i++)
        rc = db_exec(tx->db, arena_printf(&a, "DELETE FROM \"%.*s\"", STR_ARG(tables.items[i].s)).p, e);
    arena_free(&a);
    return rc;
}

static void files_gone(void *ud) {
    struct face *f = ((struct wipe *)ud)->f;
    f->conn->in_flight--;
    send_one(f, "reset", json_make_bool(true));
}

static void empty_bin(void *ud) {
    s3_bin_empty(&((struct wipe *)ud)->bin);
}

static void wipe_done(struct local_op *op) {
    struct wipe *w = op->ud;
    struct local_conn *c = w->f->conn;
    if (op->err.code) {
        send_error(w->f, err_status_of(&op->err), &op->err);
        return;
    }
    c->in_flight++;
    pool_run(c->local->pool, c->loop, &w->work, empty_bin, files_gone, w);
}

static int reset_door(struct face *f, const struct json *doc, struct err *e) {
    if (!doc) return err_set(e, ERR_S3_METHOD, "reset: there is only POST");
    if (doc->n)
        return err_set(e, ERR_VALIDATION, "reset: there is no \"%.*s\"", STR_ARG(str_take(doc->members[0].key, 64)));
    struct wipe *w = ARENA_NEW(f->r->arena, struct wipe);
    w->f = f;
    w->op.run = wipe_run;
    w->op.done = wipe_done;
    w->op.ud = w;
    local_submit(f->conn, &w->op);
    return 0;
}

/* == snapshots ======================================================================================================
 */

struct shot {
    struct face *f;
    struct str name;
    const char *what; /* "taken", "restored", "deleted" */
};

static void shot_done(void *ud, const struct err *e) {
    struct shot *s = ud;
    if (e)
        send_error(s->f, err_status_of(e), e);
    else
        send_one(s->f, s->what, json_make_str(s->name));
}

static int start_shot(struct face *f, enum local_snapshot what, struct str name) {
    static const char *const words[] = {"taken", "restored", "deleted"};
    struct shot *s = ARENA_NEW(f->r->arena, struct shot);
    *s = (struct shot){f, name, words[what]};
    local_snapshot(f->conn, what, name, shot_done, s);
    return 0;
}

/* {"name": "before"} and nothing else. */
static int read_name(const struct json *doc, const char *door, struct str *ret, struct err *e) {
    for (uint32_t i = 0; i < doc->n; i++)
        if (!str_is(doc->members[i].key, "name"))
            return err_set(e, ERR_VALIDATION, "%s: there is no \"%.*s\"", door,
                           STR_ARG(str_take(doc->members[i].key, 64)));
    *ret = json_get_s(doc, "name");
    return ret->p ? 0 : err_set(e, ERR_VALIDATION, "%s: name is missing, or no string", door);
}

static int snapshots_door(struct face *f, const struct json *doc, struct err *e) {
    struct json rows;
    struct str name;
    if (doc) return read_name(doc, "snapshots", &name, e) ? -1 : start_shot(f, LOCAL_SNAPSHOT_TAKE, name);
    if (local_snapshots(f->conn, f->r->arena, &rows, e)) return -1;
    send_one(f, "snapshots", rows);
    return 0;
}

static int restore_door(struct face *f, const struct json *doc, struct err *e) {
    struct str name;
    if (!doc) return err_set(e, ERR_S3_METHOD, "restore: there is only POST");
    return read_name(doc, "restore", &name, e) ? -1 : start_shot(f, LOCAL_SNAPSHOT_RESTORE, name);
}

/* == all ============================================================================================================
 */

static const struct door {
    const char *name;
    int (*fn)(struct face *f, const struct json *doc, struct err *e); /* doc: of POST and PUT, else NULL */
} control_doors[] = {{"clock", clock_door}, {"mailbox", mailbox_door},     {"faults", faults_door},
                     {"reset", reset_door}, {"snapshots", snapshots_door}, {"restore", restore_door}};

static void tell_all(struct face *f) {
    struct arena *a = f->r->arena;
    struct json names = json_make_arr();
    for (size_t i = 0; i < sizeof control_doors / sizeof *control_doors; i++)
        json_push(a, &names, json_make_str(arena_printf(a, ROOT "/%s", control_doors[i].name)));
    send_one(f, "control", names);
}

static struct str host_without_port(struct str host) {
    struct str rest = host;
    if (host.n && host.p[0] == '[') return str_take(host, (size_t)(str_chr(host, ']', 0) + 1));
    return str_cut(&rest, ':');
}

static bool is_loopback_name(struct str host) {
    struct str name = host_without_port(host);
    return str_ieq(name, STR("localhost")) || str_starts(name, STR("127.")) || str_is(name, "[::1]");
}

/* Nothing is signed here, so that no web page may come in: not from another origin, nor under a name of its own that
 * leads to this machine. */
int local_may_control(const struct local_conn *c, const struct http_request *r, struct err *e) {
    const struct local *l = c->local;
    struct str host = http_header(r, "host"), origin = http_header(r, "origin");
    if (l->control == LOCAL_CONTROL_OFF) return err_set(e, ERR_S3_DENIED, "the control is off: start with --control");
    if (origin.p && (!str_starts(origin, STR("http://")) || !str_ieq(str_from(origin, 7), host)))
        return err_set(e, ERR_S3_DENIED, "web pages of other origins may not control the engine");
    if (l->control == LOCAL_CONTROL_ON) return 0;
    if (r->loopback && is_loopback_name(host)) return 0;
    return err_set(e, ERR_S3_DENIED, "without --control only this machine, as localhost, may control the engine");
}

static int read_doc(struct face *f, struct json *doc, struct err *e) {
    if (json_parse(f->r->arena, f->r->body.n ? f->r->body : STR("{}"), NULL, doc, e)) return -1;
    return json_is(doc, JSON_OBJ) ? 0 : err_set(e, ERR_SYNTAX, "the body is not a JSON object");
}

static int enter(struct face *f, struct str name, struct err *e) {
    struct json doc;
    bool reads = str_is(f->r->method, "GET"), writes = str_is(f->r->method, "POST") || str_is(f->r->method, "PUT");
    if (str_is(f->r->method, "DELETE") && str_starts(name, STR(ONE_SNAPSHOT)))
        return start_shot(f, LOCAL_SNAPSHOT_DELETE, str_from(name, sizeof ONE_SNAPSHOT - 1));
    if (!reads && !writes)
        return err_set(e, ERR_S3_METHOD, "there are GET, POST and PUT, and DELETE " ROOT "/" ONE_SNAPSHOT "NAME");
    if (writes && read_doc(f, &doc, e)) return -1;
    for (size_t i = 0; i < sizeof control_doors / sizeof *control_doors; i++)
        if (str_is(name, control_doors[i].name)) return control_doors[i].fn(f, writes ? &doc : NULL, e);
    if (name.n || writes)
        return err_set(e, ERR_SES_NOT_FOUND, "there is no " ROOT "/%.*s", STR_ARG(str_take(name, 64)));
    tell_all(f);
    return 0;
}

bool face_control(struct face *f) {
    struct str rest = str_from(f->r->path, sizeof ROOT - 1);
    struct err e = {0};
    if (!str_starts(f->r->path, STR(ROOT)) || (rest.n && rest.p[0] != '/')) return false;
    if (local_may_control(f->conn, f->r, &e) || enter(f, str_from(rest, 1), &e)) send_error(f, err_status_of(&e), &e);
    return true;
}
