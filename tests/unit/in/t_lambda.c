/* t.lambda: the Runtime API client against a Runtime API that a Lua function plays, on one loop.
 *
 *   local how = lambda.run { dir = , field = , serve = function(connection, request) ... end, part =
 * function(connection, bytes) ... end, concurrency = , stream = , sigterm = , report_failures = , api = } how: { ok =
 * bool, error = text, lines = {log lines} } lambda.init_error { api = , serve = , type = , message = , traceback = } ->
 * exit code of a process that did it lambda.spawn { argv = {}, env = {"A=b"}, serve = } -> { code = , signal = , output
 * = }
 *
 * serve is called with each whole request {method, target, headers = {lower-case name = value}, body} and returns what
 * to do: bytes to send; a table { bytes, dribble = true, wait = ms, close = true, reset = true }; nil: nothing yet
 * (lambda.send(connection, bytes) later); or "stop": the run ends. part is called with parts of a body as they come,
 * and returns the same. */
#include "in/lambda.h"
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_t_lambda(lua_State *L);

enum { CONNS = 64, GIVE_UP_MS = 60000, ARGS = 64, OUTPUT_MAX = 16 << 20 };

struct peer_conn {
    struct peer *peer;
    int fd, number;
    struct loop_fd *watch;
    struct http1 in;
    struct buf body, out;
    size_t sent;
    bool dribble, close, reset;
    struct loop_timer timer;
};
struct peer {
    lua_State *L;
    struct loop *loop;
    int fd, port, serve; /* serve: stack index of the options */
    struct loop_fd *watch;
    struct peer_conn *conns[CONNS];
    int n;
    bool stopped, timed_out;
    struct buf broken; /* what serve raised: the test's error */
    struct loop_timer patience;
};

static struct peer *playing; /* for lambda.send */
static pid_t child_pid;      /* for lambda.pid */

/* == connections =================================================================================================== */

static void drop(struct peer_conn *c) {
    const struct linger now = {1, 0};
    if (c->fd < 0) return;
    if (c->reset) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    loop_fd_remove(c->watch);
    loop_timer_stop(c->peer->loop, &c->timer);
    close(c->fd);
    c->fd = -1;
}

static void flush(void *ud);

static void wait_ms(struct peer_conn *c, uint64_t ms) {
    loop_timer_start(c->peer->loop, &c->timer, ms, flush, c);
}

static void flush(void *ud) {
    struct peer_conn *c = ud;
    while (c->sent < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->sent, c->dribble ? 1 : c->out.n - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN) {
            drop(c);
            return;
        }
        if (n > 0) c->sent += (size_t)n;
        if (n < 0 || (c->dribble && c->sent < c->out.n)) {
            wait_ms(c, n < 0 ? 1 : 0);
            return;
        }
    }
    buf_clear(&c->out);
    c->sent = 0;
    if (c->close || c->reset) drop(c);
}

static void stop(struct peer *p) {
    p->stopped = true;
    loop_stop(p->loop);
}

static lua_Integer number_field(lua_State *L, const char *name) {
    lua_getfield(L, -1, name);
    lua_Integer n = lua_isboolean(L, -1) ? lua_toboolean(L, -1) : lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

static void send_value(struct peer_conn *c, int idx) {
    size_t n;
    const char *bytes = lua_tolstring(c->peer->L, idx, &n);
    if (bytes) buf_add(&c->out, bytes, n);
}

/* What serve has returned is at the top. */
static void obey(struct peer_conn *c) {
    lua_State *L = c->peer->L;
    if (lua_type(L, -1) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "stop")) {
        stop(c->peer);
    } else if (lua_istable(L, -1)) {
        lua_Integer wait = number_field(L, "wait");
        c->dribble = number_field(L, "dribble");
        c->close = number_field(L, "close");
        c->reset = number_field(L, "reset");
        lua_rawgeti(L, -1, 1);
        send_value(c, -1);
        lua_pop(L, 1);
        if (wait)
            wait_ms(c, (uint64_t)wait);
        else
            flush(c);
    } else if (!lua_isnil(L, -1)) {
        send_value(c, -1);
        flush(c);
    }
    lua_pop(L, 1);
}

