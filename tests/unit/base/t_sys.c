/* t.base: errors, arenas, maps, clocks, logs, hashes, HTTP values, policies, metrics, files, settings. */
#include "base/conf.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metric.h"
#include "base/now.h"
#include "base/policy.h"
#include "t_base.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ==== err ==== */

static int l_err(lua_State *L) {
    struct err e = {0};
    int rc = err_set(&e, ERR_CONFIG, "bad %s", "port");
    rc += err_wrap(&e, "serve");
    lua_pushstring(L, e.msg);
    rc += err_sys(&e, ERR_IO, ENOENT, "cannot open %s", "f");
    lua_pushstring(L, e.msg);
    err_set(&e, ERR_IO, "again: %s", e.msg);
    lua_pushstring(L, e.msg);
    rc += err_set(NULL, ERR_IO, "x") + err_wrap(NULL, "x") + err_sys(NULL, ERR_IO, 1, "x");
    lua_pushinteger(L, rc);
    return 4;
}

static int l_err_quote(lua_State *L) { /* text -> message that quotes it */
    struct err e = {0};
    err_set(&e, ERR_CONFIG, "%s", t_str(L, 1).p);
    lua_pushstring(L, e.msg);
    return 1;
}

static int l_err_codes(lua_State *L) {
    lua_newtable(L);
    for (int c = ERR_NONE + 1; c < ERR_CODES; c++) {
        lua_createtable(L, 3, 0);
        lua_pushstring(L, err_name((enum err_code)c));
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, err_status((enum err_code)c));
        lua_rawseti(L, -2, 2);
        lua_pushboolean(L, err_retryable((enum err_code)c));
        lua_rawseti(L, -2, 3);
        lua_rawseti(L, -2, c);
    }
    return 1;
}

static int l_fatal(lua_State *L) { /* -> signal of the child, its stderr */
    int fd[2], status;
    char out[256];
    if (pipe(fd)) return luaL_error(L, "pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], 2);
        fatal("broken %d", 7);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], out, sizeof out);
    close(fd[0]);
    waitpid(pid, &status, 0);
    lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    lua_pushlstring(L, out, n > 0 ? (size_t)n : 0);
    return 2;
}

/* ==== arena ==== */

static void note(void *ud) {
    buf_byte(*(struct buf **)ud, ((char *)ud)[sizeof(struct buf *)]);
}

struct noted {
    struct buf *b;
    char name;
};

static int l_arena_defers(lua_State *L) {
    struct arena a = {0};
    struct buf b = BUF_MAX(64);
    struct noted notes[3] = {{&b, '1'}, {&b, '2'}, {&b, '3'}};
    for (int i = 0; i < 3; i++) arena_defer(&a, note, &notes[i]);
    arena_reset(&a);
    arena_reset(&a);
    arena_free(&a);
    return t_push_buf(L, &b);
}

static int l_arena_blocks(lua_State *L) { /* everything aligned, nothing overlaps, big pieces too */
    struct arena a = {0};
    static const size_t sizes[] = {1, 7, 8, 0, 100, 5000, 1 << 20, 3, 64};
    enum { N = sizeof sizes / sizeof *sizes };
    uint8_t *p[N];
    bool ok = true;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) memset(p[i] = arena_alloc(&a, sizes[i]), i + 1, sizes[i]);
        for (int i = 0; i < N; i++) {
            ok = ok && (uintptr_t)p[i] % 8 == 0;
            for (size_t k = 0; k < sizes[i]; k++) ok = ok && p[i][k] == i + 1;
        }
        arena_reset(&a);
        ok = ok && a.used == 0;
    }
    uint64_t *zeros = ARENA_ARRAY(&a, uint64_t, 600);
    for (int i = 0; i < 600; i++) ok = ok && zeros[i] == 0;
    struct str s = arena_str(&a, str_n("a\0b", 3)), f = arena_printf(&a, "%d|%s", 5, "x");
    ok = ok && s.n == 3 && s.p[3] == '\0' && memcmp(s.p, "a\0b", 3) == 0 && str_is(f, "5|x");
    arena_free(&a);
    lua_pushboolean(L, ok);
    return 1;
}

