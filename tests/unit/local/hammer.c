/* t.local's hammer(engine, threads, rounds): worker threads, each with its own loop and connection, send to queue "q",
 * receive from it and delete what they got, all at once. Returns how many were sent and how many were received. */
#include "hammer.h"
#include "base/arena.h"
#include <pthread.h>

enum { SENDS = 4 };

struct worker {
    pthread_t thread;
    struct local *local;
    int rounds, number;
    long sent, received;
    struct err err;
};

struct turn {
    struct aws_call *calls[SENDS + 1];
    int left;
};

static void ended(struct aws_call *c, void *ud) {
    (void)c;
    ((struct turn *)ud)->left--;
}

static struct aws_call *make(enum aws_op op, struct turn *t) {
    struct aws_call *c = aws_call_new(op);
    json_set(&c->arena, &c->params, "QueueUrl", json_make_c("q"));
    c->done = ended;
    c->ud = t;
    return c;
}

static void start(struct local_conn *conn, struct loop *loop, struct turn *t, struct aws_call *c) {
    if (aws_start(local_backend(conn), loop, c) == AWS_PENDING) t->left++;
}

static void delete_all(struct worker *w, struct local_conn *conn, struct loop *loop, const struct json *messages) {
    struct turn t = {0};
    if (!messages) return;
    struct aws_call *c = make(AWS_SQS_DeleteMessageBatch, &t);
    struct json entries = json_make_arr();
    for (uint32_t i = 0; i < messages->n; i++) {
        struct json row = json_make_obj();
        json_set(&c->arena, &row, "Id", json_make_str(arena_printf(&c->arena, "%u", i)));
        json_set(&c->arena, &row, "ReceiptHandle", json_make_str(json_get_s(&messages->items[i], "ReceiptHandle")));
        json_push(&c->arena, &entries, row);
    }
    json_set(&c->arena, &c->params, "Entries", entries);
    aws_call_wait(local_backend(conn), loop, c);
    if (c->err.code) w->err = c->err;
    w->received += messages->n;
    aws_call_free(c);
}

static void one_round(struct worker *w, struct local_conn *conn, struct loop *loop, int round) {
    struct turn t = {0};
    for (int i = 0; i <= SENDS; i++) {
        struct aws_call *c = t.calls[i] = make(i < SENDS ? AWS_SQS_SendMessage : AWS_SQS_ReceiveMessage, &t);
        if (i < SENDS)
            json_set(&c->arena, &c->params, "MessageBody",
                     json_make_str(arena_printf(&c->arena, "%d-%d-%d", w->number, round, i)));
        else
            json_set(&c->arena, &c->params, "MaxNumberOfMessages", json_make_i64(&c->arena, SENDS));
        start(conn, loop, &t, c);
    }
    while (t.left) loop_once(loop, -1);
    for (int i = 0; i <= SENDS; i++)
        if (t.calls[i]->err.code) w->err = t.calls[i]->err;
    w->sent += SENDS;
    delete_all(w, conn, loop, json_get(&t.calls[SENDS]->result, "Messages"));
    for (int i = 0; i <= SENDS; i++) aws_call_free(t.calls[i]);
}

static void *work(void *ud) {
    struct worker *w = ud;
    struct loop *loop = NULL;
    struct local_conn *conn = NULL;
    if (loop_open(&loop, &w->err)) return NULL;
    if (!local_attach(w->local, loop, &conn, &w->err))
        for (int i = 0; i < w->rounds && !w->err.code; i++) one_round(w, conn, loop, i);
    local_detach(conn);
    loop_close(loop);
    return NULL;
}

int hammer(struct local *l, int threads, int rounds, long *ret_sent, long *ret_received, struct err *e) {
    struct worker w[16] = {0};
    *ret_sent = *ret_received = 0;
    if (threads > 16) threads = 16;
    for (int i = 0; i < threads; i++) {
        w[i] = (struct worker){.local = l, .rounds = rounds, .number = i};
        if (pthread_create(&w[i].thread, NULL, work, &w[i])) return err_set(e, ERR_INTERNAL, "cannot start a thread");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(w[i].thread, NULL);
        *ret_sent += w[i].sent;
        *ret_received += w[i].received;
        if (w[i].err.code) *e = w[i].err;
    }
    return e->code ? -1 : 0;
}
