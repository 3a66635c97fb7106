/* stream: an answer that leaves in parts while its handler runs (perigee.http.stream; http.stream of
 * lua/perigee/http.lua).
 *
 *   open(context, status, headers) -> response; response:write(bytes) -> response; response:close()
 * The head goes with the first write, so that a handler that fails before answers with an ordinary error. Where the
 * transport cannot stream, the parts become the body of an ordinary answer. Writers of several coroutines take turns:
 * the bytes of one write stay together. */
#include "script/state.h"

#define STREAM "perigee.stream"
#define WRITER "perigee.stream.writer"
enum { PIECE = 64 << 10 };

struct writer { /* a write that waits: for those before it, or for the peer */
    struct script_wait wait;
    struct job *job;
    struct list node; /* in job.stream.writers */
    size_t done;
};

static void wake_first(struct job *j) {
    struct list *n = j->stream.writers.next;
    if (n != &j->stream.writers) script_wake(&CONTAINER(n, struct writer, node)->wait);
}

static void drained(void *ud) {
    struct job *j = ud;
    j->stream.waiting = 0;
    wake_first(j);
}

static void leave(struct writer *w) {
    bool first = w->job->stream.writers.next == &w->node;
    list_del(&w->node);
    if (first) wake_first(w->job);
}

static void writer_cancel(void *ud) {
    list_del(&((struct writer *)ud)->node);
}

static int writer_gc(lua_State *L) {
    struct writer *w = lua_touserdata(L, 1);
    script_wait_forget(&w->wait);
    if (!list_empty(&w->node)) leave(w);
    return 0;
}

/* ==== parts ==== */

static void gather(lua_State *L, struct job *j, struct str bytes) {
    struct err e;
    buf_str(&j->response.body, bytes);
    if (buf_check(&j->response.body, "the answer", &e)) luaL_error(L, "%s, and it cannot be streamed here", e.msg);
}

static void send_part(lua_State *L, struct job *j, struct str bytes) {
    struct http_stream *to = j->in.stream;
    if (!to) {
        gather(L, j, bytes);
        return;
    }
    if (!j->stream.begun) {
        j->stream.begun = true;
        to->drained = drained;
        to->ud = j;
        to->ops->begin(to->stream, &j->response);
    }
    if (bytes.n) j->stream.waiting = to->ops->write(to->stream, bytes);
}

/* From *done on, until too much waits: false. */
static bool send_parts(lua_State *L, struct job *j, struct str bytes, size_t *done) {
    do {
        if (j->stream.waiting >= HTTP_STREAM_HIGH) return false;
        struct str piece = str_take(str_from(bytes, *done), PIECE);
        send_part(L, j, piece);
        *done += piece.n;
    } while (*done < bytes.n);
    return true;
}

static struct str arg_bytes(lua_State *L) {
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    return str_n(p, n);
}

static int write_more(lua_State *L, int status, lua_KContext ctx) {
    struct writer *w = (struct writer *)ctx;
    (void)status;
    if (!send_parts(L, w->job, arg_bytes(L), &w->done)) return script_wait(L, &w->wait, writer_cancel, w, write_more);
    leave(w);
    lua_settop(L, 1);
    return 1;
}

static int wait_turn(lua_State *L, struct job *j, size_t done) {
    struct writer *w = lua_newuserdatauv(L, sizeof *w, 0);
    *w = (struct writer){.job = j, .done = done};
    list_init(&w->node);
    luaL_setmetatable(L, WRITER);
    list_add(&j->stream.writers, &w->node);
    return script_wait(L, &w->wait, writer_cancel, w, write_more);
}

/* ==== the object ==== */

static struct job *check(lua_State *L) {
    lua_Integer *serial = luaL_checkudata(L, 1, STREAM);
    struct job *j = script_of(L)->running;
    if (!j || j->serial != *serial || j->in_after) luaL_error(L, "this answer is over: its handler has returned");
    return j;
}

static int stream_write(lua_State *L) {
    struct job *j = check(L);
    struct str bytes = arg_bytes(L);
    script_check_wait(L, "response:write");
    if (j->stream.closed) return luaL_error(L, "the answer was closed: nothing can be written to it any more");
    if (bytes.n && j->stream.no_body) return luaL_error(L, "an answer with status %d has no body", j->stream.no_body);
    lua_settop(L, 2);
    size_t done = 0;
    if (!list_empty(&j->stream.writers) || !send_parts(L, j, bytes, &done)) return wait_turn(L, j, done);
    lua_settop(L, 1);
    return 1;
}

/* Harmless afterwards: a <close> variable may outlive the answer. */
static int stream_close(lua_State *L) {
    lua_Integer *serial = luaL_checkudata(L, 1, STREAM);
    struct job *j = script_of(L)->running;
    if (j && j->serial == *serial) j->stream.closed = true;
    return 0;
}

bool stream_is(lua_State *L, int idx) {
    return luaL_testudata(L, idx, STREAM) != NULL;
}

/* open(context, status, headers) */
static int stream_open(lua_State *L) {
    struct err e;
    lua_settop(L, 3);
    struct job *j = request_job(L, 1, "context");
    if (j->in.kind != SCRIPT_HTTP) return luaL_error(L, "http.stream is only possible in handlers of HTTP requests");
    if (j->in_after) return luaL_error(L, "http.stream is not possible after the reply was sent");
    if (j->stream.open) return luaL_error(L, "this request is being answered by an http.stream already");
    lua_Integer *serial = lua_newuserdatauv(L, sizeof *serial, 0);
    *serial = j->serial;
    luaL_setmetatable(L, STREAM);
    if (reply_head(L, j, 2, 3, &e)) return luaL_error(L, "%s", e.msg);
    j->stream.open = true;
    j->stream.no_body = j->response.status == 204 || j->response.status == 304 ? j->response.status : 0;
    lua_settop(L, 4);
    return 1;
}

int stream_open_module(lua_State *L) {
    static const luaL_Reg methods[] = {{"write", stream_write}, {"close", stream_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"open", stream_open}, {NULL, NULL}};
    luaL_newmetatable(L, WRITER);
    lua_pushcfunction(L, writer_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, STREAM);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, stream_close);
    lua_setfield(L, -2, "__close");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, functions);
    return 1;
}