/* ==== list ==== */

struct item {
    struct list node;
    int v;
};

static int l_list(lua_State *L) {
    struct list head;
    struct item items[3] = {{.v = 1}, {.v = 2}, {.v = 3}};
    list_init(&head);
    bool ok = list_empty(&head) && !list_pop(&head);
    for (int i = 0; i < 3; i++) list_add(&head, &items[i].node);
    list_del(&items[1].node);
    list_del(&items[1].node);
    struct list *a = list_pop(&head), *b = list_pop(&head);
    ok = ok && CONTAINER(a, struct item, node)->v == 1 && CONTAINER(b, struct item, node)->v == 3;
    lua_pushboolean(L, ok && list_empty(&head));
    return 1;
}

/* ==== map ==== */

struct box {
    struct arena keys;
    struct map map;
};

static int map_gc(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    map_free(&b->map);
    arena_free(&b->keys);
    return 0;
}

static int map_result(lua_State *L, void *v) {
    lua_pushinteger(L, (lua_Integer)(intptr_t)v);
    if (!v) lua_pushnil(L);
    return 1;
}

static int l_map_put(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    struct str key = arena_str(&b->keys, t_str(L, 2));
    return map_result(L, map_put(&b->map, key, (void *)(intptr_t)luaL_checkinteger(L, 3)));
}

static int l_map_get(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    return map_result(L, map_get(&b->map, t_str(L, 2)));
}

static int l_map_del(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    return map_result(L, map_del(&b->map, t_str(L, 2)));
}

static int l_map_keys(lua_State *L) {
    struct box *b = lua_touserdata(L, 1);
    lua_newtable(L);
    lua_Integer k = 0;
    for (size_t i = 0; i < b->map.n; i++) {
        if (!b->map.slots[i].key.p) continue;
        t_push(L, b->map.slots[i].key);
        lua_rawseti(L, -2, ++k);
    }
    lua_pushinteger(L, (lua_Integer)b->map.live);
    return 2;
}

static int l_map(lua_State *L) {
    static const luaL_Reg methods[] = {{"put", l_map_put},   {"get", l_map_get}, {"del", l_map_del},
                                       {"keys", l_map_keys}, {"__gc", map_gc},   {NULL, NULL}};
    struct box *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct box){0};
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    return 1;
}

/* ==== now ==== */

static int l_now_format(lua_State *L) {
    int64_t ms = luaL_checkinteger(L, 1);
    char iso[25], amz[17], http[30];
    now_iso(ms, iso);
    now_amz(ms, amz);
    now_http(ms, http);
    lua_pushstring(L, iso);
    lua_pushstring(L, amz);
    lua_pushstring(L, http);
    return 3;
}

static int l_now_parse(lua_State *L) {
    static const char *const kinds[] = {"iso", "amz", "http", NULL};
    static bool (*const parsers[])(struct str, int64_t *) = {now_parse_iso, now_parse_amz, now_parse_http};
    int64_t ms;
    if (!parsers[luaL_checkoption(L, 1, NULL, kinds)](t_str(L, 2), &ms)) return 0;
    lua_pushinteger(L, ms);
    return 1;
}

static int l_clock(lua_State *L) {
    struct clock c = {0};
    int64_t system = clock_ms(NULL), plain = clock_ms(&c);
    c.offset_ms = 1000000;
    bool ok = plain >= system && clock_ms(&c) >= system + 1000000;
    c.frozen_ms = 5;
    lua_pushboolean(L, ok);
    lua_pushinteger(L, clock_ms(&c));
    uint64_t a = now_mono_ns(), b = now_mono_ns();
    lua_pushboolean(L, b >= a && now_mono_ms() >= a / 1000000);
    return 3;
}

/* ==== log ==== */

