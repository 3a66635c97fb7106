/* Workers of one remote at once, each on a thread and loop of its own; the rig's loop serves them. */
#include "t_remote.h"
#include <pthread.h>
#include <stdlib.h>

struct worker {
    pthread_t thread;
    struct remote *remote;
    int calls, ok, failed;
    _Atomic int *left;
};

static struct aws_call *one(int i) {
    struct aws_call *c = aws_call_new(i % 3 ? AWS_DYNAMODB_GetItem : AWS_S3_GetObject);
    json_set(&c->arena, &c->params, "TableName", json_make_c("T"));
    if (i % 3) return c;
    c->params = json_make_obj();
    json_set(&c->arena, &c->params, "Bucket", json_make_c("bucket"));
    json_set(&c->arena, &c->params, "Key", json_make_c("k"));
    return c;
}

static void describe(struct aws_backend *b) {
    struct arena a = {0};
    struct json d;
    b->ops->describe(b, &a, &d);
    arena_free(&a);
}

static void presign(struct aws_backend *b) {
    struct aws_presign p = {.method = STR("GET"), .bucket = STR("bucket"), .key = STR("k"), .expires_s = 60};
    struct arena a = {0};
    struct str url;
    struct err e;
    int64_t until;
    b->ops->presign(b, &p, &a, &url, &until, &e);
    arena_free(&a);
}

static void *work(void *ud) {
    struct worker *w = ud;
    struct remote_conn *conn = NULL;
    struct loop *loop = NULL;
    struct err e = {0};
    if (loop_open(&loop, &e) || remote_attach(w->remote, loop, &conn, &e)) fatal("%s", e.msg);
    for (int i = 0; i < w->calls; i++) {
        struct aws_call *c = one(i);
        aws_call_wait(remote_backend(conn), loop, c);
        if (c->err.code)
            w->failed++;
        else
            w->ok++;
        aws_call_free(c);
        describe(remote_backend(conn));
        presign(remote_backend(conn));
    }
    remote_detach(conn);
    loop_once(loop, 0);
    loop_close(loop);
    atomic_fetch_sub(w->left, 1);
    return NULL;
}

/* r:hammer(threads, calls) -> calls that succeeded, that failed */
int rig_hammer(lua_State *L, struct rig *g) {
    int n = (int)luaL_checkinteger(L, 2), calls = (int)luaL_checkinteger(L, 3), ok = 0, failed = 0;
    _Atomic int left = n;
    struct worker *w = calloc((size_t)n, sizeof *w);
    if (!w) fatal("out of memory");
    for (int i = 0; i < n; i++) {
        w[i] = (struct worker){.remote = g->remote, .calls = calls, .left = &left};
        if (pthread_create(&w[i].thread, NULL, work, &w[i])) fatal("no thread");
    }
    while (atomic_load(&left)) loop_once(g->loop, 1);
    for (int i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        ok += w[i].ok;
        failed += w[i].failed;
    }
    free(w);
    lua_pushinteger(L, ok);
    lua_pushinteger(L, failed);
    return 2;
}