static void set_text(lua_State *L, const char *name, struct str s) {
    lua_pushlstring(L, s.n ? s.p : "", s.n);
    lua_setfield(L, -2, name);
}

static void push_request(lua_State *L, struct peer_conn *c) {
    lua_newtable(L);
    set_text(L, "method", c->in.method);
    set_text(L, "target", c->in.target);
    set_text(L, "body", buf_view(&c->body));
    lua_newtable(L);
    for (size_t i = 0; i < c->in.n_headers; i++) {
        char name[128] = {0};
        for (size_t k = 0; k < c->in.headers[i].name.n && k < sizeof name - 1; k++)
            name[k] = (char)(c->in.headers[i].name.p[k] | 0x20);
        set_text(L, name, c->in.headers[i].value);
    }
    lua_setfield(L, -2, "headers");
}

static bool push_function(struct peer_conn *c, const char *name) {
    lua_getfield(c->peer->L, c->peer->serve, name);
    lua_pushinteger(c->peer->L, c->number);
    if (!lua_isnil(c->peer->L, -2)) return true;
    lua_pop(c->peer->L, 2);
    return false;
}

static bool call(struct peer *p, int n, int results) {
    if (!lua_pcall(p->L, n, results, 0)) return true;
    buf_c(&p->broken, luaL_tolstring(p->L, -1, NULL));
    lua_pop(p->L, 2);
    stop(p);
    return false;
}

static void serve(struct peer_conn *c) {
    if (!push_function(c, "serve")) return;
    push_request(c->peer->L, c);
    if (call(c->peer, 2, 1)) obey(c);
}

static void tell_part(struct peer_conn *c) {
    buf_str(&c->body, c->in.part);
    if (!push_function(c, "part")) return;
    lua_pushlstring(c->peer->L, c->in.part.p, c->in.part.n);
    if (call(c->peer, 2, 1)) obey(c);
}

static void on_readable(void *ud, int events) {
    struct peer_conn *c = ud;
    static char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    (void)events;
    if (n < 0 && errno == EAGAIN) return;
    struct str in = str_n(bytes, n > 0 ? (size_t)n : 0);
    struct err e = {0};
    if (n <= 0) {
        drop(c);
        return;
    }
    for (;;) {
        enum http1_event told = c->fd < 0 ? HTTP1_MORE : http1_feed(&c->in, &in, &e);
        if (told == HTTP1_MORE) return;
        if (told == HTTP1_HEAD) buf_clear(&c->body);
        if (told == HTTP1_BODY) tell_part(c);
        if (told == HTTP1_END) serve(c);
        if (told == HTTP1_BAD) {
            buf_printf(&c->peer->broken, "the client sent a bad request: %s", e.msg);
            stop(c->peer);
            return;
        }
    }
}

static void on_accept(void *ud, int events) {
    struct peer *p = ud;
    struct err e;
    int fd = accept(p->fd, NULL, NULL);
    (void)events;
    if (fd < 0) return;
    if (p->n == CONNS) fatal("too many connections to a test's Runtime API");
    struct peer_conn *c = calloc(1, sizeof *c);
    *c = (struct peer_conn){.peer = p, .fd = fd, .body = BUF_MAX(64 << 20), .out = BUF_MAX(64 << 20)};
    p->conns[p->n++] = c;
    c->number = p->n;
    http1_init(&c->in, HTTP1_REQUEST);
    c->in.head_max = 256 << 10;
    if (loop_fd_add(p->loop, fd, LOOP_READ, on_readable, c, &c->watch, &e)) fatal("%s", e.msg);
}

/* == life ========================================================================================================== */

static void give_up(void *ud) {
    struct peer *p = ud;
    p->timed_out = true;
    buf_c(&p->broken, "nothing happened any more");
    stop(p);
}