static void collect(void *ud, enum log_level level, struct str line) {
    buf_printf(ud, "%d ", level);
    buf_str(ud, line);
}

static int l_log(lua_State *L) { /* log(msg, text, threshold) -> "level line" */
    struct buf b = BUF_MAX(1 << 20);
    struct log l = {.fd = -1, .sink = collect, .ud = &b};
    if (!log_level_parse(t_str(L, 3), &l.level)) return luaL_error(L, "no level");
    log_event(&l, LOG_INFO, luaL_checkstring(L, 1), "sSsiufffbffffff", "text", luaL_checkstring(L, 2), "view",
              t_str(L, 2), "left out", NULL, "i", INT64_MIN, "u", UINT64_MAX, "f", 0.5, "nan", 0.0 / 0.0, "inf",
              1.0 / 0.0, "b", 1, "d1", 1.05, "d2", 12.003, "d3", 0.0, "d4", 1e15, "d5", -2.5, "d6", 0.0001);
    return t_push_buf(L, &b);
}

static int l_log_fd(lua_State *L) { /* what two events make of a pipe */
    int fd[2];
    char out[4096];
    if (pipe(fd)) return luaL_error(L, "pipe");
    struct log l = {.fd = fd[1], .level = LOG_WARN};
    log_event(&l, LOG_WARN, "first", NULL);
    log_event(&l, LOG_INFO, "not this", NULL);
    log_event(&l, LOG_ERROR, "second", "i", "n", (int64_t)2);
    close(fd[1]);
    ssize_t n = read(fd[0], out, sizeof out);
    close(fd[0]);
    lua_pushlstring(L, out, n > 0 ? (size_t)n : 0);
    return 1;
}

static int l_log_own(lua_State *L) { /* members written by the caller, into a buffer of arg 2 bytes */
    struct buf b = BUF_MAX(1 << 20), line = BUF_MAX((size_t)luaL_checkinteger(L, 2));
    struct log l = {.fd = -1, .sink = collect, .ud = &b};
    log_begin(&l, &line, LOG_WARN, t_str(L, 1));
    buf_c(&line, ",\"own\":[1,2]");
    log_end(&l, LOG_WARN, &line);
    return t_push_buf(L, &b);
}

/* log_lambda(format, level, msg) -> what a warning with several members and a debug line make of it */
static int l_log_lambda(lua_State *L) {
    struct buf b = BUF_MAX(1 << 20);
    struct log l = {.fd = -1, .level = LOG_INFO, .sink = collect, .ud = &b};
    log_lambda(&l, lua_tostring(L, 1), lua_tostring(L, 2));
    log_event(&l, LOG_WARN, luaL_checkstring(L, 3), "ssssssi", "request_id", "r-1", "code", "HandlerError", "error",
              "it broke", "traceback", "it broke\nstack traceback:\n\th.lua:1:", "tenant_id", NULL, "other", "o", "n",
              (int64_t)7);
    log_event(&l, LOG_DEBUG, "deep", NULL);
    lua_pushboolean(L, log_has(&l, STR("message")));
    lua_pushboolean(L, log_has(&l, STR("msg")));
    t_push_buf(L, &b);
    return 3;
}

/* ==== crypto ==== */

static int push_hex(lua_State *L, const uint8_t *p, size_t n) {
    struct buf b = BUF_MAX(128);
    crypto_hex(&b, str_n((const char *)p, n));
    return t_push_buf(L, &b);
}

static int l_digest(lua_State *L) { /* digest(kind, data) -> one-shot hex, streamed hex */
    static const char *const kinds[] = {"md5", "sha1", "sha256", NULL};
    static void (*const md5)(struct str, uint8_t *) = crypto_md5;
    static const size_t sizes[] = {16, 20, 32};
    int kind = luaL_checkoption(L, 1, NULL, kinds);
    struct str data = t_str(L, 2);
    uint8_t out[32];
    if (kind == 0) md5(data, out);
    if (kind == 1) crypto_sha1(data, out);
    if (kind == 2) crypto_sha256(data, out);
    push_hex(L, out, sizes[kind]);
    struct crypto_digest *d = crypto_digest_new(kinds[kind]);
    crypto_digest_add(d, str_take(data, data.n / 3));
    crypto_digest_add(d, str_from(data, data.n / 3));
    size_t n = crypto_digest_end(d, out);
    return 1 + push_hex(L, out, n);
}

