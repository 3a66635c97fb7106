/* t.loop: the loop and the pool under Lua callbacks. Callbacks append to the caller's tables; a raising one is fatal.
 */
#include "loop/loop.h"
#include <lauxlib.h>
#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct call {
    lua_State *L;
    int ref;
    struct loop *loop;
    struct loop_task task;
    struct loop_timer timer;
    struct loop_hook hook;
    struct loop_fd *fd;
    struct loop_signal *sig;
    struct loop_watch *watch;
};

static struct loop *loop_of(lua_State *L) {
    return *(struct loop **)luaL_checkudata(L, 1, "t.loop");
}

static struct call *call_of(lua_State *L, int i) {
    return luaL_checkudata(L, i, "t.loop.call");
}

static void run(struct call *c, const char *arg) {
    lua_rawgeti(c->L, LUA_REGISTRYINDEX, c->ref);
    if (arg) lua_pushstring(c->L, arg);
    if (lua_pcall(c->L, arg ? 1 : 0, 0, 0)) fatal("callback: %s", lua_tostring(c->L, -1));
}

static void on_call(void *ud) {
    run(ud, NULL);
}

static void on_fd(void *ud, int events) {
    run(ud, events == (LOOP_READ | LOOP_WRITE) ? "rw" : events == LOOP_READ ? "r" : "w");
}

static void on_signal(void *ud, int signum) {
    (void)signum;
    run(ud, NULL);
}

static void on_change(void *ud, const char *name) {
    run(ud, name ? name : "?");
}

static struct call *new_call(lua_State *L, int fn_index) {
    luaL_checktype(L, fn_index, LUA_TFUNCTION);
    struct call *c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = (struct call){.L = L, .loop = loop_of(L)};
    luaL_setmetatable(L, "t.loop.call");
    lua_pushvalue(L, fn_index);
    c->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    loop_task_init(&c->task, on_call, c);
    return c;
}

static int l_open(lua_State *L) {
    struct err e;
    struct loop **l = lua_newuserdatauv(L, sizeof *l, 1);
    if (loop_open(l, &e)) return luaL_error(L, "%s", e.msg);
    luaL_setmetatable(L, "t.loop");
    return 1;
}

static int l_close(lua_State *L) {
    loop_close(loop_of(L));
    return 0;
}

static int l_run(lua_State *L) {
    loop_run(loop_of(L));
    return 0;
}

static int l_once(lua_State *L) {
    loop_once(loop_of(L), (int)luaL_optinteger(L, 2, -1));
    return 0;
}

static int l_stop(lua_State *L) {
    loop_stop(loop_of(L));
    return 0;
}

static int l_task(lua_State *L) {
    new_call(L, 2);
    return 1;
}

static int l_defer(lua_State *L) {
    loop_defer(loop_of(L), &call_of(L, 2)->task);
    return 0;
}

static int l_cancel(lua_State *L) {
    loop_defer_cancel(loop_of(L), &call_of(L, 2)->task);
    return 0;
}

static int l_post(lua_State *L) {
    loop_post(loop_of(L), &call_of(L, 2)->task);
    return 0;
}

static int l_turn_end(lua_State *L) {
    struct call *c = new_call(L, 2);
    loop_turn_end(c->loop, &c->hook, on_call, c);
    return 1;
}

static int l_turn_end_remove(lua_State *L) {
    struct call *c = call_of(L, 2);
    loop_turn_end_remove(c->loop, &c->hook);
    return 0;
}

static int l_timer(lua_State *L) {
    struct call *c = new_call(L, 3);
    loop_timer_start(c->loop, &c->timer, (uint64_t)luaL_checkinteger(L, 2), on_call, c);
    return 1;
}

static int l_timer_again(lua_State *L) {
    struct call *c = call_of(L, 2);
    loop_timer_start(c->loop, &c->timer, (uint64_t)luaL_checkinteger(L, 3), on_call, c);
    return 0;
}

static int l_timer_stop(lua_State *L) {
    struct call *c = call_of(L, 2);
    loop_timer_stop(c->loop, &c->timer);
    return 0;
}

static int l_fd(lua_State *L) {
    struct call *c = new_call(L, 4);
    struct err e;
    const char *mode = luaL_checkstring(L, 3);
    int events = mode[0] == 'r' ? LOOP_READ : LOOP_WRITE;
    if (loop_fd_add(c->loop, (int)luaL_checkinteger(L, 2), events, on_fd, c, &c->fd, &e))
        return luaL_error(L, "%s", e.msg);
    return 1;
}

/* fd_set(call, "r" | "w" | "rw" | "") */
static int l_fd_set(lua_State *L) {
    const char *mode = luaL_checkstring(L, 3);
    loop_fd_set(call_of(L, 2)->fd, (strchr(mode, 'r') ? LOOP_READ : 0) | (strchr(mode, 'w') ? LOOP_WRITE : 0));
    return 0;
}