static lua_Integer number_option(lua_State *L, const char *name) {
    lua_pushvalue(L, 1);
    lua_Integer n = number_field(L, name);
    lua_pop(L, 1);
    return n;
}

static void peer_open(struct peer *p, lua_State *L) {
    struct err e;
    *p = (struct peer){.L = L, .serve = 1, .broken = BUF_MAX(65536)};
    if (loop_open(&p->loop, &e) || in_listen("127.0.0.1", 0, &p->fd, &p->port, &e) ||
        loop_fd_add(p->loop, p->fd, LOOP_READ, on_accept, p, &p->watch, &e))
        luaL_error(L, "%s", e.msg);
    lua_Integer patience = number_option(L, "patience");
    loop_timer_start(p->loop, &p->patience, patience ? (uint64_t)patience * 1000 : GIVE_UP_MS, give_up, p);
    playing = p;
}

/* The loop is left to who closes what else is on it. */
static void peer_close(struct peer *p) {
    playing = NULL;
    loop_timer_stop(p->loop, &p->patience);
    for (int i = 0; i < p->n; i++) {
        struct peer_conn *c = p->conns[i];
        drop(c);
        http1_free(&c->in);
        buf_free(&c->body);
        buf_free(&c->out);
        free(c);
    }
    loop_fd_remove(p->watch);
    close(p->fd);
}

/* The last step of a test: one result, or what was wrong. */
static int result(lua_State *L, struct peer *p) {
    bool broken = p->broken.n;
    lua_pushstring(L, buf_cstr(&p->broken));
    buf_free(&p->broken);
    if (broken) return lua_error(L);
    lua_pop(L, 1);
    return 1;
}

static const char *text_option(lua_State *L, const char *name, const char *otherwise) {
    lua_getfield(L, 1, name); /* stays on the stack, and so alive */
    return luaL_optstring(L, -1, otherwise);
}

static int l_send(lua_State *L) {
    lua_Integer i = luaL_checkinteger(L, 1);
    size_t n;
    const char *bytes = luaL_checklstring(L, 2, &n);
    luaL_argcheck(L, playing && i >= 1 && i <= playing->n && playing->conns[i - 1]->fd >= 0, 1, "no such connection");
    buf_add(&playing->conns[i - 1]->out, bytes, n);
    flush(playing->conns[i - 1]);
    return 0;
}

/* == a run ========================================================================================================= */

struct rig {
    struct peer peer;
    struct script *script;
    struct route *route;
    struct metrics metrics, *all[1];
    struct log log;
    struct function function;
    struct app app;
    struct buf lines;
};

static void keep_line(void *ud, enum log_level level, struct str line) {
    struct rig *r = ud;
    (void)level;
    buf_str(&r->lines, line);
    buf_byte(&r->lines, '\n');
}

static void open_rig(struct rig *r, lua_State *L) {
    struct err e;
    r->log = (struct log){.level = LOG_DEBUG, .sink = keep_line, .ud = r};
    log_lambda(&r->log, text_option(L, "log_format", NULL), NULL);
    r->lines = BUF_MAX(64 << 20);
    r->all[0] = &r->metrics;
    r->function = (struct function){.name = STR("Fn"),
                                    .code_dir = str_c(text_option(L, "dir", ".")),
                                    .module = STR("h"),
                                    .field = str_c(text_option(L, "field", "run")),
                                    .timeout_ms = 900000,
                                    .memory_bytes = 128 << 20,
                                    .policy = {.allow_all = true}};
    r->app = (struct app){.functions = &r->function, .n_functions = 1, .cors.max_age_s = -1};
    struct script_config sc = {
        .loop = r->peer.loop, .log = &r->log, .metrics = &r->metrics, .root_dir = r->function.code_dir.p};
    struct route_config rc = {.app = &r->app,
                              .loop = r->peer.loop,
                              .log = &r->log,
                              .metrics = &r->metrics,
                              .all_metrics = r->all,
                              .n_metrics = 1};
    if (load_script(&sc, &r->function, 1, &r->script, &e)) luaL_error(L, "%s", e.msg);
    rc.script = r->script;
    if (route_open(&rc, &r->route, &e)) luaL_error(L, "%s", e.msg);
}