static int l_hmac(lua_State *L) {
    uint8_t a[32], b[20];
    crypto_hmac_sha256(t_str(L, 1), t_str(L, 2), a);
    crypto_hmac_sha1(t_str(L, 1), t_str(L, 2), b);
    return push_hex(L, a, 32) + push_hex(L, b, 20);
}

static int l_crc32(lua_State *L) { /* crc32(s[, n]): n: added in pieces of n bytes */
    struct str s = t_str(L, 1);
    size_t piece = (size_t)luaL_optinteger(L, 2, 0);
    uint32_t crc = piece ? 0 : crypto_crc32(s);
    for (; piece && s.n; s = str_from(s, piece)) crc = crypto_crc32_add(crc, str_take(s, piece));
    lua_pushinteger(L, crc);
    return 1;
}

static int coded(lua_State *L, void (*f)(struct buf *, struct str)) {
    struct buf b = BUF_MAX(1 << 20);
    f(&b, t_str(L, 1));
    return t_push_buf(L, &b);
}

static int decoded(lua_State *L, bool (*f)(struct buf *, struct str)) {
    struct buf b = BUF_MAX(1 << 20);
    bool ok = f(&b, t_str(L, 1));
    size_t n = b.n;
    if (ok) return t_push_buf(L, &b);
    buf_free(&b);
    lua_pushnil(L);
    lua_pushinteger(L, (lua_Integer)n); /* bytes written although it failed */
    return 2;
}

static int l_hex(lua_State *L) {
    return coded(L, crypto_hex);
}
static int l_base64(lua_State *L) {
    return coded(L, crypto_base64);
}
static int l_base64url(lua_State *L) {
    return coded(L, crypto_base64url);
}
static int l_unhex(lua_State *L) {
    return decoded(L, crypto_unhex);
}
static int l_unbase64(lua_State *L) {
    return decoded(L, crypto_unbase64);
}
static int l_unbase64url(lua_State *L) {
    return decoded(L, crypto_unbase64url);
}

static int l_equal(lua_State *L) {
    lua_pushboolean(L, crypto_equal(t_str(L, 1), t_str(L, 2)));
    return 1;
}

static int l_uuid7(lua_State *L) {
    char id[37];
    crypto_uuid7(luaL_checkinteger(L, 1), id);
    lua_pushstring(L, id);
    return 1;
}

static int l_uuid4(lua_State *L) {
    char id[37];
    crypto_uuid4(id);
    lua_pushstring(L, id);
    return 1;
}

/* of_seed(seed, n) -> n ids, alternately of version 7 (of time 0) and 4, and n random bytes; the system's again
 * afterwards
 */
static int l_of_seed(lua_State *L) {
    struct crypto_source s = crypto_source((uint64_t)luaL_checkinteger(L, 1));
    lua_Integer n = luaL_checkinteger(L, 2);
    uint8_t bytes[64];
    char id[37];
    luaL_argcheck(L, n <= 64, 2, "at most 64");
    struct crypto_source *former = crypto_use(&s);
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i % 2)
            crypto_uuid7(0, id);
        else
            crypto_uuid4(id);
        lua_pushstring(L, id);
        lua_rawseti(L, -2, i);
    }
    crypto_random(bytes, (size_t)n);
    if (crypto_use(former) != &s) return luaL_error(L, "another source was in use");
    lua_pushlstring(L, (char *)bytes, (size_t)n);
    return 2;
}