static int l_signal(lua_State *L) {
    struct call *c = new_call(L, 2);
    struct err e;
    if (loop_signal_add(c->loop, SIGUSR1, on_signal, c, &c->sig, &e)) return luaL_error(L, "%s", e.msg);
    return 1;
}

static int l_watch(lua_State *L) {
    struct call *c = new_call(L, 3);
    struct err e;
    if (loop_watch_add(c->loop, luaL_checkstring(L, 2), on_change, c, &c->watch, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    return 1;
}

static int l_remove(lua_State *L) {
    struct call *c = call_of(L, 2);
    loop_fd_remove(c->fd);
    loop_signal_remove(c->sig);
    loop_watch_remove(c->watch);
    c->fd = NULL;
    c->sig = NULL;
    c->watch = NULL;
    return 0;
}

static int l_pipe(lua_State *L) {
    int p[2];
    if (pipe(p)) return luaL_error(L, "pipe");
    lua_pushinteger(L, p[0]);
    lua_pushinteger(L, p[1]);
    return 2;
}

static int l_socketpair(lua_State *L) {
    int p[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) return luaL_error(L, "socketpair");
    lua_pushinteger(L, p[0]);
    lua_pushinteger(L, p[1]);
    return 2;
}

static int l_write(lua_State *L) {
    size_t n;
    const char *s = luaL_checklstring(L, 2, &n);
    lua_pushinteger(L, write((int)luaL_checkinteger(L, 1), s, n));
    return 1;
}

static int l_read(lua_State *L) {
    char b[512];
    ssize_t n = read((int)luaL_checkinteger(L, 1), b, sizeof b);
    lua_pushlstring(L, b, n > 0 ? (size_t)n : 0);
    return 1;
}

static int l_close_fd(lua_State *L) {
    close((int)luaL_checkinteger(L, 1));
    return 0;
}

static int l_raise(lua_State *L) {
    (void)L;
    raise(SIGUSR1);
    return 0;
}

// ---- posting from other threads ----

struct storm {
    struct loop *loop;
    struct storm_task {
        struct loop_task task;
        struct storm *s;
        int thread, seq;
    } * tasks;
    int n, thread, *next_seq, *total;
    bool chained, ordered;
};

static void on_storm(void *ud) {
    struct storm_task *t = ud;
    struct storm *s = t->s;
    if (!loop_is_here(s->loop)) fatal("a posted task ran on another thread");
    if (t->seq != *s->next_seq) s->ordered = false;
    *s->next_seq = t->seq + 1;
    if (--*s->total == 0) loop_stop(s->loop);
}

static void *storm_thread(void *ud) {
    struct storm *s = ud;
    struct list chain;
    list_init(&chain);
    for (int i = 0; i < s->n; i++) {
        struct storm_task *t = &s->tasks[i];
        loop_task_init(&t->task, on_storm, t);
        t->s = s;
        t->seq = i;
        if (!s->chained)
            loop_post(s->loop, &t->task);
        else {
            list_add(&chain, &t->task.node);
            if (i % 7 == 6 || i + 1 == s->n) loop_post_all(s->loop, &chain);
        }
    }
    return NULL;
}

/* storm(loop, threads, tasks, chained): runs the loop until all arrived; true when each thread's came in order. */
static int l_storm(lua_State *L) {
    struct loop *l = loop_of(L);
    int threads = (int)luaL_checkinteger(L, 2), n = (int)luaL_checkinteger(L, 3), total = threads * n;
    struct storm *s = calloc((size_t)threads, sizeof *s);
    pthread_t *ids = calloc((size_t)threads, sizeof *ids);
    int *seq = calloc((size_t)threads, sizeof *seq);
    for (int i = 0; i < threads; i++) {
        s[i] = (struct storm){.loop = l, .n = n, .thread = i, .next_seq = &seq[i], .total = &total, .ordered = true};
        s[i].chained = lua_toboolean(L, 4);
        s[i].tasks = calloc((size_t)n, sizeof *s[i].tasks);
        if (pthread_create(&ids[i], NULL, storm_thread, &s[i])) fatal("pthread_create");
    }
    loop_run(l);
    bool ordered = true;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        ordered = ordered && s[i].ordered;
        free(s[i].tasks);
    }
    free(s);
    free(ids);
    free(seq);
    lua_pushboolean(L, ordered && !total);
    return 1;
}

static void *stop_thread(void *ud) {
    loop_stop(ud);
    return NULL;
}

static int l_stop_from_thread(lua_State *L) {
    pthread_t id;
    if (pthread_create(&id, NULL, stop_thread, loop_of(L))) fatal("pthread_create");
    loop_run(loop_of(L));
    pthread_join(id, NULL);
    return 0;
}

// ---- pool ----

struct job {
    struct pool_work w;
    struct loop *loop;
    int *left, nice, in, out;
    bool elsewhere;
};

static void work(void *ud) {
    struct job *j = ud;
    j->elsewhere = !loop_is_here(j->loop);
    j->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    j->out = j->in * 2;
}

static void done(void *ud) {
    struct job *j = ud;
    if (!loop_is_here(j->loop)) fatal("done ran on a pool thread");
    if (--*j->left == 0) loop_stop(j->loop);
}

/* pool(loop, threads, niceness, jobs, close_first): the sum of the results, how much nicer the threads were, and how
 * many jobs ran on one of them. */
static int l_pool(lua_State *L) {
    struct loop *l = loop_of(L);
    struct err e;
    struct pool *p;
    if (pool_open((int)luaL_checkinteger(L, 2), (int)luaL_checkinteger(L, 3), &p, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    int n = (int)luaL_checkinteger(L, 4), left = n, sum = 0, nicer = 0, elsewhere = 0;
    struct job *jobs = calloc((size_t)n, sizeof *jobs);
    for (int i = 0; i < n; i++) {
        jobs[i] = (struct job){.loop = l, .left = &left, .in = i};
        pool_run(p, l, &jobs[i].w, work, done, &jobs[i]);
    }
    bool close_first = lua_toboolean(L, 5);
    if (close_first) pool_close(p);
    loop_run(l);
    if (!close_first) pool_close(p);
    for (int i = 0; i < n; i++) {
        sum += jobs[i].out;
        elsewhere += jobs[i].elsewhere;
        nicer = jobs[i].nice - getpriority(PRIO_PROCESS, (id_t)gettid());
    }
    free(jobs);
    lua_pushinteger(L, sum);
    lua_pushinteger(L, nicer);
    lua_pushinteger(L, elsewhere);
    return 3;
}

// ---- simulated time ----

/* simulate(loop, unix_ms): the clock is kept as long as the loop's userdata. */
static int l_simulate(lua_State *L) {
    struct clock *c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = (struct clock){0};
    clock_simulate(c, luaL_checkinteger(L, 2));
    lua_setiuservalue(L, 1, 1);
    loop_simulate(loop_of(L), c);
    return 0;
}

static struct clock *clock_of(lua_State *L) {
    lua_getiuservalue(L, 1, 1);
    return lua_touserdata(L, -1);
}

/* time(loop): wall, monotonic and the loop's own */
static int l_time(lua_State *L) {
    struct clock *c = clock_of(L);
    lua_pushinteger(L, clock_ms(c));
    lua_pushinteger(L, (lua_Integer)clock_mono_ms(c));
    lua_pushinteger(L, (lua_Integer)loop_now_ms(loop_of(L)));
    return 3;
}

static int l_pass(lua_State *L) {
    clock_pass(clock_of(L), (uint64_t)luaL_checkinteger(L, 2));
    return 0;
}

static int l_state(lua_State *L) {
    lua_pushboolean(L, loop_is_quiet(loop_of(L)));
    lua_pushboolean(L, loop_is_over(loop_of(L)));
    return 2;
}

static const luaL_Reg methods[] = {{"close", l_close},
                                   {"run", l_run},
                                   {"once", l_once},
                                   {"stop", l_stop},
                                   {"task", l_task},
                                   {"defer", l_defer},
                                   {"cancel", l_cancel},
                                   {"post", l_post},
                                   {"turn_end", l_turn_end},
                                   {"turn_end_remove", l_turn_end_remove},
                                   {"timer", l_timer},
                                   {"timer_again", l_timer_again},
                                   {"timer_stop", l_timer_stop},
                                   {"fd", l_fd},
                                   {"fd_set", l_fd_set},
                                   {"signal", l_signal},
                                   {"watch", l_watch},
                                   {"remove", l_remove},
                                   {"storm", l_storm},
                                   {"stop_from_thread", l_stop_from_thread},
                                   {"pool", l_pool},
                                   {"simulate", l_simulate},
                                   {"time", l_time},
                                   {"pass", l_pass},
                                   {"state", l_state},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", l_open},   {"pipe", l_pipe}, {"socketpair", l_socketpair},
                                     {"write", l_write}, {"read", l_read}, {"close_fd", l_close_fd},
                                     {"raise", l_raise}, {NULL, NULL}};

static int open_module(lua_State *L) {
    luaL_newmetatable(L, "t.loop.call");
    luaL_newmetatable(L, "t.loop");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {{"t.loop", open_module}, {NULL, NULL}};