static void close_rig(struct rig *r) {
    script_close(r->script);
    route_close(r->route);
    loop_close(r->peer.loop);
    buf_free(&r->lines);
}

static int l_run(lua_State *L) {
    static struct rig rig;
    struct rig *r = &rig;
    struct err e = {0};
    struct lambda *l = NULL;
    char api[64];
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    memset(r, 0, sizeof *r);
    peer_open(&r->peer, L);
    open_rig(r, L);
    snprintf(api, sizeof api, "127.0.0.1:%d", r->peer.port);
    struct lambda_config c = {.loop = r->peer.loop,
                              .api = text_option(L, "api", api),
                              .route = r->route,
                              .script = r->script,
                              .function = &r->function,
                              .log = &r->log,
                              .concurrency = (uint32_t)number_option(L, "concurrency"),
                              .report_failures = number_option(L, "report_failures"),
                              .stream = number_option(L, "stream"),
                              .sigterm = number_option(L, "sigterm"),
                              .own_trace_variable = number_option(L, "trace_variable")};
    bool ok = !lambda_open(&c, &l, &e) && !lambda_run(l, &e);
    lambda_close(l);
    peer_close(&r->peer);
    lua_newtable(L);
    lua_pushboolean(L, ok);
    lua_setfield(L, -2, "ok");
    lua_pushboolean(L, r->peer.stopped);
    lua_setfield(L, -2, "stopped");
    set_text(L, "error", str_c(e.msg));
    set_text(L, "lines", buf_view(&r->lines));
    close_rig(r);
    return result(L, &r->peer);
}

/* == other processes =============================================================================================== */

static int read_output(struct buf *b, int fd) {
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n > 0) buf_add(b, bytes, (size_t)n);
    return n > 0 || (n < 0 && errno == EAGAIN) ? 0 : -1;
}

/* Plays until the child has ended; its output is gathered. */
static int await(struct peer *p, pid_t pid, int out, struct buf *b) {
    int status = 0;
    bool told = false;
    for (;;) {
        bool gone = waitpid(pid, &status, WNOHANG) == pid;
        while (out >= 0 && !read_output(b, out) && gone) {
        }
        if (gone) return status;
        loop_once(p->loop, 10);
        if ((p->timed_out || p->stopped) && !told) {
            told = true;
            kill(pid, p->timed_out ? SIGKILL : SIGTERM);
        }
    }
}

static void push_status(lua_State *L, int status, struct buf *output) {
    lua_newtable(L);
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    lua_setfield(L, -2, "code");
    lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    lua_setfield(L, -2, "signal");
    set_text(L, "output", buf_view(output));
}