/* simulated_clock(unix_ms, passed_ms) -> wall and monotonic time before and after that passed */
static int l_simulated_clock(lua_State *L) {
    struct clock c = {0};
    clock_simulate(&c, luaL_checkinteger(L, 1));
    lua_pushinteger(L, clock_ms(&c));
    lua_pushinteger(L, (lua_Integer)clock_mono_ms(&c));
    clock_pass(&c, (uint64_t)luaL_checkinteger(L, 2));
    lua_pushinteger(L, clock_ms(&c));
    lua_pushinteger(L, (lua_Integer)clock_mono_ms(&c));
    return 4;
}

/* ==== http ==== */

static int l_http_set(lua_State *L) {
    struct http_response r;
    struct err e = {0};
    http_response_init(&r, 200);
    int rc = http_set(&r, STR("X-First"), STR("1"), &e);
    rc = rc ? rc : http_set(&r, t_str(L, 1), t_str(L, 2), &e);
    t_push(L, buf_view(&r.head));
    if (rc) lua_pushstring(L, e.msg);
    http_response_free(&r);
    return rc ? 2 : 1;
}

static int l_http_error(lua_State *L) {
    struct http_response r;
    http_response_init(&r, 200);
    http_error(&r, (int)luaL_checkinteger(L, 1), luaL_checkstring(L, 2), "%s", luaL_checkstring(L, 3));
    lua_pushinteger(L, r.status);
    t_push(L, buf_view(&r.body));
    t_push(L, buf_view(&r.head));
    lua_pushstring(L, http_reason(r.status));
    http_response_free(&r);
    return 4;
}

static int l_http_header(lua_State *L) {
    const struct http_header headers[] = {{STR("Host"), STR("a")}, {STR("X-Two"), STR("1")}, {STR("x-two"), STR("2")}};
    struct http_request r = {.headers = headers, .n_headers = 3};
    struct str v = http_header(&r, luaL_checkstring(L, 1));
    return v.p ? t_push(L, v) : 0;
}

/* ==== policy ==== */

static int l_policy_match(lua_State *L) {
    lua_pushboolean(L, policy_match(t_str(L, 1), t_str(L, 2), lua_toboolean(L, 3)));
    return 1;
}

static int l_policy(lua_State *L) { /* policy(action, arn, with_deny, allow_all) */
    const struct str put[] = {STR("dynamodb:PutItem"), STR("dynamodb:Get*")}, all[] = {STR("s3:*")};
    const struct str table[] = {STR("arn:aws:dynamodb:*:*:table/Orders"), STR("arn:aws:dynamodb:*:*:table/Orders/*")};
    const struct str any[] = {STR("*")};
    const struct str del[] = {STR("s3:Delete*")}, secret[] = {STR("arn:aws:s3:::b/secret/*")};
    const struct policy_statement s[] = {{false, put, 2, table, 2}, {false, all, 1, any, 1}, {true, del, 1, secret, 1}};
    struct policy p = {s, lua_toboolean(L, 3) ? 3 : 2, lua_toboolean(L, 4)};
    lua_pushboolean(L, policy_allows(&p, t_str(L, 1), t_str(L, 2)));
    return 1;
}

static int l_policy_not(lua_State *L) { /* all but deletions, on all but secrets: policy_not(action, arn, denied) */
    const struct str del[] = {STR("s3:Delete*")}, secret[] = {STR("arn:aws:s3:::b/secret/*")}, any[] = {STR("*")};
    bool denied = lua_toboolean(L, 3);
    const struct policy_statement s[] = {
        {denied, del, 1, secret, 1, .not_actions = true, .not_resources = true},
        {false, any, 1, any, 1},
    };
    struct policy p = {s, denied ? 2 : 1, false};
    lua_pushboolean(L, policy_allows(&p, t_str(L, 1), t_str(L, 2)));
    return 1;
}

/* ==== metric ==== */

