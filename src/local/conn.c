/* A worker's connection: reads at once, hands writes over in batches, and brings results back to the loop. */
#include "base/crypto.h"
#include "local/s3/s3.h"
#include "local/sqs/sqs.h"
#include "local/writer.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* == operations =====================================================================================================
 */

static void arrived(void *ud) {
    struct local_op *op = ud;
    op->conn->in_flight--;
    if (op->after) op->after(op->after_ud);
    op->after = NULL;
    if (op->undo && op->call && op->call->cancelled) {
        op->run = op->undo;
        op->undo = NULL;
        op->queue = 0;
        op->wait_until = 0;
        local_submit(op->conn, op);
        return;
    }
    op->done(op);
}

void local_submit(struct local_conn *c, struct local_op *op) {
    op->conn = c;
    loop_task_init(&op->task, arrived, op);
    c->in_flight++;
    loop_defer(c->loop, &c->nudge);
    list_add(&c->gathered, &op->node);
}

/* Being deferred keeps the loop from blocking before this turn's end. */
static void nudge(void *ud) {
    (void)ud;
}

static void hand_over(void *ud) {
    struct local_conn *c = ud;
    if (!list_empty(&c->gathered)) writer_push(c->local->writer, &c->gathered);
    writer_turn_end(c->local->writer);
}

/* == calls ==========================================================================================================
 */

static int run_call(struct local_op *op, struct local_tx *tx, struct err *e) {
    struct aws_call *c = op->call;
    c->err = (struct err){0};
    c->result = json_make_obj();
    c->result_body = STR_NONE;
    int rc = tx->local->fns[c->op](tx, c);
    if (rc) *e = c->err;
    return rc;
}

static void call_done(struct local_op *op) {
    op->call->err = op->err;
    op->call->state = NULL;
    aws_complete(op->call);
}

/* A receive that a power cut undoes is a message that is visible again: "at-least-once delivery" of standard queues. */
static bool may_be_repeated(const struct aws_call *c) {
    struct str name = c->op == AWS_SQS_ReceiveMessage ? aws_queue_name(json_get_s(&c->params, "QueueUrl")) : STR_NONE;
    return name.n && !str_ends(name, STR(".fifo"));
}

static enum aws_started write_later(struct local_conn *conn, struct aws_call *c) {
    struct local_op *op = ARENA_NEW(&c->arena, struct local_op);
    op->call = c;
    op->run = run_call;
    op->done = call_done;
    op->relaxed = may_be_repeated(c);
    c->state = op;
    local_submit(conn, op);
    return AWS_PENDING;
}

static void read_now(struct local_conn *conn, struct aws_call *c) {
    struct local_tx tx = {
        .db = conn->db, .now_ms = clock_ms(conn->local->clock), .local = conn->local, .id = conn->local->id};
    for (int i = 0; i < AWS_ENGINE_SERVICES; i++) tx.service[i] = conn->service[i];
    if (db_begin(conn->db, &c->err)) return;
    int rc = conn->local->fns[c->op](&tx, c);
    for (int i = 0; i < AWS_ENGINE_SERVICES; i++) conn->service[i] = tx.service[i];
    if (!rc && !db_commit(conn->db, &c->err)) return;
    db_rollback(conn->db);
}

/* The object is looked up at once, and copied by the pool. */
static enum aws_started get_to_file(struct local_conn *conn, struct aws_call *c) {
    struct s3_file file = {.fd = -1};
    c->state = &file;
    read_now(conn, c);
    c->state = NULL;
    if (!c->err.code) return s3_copy_start(conn, c, &file);
    if (file.fd >= 0) close(file.fd);
    return AWS_DONE;
}

static enum aws_started start(struct aws_backend *b, struct aws_call *c) {
    struct local_conn *conn = (struct local_conn *)b;
    const struct aws_op_row *row = c->row;
    crypto_uuid7(clock_ms(conn->local->clock), c->request_id);
    if (c->op == AWS_OTHER || !conn->local->fns[c->op]) {
        err_set(&c->err, ERR_NOT_IMPLEMENTED, "the embedded engine has no %s:%s", aws_service_name(row->service),
                row->action);
        return AWS_DONE;
    }
    writer_look(conn->local->writer);
    if (faults_strike(conn->local->injected, c)) return AWS_DONE;
    if (s3_makes_file(c->op)) return s3_put_start(conn, c);
    if (c->op == AWS_S3_GetObject && c->result_fd >= 0) return get_to_file(conn, c);
    if (row->flags & AWS_WRITE) return write_later(conn, c);
    read_now(conn, c);
    return AWS_DONE;
}