static pid_t fork_with_output(int *ret_out) {
    int ends[2];
    if (pipe(ends)) fatal("pipe");
    pid_t pid = fork();
    if (pid < 0) fatal("fork");
    if (!pid) {
        dup2(ends[1], STDERR_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
    }
    close(ends[1]);
    *ret_out = ends[0];
    return pid;
}

_Noreturn static void report_init_error(lua_State *L, int port) {
    char api[64];
    struct err why = {0};
    struct log log = {.fd = STDERR_FILENO, .level = LOG_DEBUG};
    snprintf(api, sizeof api, "127.0.0.1:%d", port);
    err_set(&why, ERR_SCRIPT, "%s", text_option(L, "message", "broken"));
    lambda_init_error(text_option(L, "api", api), text_option(L, "type", "Runtime.ImportModuleError"), &why,
                      str_c(text_option(L, "traceback", "")), &log);
    _exit(0);
}

static char **list_option(lua_State *L, const char *name, const char *more, const char *last) {
    char **list = calloc(ARGS, sizeof *list);
    size_t n = 0;
    lua_getfield(L, 1, name);
    for (; lua_istable(L, -1) && n < lua_rawlen(L, -1) && n < ARGS - 3; n++) {
        lua_rawgeti(L, -1, (lua_Integer)n + 1);
        list[n] = strdup(luaL_checkstring(L, -1));
        lua_pop(L, 1);
    }
    if (more) list[n++] = strdup(more);
    if (last) list[n++] = strdup(last);
    return list;
}

_Noreturn static void exec_program(lua_State *L, int port) {
    char api[64], aws[64];
    snprintf(api, sizeof api, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%d", port);
    snprintf(aws, sizeof aws, "AWS_ENDPOINT_URL=http://127.0.0.1:%d", port);
    char **argv = list_option(L, "argv", NULL, NULL), **env = list_option(L, "env", api, aws);
    execve(argv[0], argv, env);
    fatal("cannot run %s: %s", argv[0], strerror(errno));
}

static int play(lua_State *L, void (*child)(lua_State *L, int port)) {
    struct peer peer;
    struct buf output = BUF_MAX(OUTPUT_MAX);
    int out;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    peer_open(&peer, L);
    pid_t pid = fork_with_output(&out);
    if (!pid) child(L, peer.port);
    child_pid = pid;
    fcntl(out, F_SETFL, O_NONBLOCK);
    int status = await(&peer, pid, out, &output);
    close(out);
    peer_close(&peer);
    push_status(L, status, &output);
    buf_free(&output);
    loop_close(peer.loop);
    return result(L, &peer);
}

static int l_init_error(lua_State *L) {
    return play(L, report_init_error);
}

static int l_spawn(lua_State *L) {
    return play(L, exec_program);
}

/* Of the program that is running. */
static int l_pid(lua_State *L) {
    lua_pushinteger(L, child_pid);
    return 1;
}

static int l_self(lua_State *L) {
    lua_pushinteger(L, getpid());
    return 1;
}

/* == parts ========================================================================================================= */

static int l_trace_id(lua_State *L) {
    char id[33];
    lambda_trace_id(str_c(lua_tostring(L, 1)), str_c(luaL_checkstring(L, 2)), id);
    lua_pushstring(L, id);
    return 1;
}

static int l_timeout(lua_State *L) {
    lua_pushinteger(L, lambda_event_timeout(luaL_checkinteger(L, 1), luaL_checkinteger(L, 2)));
    return 1;
}

/* failure(type, message, traceback) -> type, document, X-Ray cause */
static int l_failure(lua_State *L) {
    struct err e = {0};
    struct lambda_failure f = {&e, str_c(lua_tostring(L, 1)), str_c(lua_tostring(L, 3)), STR_NONE};
    struct buf parts[3] = {BUF_MAX(1 << 20), BUF_MAX(1 << 20), BUF_MAX(1 << 20)};
    err_set(&e, ERR_SCRIPT, "%s", luaL_checkstring(L, 2));
    lambda_error_type(&parts[0], &f);
    lambda_error_body(&parts[1], &f);
    lambda_error_cause(&parts[2], &f);
    for (int i = 0; i < 3; i++) {
        lua_pushlstring(L, parts[i].p, parts[i].n);
        buf_free(&parts[i]);
    }
    return 3;
}

/* address(text) -> nil, or why it is none */
static int l_address(lua_State *L) {
    struct lambda_address a;
    struct err e = {0};
    if (!lambda_resolve(lua_tostring(L, 1), &a, &e)) return 0;
    lua_pushstring(L, e.msg);
    return 1;
}

int luaopen_t_lambda(lua_State *L) {
    static const luaL_Reg functions[] = {{"run", l_run},
                                         {"send", l_send},
                                         {"init_error", l_init_error},
                                         {"spawn", l_spawn},
                                         {"failure", l_failure},
                                         {"trace_id", l_trace_id},
                                         {"timeout", l_timeout},
                                         {"address", l_address},
                                         {"pid", l_pid},
                                         {"self", l_self},
                                         {NULL, NULL}};
    signal(SIGPIPE, SIG_IGN);
    luaL_newlib(L, functions);
    return 1;
}