static int l_metrics(lua_State *L) {
    struct metrics a = {0}, b = {0};
    struct metrics *const tables[] = {&a, &b};
    struct buf out = BUF_MAX(1 << 16);
    metric_add(&a, METRIC_HTTP_REQUESTS, 3);
    metric_add(&b, METRIC_HTTP_REQUESTS, 4);
    metric_add(NULL, METRIC_HTTP_REQUESTS, 4);
    metric_duration(&a, 250000);
    metric_duration(&b, 250001);
    metric_duration(&b, UINT64_C(3600) * 1000000000);
    metric_duration(NULL, 1);
    metric_write(&out, tables, 2);
    return t_push_buf(L, &out);
}

/* ==== fs ==== */

static int fs_result(lua_State *L, int rc, const struct err *e) {
    if (rc) return t_fail(L, e);
    lua_pushboolean(L, 1);
    return 1;
}

static int l_fs_write(lua_State *L) {
    struct err e = {0};
    return fs_result(L, fs_write_durable(luaL_checkstring(L, 1), t_str(L, 2), &e), &e);
}
static int l_fs_mkdirs(lua_State *L) {
    struct err e = {0};
    return fs_result(L, fs_mkdirs(luaL_checkstring(L, 1), &e), &e);
}
static int l_fs_remove_tree(lua_State *L) {
    struct err e = {0};
    return fs_result(L, fs_remove_tree(luaL_checkstring(L, 1), &e), &e);
}

static int l_fs_read(lua_State *L) {
    struct buf b = BUF_MAX((size_t)luaL_optinteger(L, 2, 1 << 20));
    struct err e = {0};
    int rc = fs_read(luaL_checkstring(L, 1), &b, &e);
    if (!rc) return t_push_buf(L, &b);
    buf_free(&b);
    return t_fail(L, &e);
}