/* Only a parked receive can be given up; everything else happens, and its result is dropped. */
static void cancel(struct aws_backend *b, struct aws_call *c) {
    struct local_conn *conn = (struct local_conn *)b;
    struct local_op *op = c->state;
    if (!op || !(c->row->flags & AWS_LONG)) return;
    atomic_store(&op->cancelled, true);
    writer_notice_cancel(conn->local->writer);
    loop_defer(conn->loop, &conn->nudge);
}

static int64_t now_ms(struct aws_backend *b) {
    return clock_ms(((struct local_conn *)b)->local->clock);
}

static void describe(struct aws_backend *b, struct arena *a, struct json *ret) {
    const struct local *l = ((struct local_conn *)b)->local;
    *ret = json_make_obj();
    json_set(a, ret, "backend", json_make_c("local"));
    json_set(a, ret, "data", json_make_str(arena_str(a, str_c(l->dir))));
    json_set(a, ret, "region", json_make_str(arena_str(a, b->id.region)));
    json_set(a, ret, "account", json_make_str(arena_str(a, b->id.account)));
}

static const struct aws_backend_ops backend_ops = {start, cancel, s3_presign, s3_presign_post, now_ms, describe};

/* == attach and detach ==============================================================================================
 */

static int open_reader(struct local_conn *c, struct err *e) {
    char *path = NULL;
    c->service = c->own_service;
    c->db = writer_shared(c->local->writer, &c->service);
    if (c->db) return 0;
    if (asprintf(&path, "%s/store.db", c->local->dir) < 0) fatal("out of memory");
    int rc = db_open(path, DB_READER, false, &c->db, e);
    free(path);
    if (!rc) rc = service_open(c->db, c->service, e);
    if (!rc) db_faults(c->db, &c->local->faults[LOCAL_FAULT_STEP], NULL);
    return rc;
}

static void close_reader(struct local_conn *c) {
    if (c->service != c->own_service) return;
    service_close(c->service);
    db_close(c->db);
}

int local_attach(struct local *l, struct loop *loop, struct local_conn **ret, struct err *e) {
    struct local_conn *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory");
    c->backend = (struct aws_backend){&backend_ops, l->id};
    c->local = l;
    c->loop = loop;
    list_init(&c->gathered);
    loop_task_init(&c->nudge, nudge, c);
    list_init(&c->finished);
    list_init(&c->finished_node);
    if (writer_attach(l->writer, loop, e)) goto refused;
    if (open_reader(c, e)) goto out;
    loop_turn_end(loop, &c->hook, hand_over, c);
    *ret = c;
    return 0;
out:
    close_reader(c);
    writer_detach(l->writer, loop);
refused:
    free(c);
    return -1;
}

/* Cancelled calls may still be on their way back. */
void local_detach(struct local_conn *c) {
    if (!c) return;
    while (c->in_flight) loop_once(c->loop, 100);
    loop_defer_cancel(c->loop, &c->nudge);
    loop_turn_end_remove(c->loop, &c->hook);
    writer_detach(c->local->writer, c->loop);
    close_reader(c);
    sign_key_cache_wipe(&c->signing);
    free(c);
}

struct aws_backend *local_backend(struct local_conn *c) {
    return &c->backend;
}

/* == readiness ======================================================================================================
 */

struct probe {
    struct local_op op;
    void (*fn)(void *ud, const struct err *e);
    void *ud;
};

static int probe_run(struct local_op *op, struct local_tx *tx, struct err *e) {
    char now[25];
    (void)op;
    now_iso(tx->now_ms, now);
    return meta_set(tx->db, "probed", str_c(now), e);
}

static void probe_done(struct local_op *op) {
    struct probe *p = op->ud;
    p->fn(p->ud, op->err.code ? &op->err : NULL);
    free(p);
}

void local_probe(struct local_conn *c, void (*fn)(void *ud, const struct err *e), void *ud) {
    struct probe *p = calloc(1, sizeof *p);
    if (!p) fatal("out of memory");
    p->fn = fn;
    p->ud = ud;
    p->op.run = probe_run;
    p->op.done = probe_done;
    p->op.ud = p;
    local_submit(c, &p->op);
}