static int push_names(lua_State *L, const struct str *names, size_t n) {
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        t_push(L, names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_fs_list(lua_State *L) {
    struct arena *a = t_arena(L);
    struct str *names;
    size_t n;
    struct err e = {0};
    if (fs_list(a, luaL_checkstring(L, 1), luaL_checkstring(L, 2), &names, &n, &e)) return t_fail(L, &e);
    return push_names(L, names, n);
}

static int l_fs_list_dirs(lua_State *L) {
    struct arena *a = t_arena(L);
    struct str *names;
    size_t n;
    struct err e = {0};
    if (fs_list_dirs(a, luaL_checkstring(L, 1), &names, &n, &e)) return t_fail(L, &e);
    return push_names(L, names, n);
}

static int l_fs_kind(lua_State *L) {
    lua_pushboolean(L, fs_is_dir(luaL_checkstring(L, 1)));
    lua_pushboolean(L, fs_is_file(luaL_checkstring(L, 1)));
    return 2;
}

static int l_fs_join(lua_State *L) {
    struct arena *a = t_arena(L);
    return t_push(L, fs_join(a, t_str(L, 1), t_str(L, 2)));
}
static int l_fs_dirname(lua_State *L) {
    return t_push(L, fs_dirname(t_str(L, 1)));
}

/* ==== conf ==== */

struct settings {
    const char *host;
    int64_t cloud_port;
    bool reload, memory;
    struct conf_list header;
    const char *event;
};

static const struct conf_option options[] = {
    {"host", CONF_STRING, offsetof(struct settings, host), 0, 0, "ADDRESS", "where to listen"},
    {"cloud-port", CONF_INT, offsetof(struct settings, cloud_port), 0, 65535, "PORT", "port of the engine"},
    {"reload", CONF_BOOL, offsetof(struct settings, reload), 0, 0, NULL, "watch the handlers"},
    {"memory", CONF_BOOL, offsetof(struct settings, memory), 0, 0, NULL, "keep nothing on disk"},
    {"header", CONF_LIST, offsetof(struct settings, header), 0, 0, "K:V", "a header, again and again"},
    {"event", CONF_STRING | CONF_FLAG_ONLY, offsetof(struct settings, event), 0, 0, "FILE", "the event"},
    {0}};

static int push_settings(lua_State *L, const struct settings *s) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, s->host);
    lua_setfield(L, -2, "host");
    lua_pushinteger(L, s->cloud_port);
    lua_setfield(L, -2, "cloud_port");
    lua_pushboolean(L, s->reload);
    lua_setfield(L, -2, "reload");
    lua_pushboolean(L, s->memory);
    lua_setfield(L, -2, "memory");
    lua_pushstring(L, s->event);
    lua_setfield(L, -2, "event");
    for (size_t i = 0; i < s->header.n; i++) {
        lua_pushstring(L, s->header.items[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_conf(lua_State *L) { /* conf({args...}, mixed) -> settings, help, positional... */
    struct settings s = {.host = "127.0.0.1", .cloud_port = 4566, .reload = true};
    int (*parse)(const struct conf_option *options, void *into, int argc, char **argv, int *ret_argc, bool *ret_help,
                 struct err *e) = lua_toboolean(L, 2) ? conf_parse_mixed : conf_parse;
    struct err e = {0};
    char *argv[160] = {"perigee"};
    int argc = 1;
    bool help = false;
    luaL_checkstack(L, 160, "conf");
    for (; argc < 159 && lua_rawgeti(L, 1, argc) == LUA_TSTRING; argc++) argv[argc] = (char *)lua_tostring(L, -1);
    if (parse(options, &s, argc, argv, &argc, &help, &e)) return t_fail(L, &e);
    push_settings(L, &s);
    lua_pushboolean(L, help);
    for (int i = 1; i < argc; i++) lua_pushstring(L, argv[i]);
    return 1 + argc;
}

static int l_conf_help(lua_State *L) {
    const struct settings s = {.host = "127.0.0.1", .cloud_port = 4566, .reload = true};
    struct buf b = BUF_MAX(4096);
    conf_help(&b, options, &s);
    return t_push_buf(L, &b);
}

static int l_setenv(lua_State *L) {
    if (lua_isnoneornil(L, 2))
        unsetenv(luaL_checkstring(L, 1));
    else
        setenv(luaL_checkstring(L, 1), luaL_checkstring(L, 2), 1);
    return 0;
}

const luaL_Reg t_sys[] = {
    {"err", l_err},
    {"err_quote", l_err_quote},
    {"err_codes", l_err_codes},
    {"fatal", l_fatal},
    {"arena_defers", l_arena_defers},
    {"arena_blocks", l_arena_blocks},
    {"list", l_list},
    {"map", l_map},
    {"now_format", l_now_format},
    {"now_parse", l_now_parse},
    {"clock", l_clock},
    {"log", l_log},
    {"log_fd", l_log_fd},
    {"log_own", l_log_own},
    {"log_lambda", l_log_lambda},
    {"digest", l_digest},
    {"hmac", l_hmac},
    {"crc32", l_crc32},
    {"hex", l_hex},
    {"unhex", l_unhex},
    {"base64", l_base64},
    {"unbase64", l_unbase64},
    {"base64url", l_base64url},
    {"unbase64url", l_unbase64url},
    {"equal", l_equal},
    {"uuid7", l_uuid7},
    {"uuid4", l_uuid4},
    {"of_seed", l_of_seed},
    {"simulated_clock", l_simulated_clock},
    {"http_set", l_http_set},
    {"http_error", l_http_error},
    {"http_header", l_http_header},
    {"policy_match", l_policy_match},
    {"policy", l_policy},
    {"policy_not", l_policy_not},
    {"metrics", l_metrics},
    {"fs_write", l_fs_write},
    {"fs_read", l_fs_read},
    {"fs_mkdirs", l_fs_mkdirs},
    {"fs_remove_tree", l_fs_remove_tree},
    {"fs_list", l_fs_list},
    {"fs_list_dirs", l_fs_list_dirs},
    {"fs_kind", l_fs_kind},
    {"fs_join", l_fs_join},
    {"fs_dirname", l_fs_dirname},
    {"conf", l_conf},
    {"conf_help", l_conf_help},
    {"setenv", l_setenv},
    {NULL, NULL},
};
