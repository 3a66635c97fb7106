/* t.credentials: profile files, settings and the credential store under an environment, a clock and a log of the
 * test's own; and a scripted HTTP server (http_script.c). */
#include "http_script.h"
#include "remote/credentials.h"
#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_credentials(lua_State *L);

static struct str str_at(lua_State *L, int i) {
    size_t n;
    const char *p = luaL_checklstring(L, i, &n);
    return str_n(p, n);
}

static int fail(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, e->msg);
    lua_pushstring(L, err_name_of(e));
    return 3;
}

static void set_str(lua_State *L, const char *name, struct str s) {
    if (!s.n) return;
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, name);
}

static void set_int(lua_State *L, const char *name, int64_t v) {
    lua_pushinteger(L, v);
    lua_setfield(L, -2, name);
}

static void set_bool(lua_State *L, const char *name, bool v) {
    lua_pushboolean(L, v);
    lua_setfield(L, -2, name);
}

/* ==== profiles ==== */

static void push_section(lua_State *L, const struct profile_section *s) {
    lua_newtable(L);
    for (size_t i = 0; i < s->n; i++) {
        lua_pushlstring(L, s->properties[i].key.p, s->properties[i].key.n);
        lua_pushlstring(L, s->properties[i].value.p, s->properties[i].value.n);
        lua_rawset(L, -3);
    }
}

static void push_profiles(lua_State *L, const struct profiles *p) {
    static const char *const kinds[] = {"profile", "sso-session", "services", "ignored"};
    lua_newtable(L);
    for (size_t i = 0; i < p->n; i++) {
        const struct profile_section *s = &p->sections[i];
        lua_pushfstring(L, "%s %s", kinds[s->kind], s->name.p);
        push_section(L, s);
        lua_rawset(L, -3);
    }
}

static int l_parse(lua_State *L) { /* parse(config, credentials): {["profile x"] = {key = value}} */
    struct profiles p = {0};
    struct arena a = {0};
    struct err e = {0};
    int rc = 0;
    if (!lua_isnil(L, 1)) rc = profiles_parse(&p, &a, str_at(L, 1), "config", true, &e);
    if (!rc && !lua_isnoneornil(L, 2)) rc = profiles_parse(&p, &a, str_at(L, 2), "credentials", false, &e);
    int n = 1;
    if (rc)
        n = fail(L, &e);
    else
        push_profiles(L, &p);
    arena_free(&a);
    return n;
}

static int l_where(lua_State *L) { /* where(config, profile, key): file, line */
    struct profiles p = {0};
    struct arena a = {0};
    struct err e = {0};
    if (profiles_parse(&p, &a, str_at(L, 1), "config", true, &e)) return luaL_error(L, "%s", e.msg);
    const struct profile_property *at =
        profile_property(profiles_find(&p, PROFILE_PROFILE, str_at(L, 2)), luaL_checkstring(L, 3));
    if (!at) return luaL_error(L, "no such property");
    lua_pushstring(L, at->file);
    lua_pushinteger(L, at->line);
    arena_free(&a);
    return 2;
}

/* ==== settings under an environment of the test's ==== */

struct box {
    struct settings settings;
    struct credential_store *store;
    struct loop *loop;
    struct clock clock;
    struct log log;
    pthread_mutex_t lock;
    struct buf lines;
    struct arena arena;
    struct http_header *env;
    size_t n_env;
    struct credential_waiter waiter;
    int called;
    struct credentials *last; /* given by the last get */
    bool settled;
};

static const char *box_env(void *ud, const char *name) {
    const struct box *b = ud;
    for (size_t i = 0; i < b->n_env; i++)
        if (str_is(b->env[i].name, name)) return b->env[i].value.p;
    return NULL;
}

static void box_log(void *ud, enum log_level level, struct str line) {
    struct box *b = ud;
    (void)level;
    pthread_mutex_lock(&b->lock);
    buf_str(&b->lines, line);
    buf_byte(&b->lines, '\n');
    pthread_mutex_unlock(&b->lock);
}

static void read_env(lua_State *L, int i, struct box *b) {
    size_t n = 0;
    luaL_checktype(L, i, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) n++;
    b->env = ARENA_ARRAY(&b->arena, struct http_header, n + 1);
    for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1))
        b->env[b->n_env++] =
            (struct http_header){arena_str(&b->arena, str_at(L, -2)), arena_str(&b->arena, str_at(L, -1))};
}

static const char *option(lua_State *L, int i, const char *name) {
    if (!lua_istable(L, i)) return NULL;
    lua_getfield(L, i, name);
    const char *v = lua_tostring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return v;
}

static struct box *new_box(lua_State *L, struct err *e) { /* (env, explicit): the box, nil box->settled on failure */
    struct box *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct box){.lines = BUF_MAX(1 << 20)};
    pthread_mutex_init(&b->lock, NULL);
    b->log = (struct log){.fd = -1, .level = LOG_DEBUG, .sink = box_log, .ud = b};
    luaL_setmetatable(L, "t.credentials");
    read_env(L, 1, b);
    const struct remote_config c = {.region = option(L, 2, "region"),
                                    .profile = option(L, 2, "profile"),
                                    .endpoint_url = option(L, 2, "endpoint_url"),
                                    .ca_bundle = option(L, 2, "ca_bundle"),
                                    .access_key = option(L, 2, "access_key"),
                                    .secret_key = option(L, 2, "secret_key"),
                                    .session_token = option(L, 2, "session_token"),
                                    .env = {box_env, b},
                                    .clock = &b->clock,
                                    .log = &b->log};
    b->settled = !settings_read(&c, &b->settings, e);
    return b;
}

static struct box *box_of(lua_State *L) {
    return luaL_checkudata(L, 1, "t.credentials");
}

static void push_endpoints(lua_State *L, const struct settings *s) {
    lua_newtable(L);
    for (int i = 0; i < AWS_SERVICES; i++) {
        if (!s->endpoints[i].url.n) continue;
        lua_newtable(L);
        set_str(L, "url", s->endpoints[i].url);
        set_str(L, "source", str_c(s->endpoints[i].source));
        lua_setfield(L, -2, aws_service_name((enum aws_service)i));
    }
    set_str(L, "sso", s->sso_endpoint.url);
}

static int l_settings(lua_State *L) { /* settings(env, explicit): a table, the log */
    struct err e = {0};
    struct box *b = new_box(L, &e);
    const struct settings *s = &b->settings;
    if (!b->settled) return fail(L, &e);
    lua_newtable(L);
    set_str(L, "profile", s->profile);
    set_str(L, "profile_source", str_c(s->profile_source));
    set_bool(L, "profile_explicit", s->profile_explicit);
    set_str(L, "region", s->region);
    set_str(L, "region_source", str_c(s->region_source));
    push_endpoints(L, s);
    lua_setfield(L, -2, "endpoints");
    set_bool(L, "dualstack", s->dualstack);
    set_bool(L, "fips", s->fips);
    set_str(L, "s3", str_c(((const char *[]){"auto", "path", "virtual"})[s->s3_addressing]));
    set_str(L, "retry", str_c(((const char *[]){"standard", "adaptive"})[s->retry_mode]));
    set_int(L, "max_attempts", s->max_attempts);
    set_bool(L, "request_when_required", s->request_checksum == CHECKSUM_WHEN_REQUIRED);
    set_bool(L, "response_when_required", s->response_checksum == CHECKSUM_WHEN_REQUIRED);
    set_str(L, "ca_bundle", str_c(s->ca_bundle));
    set_str(L, "http_proxy", str_c(s->proxies.http));
    set_str(L, "https_proxy", str_c(s->proxies.https));
    set_str(L, "no_proxy", str_c(s->proxies.except));
    set_str(L, "app_id", str_c(s->app_id));
    set_bool(L, "imds_disabled", s->imds_disabled);
    set_str(L, "imds_endpoint", s->imds_endpoint);
    set_int(L, "imds_timeout_ms", (int64_t)s->imds_timeout_ms);
    set_int(L, "imds_attempts", s->imds_attempts);
    lua_pushstring(L, buf_cstr(&b->lines));
    return 2;
}

/* ==== the store ==== */

static int l_open(lua_State *L) { /* open(env, explicit) */
    struct err e = {0};
    struct box *b = new_box(L, &e);
    if (!b->settled || loop_open(&b->loop, &e) || credential_store_open(&b->settings, &b->store, &e))
        return fail(L, &e);
    return 1;
}

static int l_close(lua_State *L) {
    struct box *b = box_of(L);
    if (b->store) {
        while (!credentials_forget(b->store, &b->waiter)) loop_once(b->loop, -1);
        credential_store_close(b->store);
    }
    credentials_unref(b->last);
    if (b->loop) loop_close(b->loop);
    if (b->settled) settings_free(&b->settings);
    buf_free(&b->lines);
    arena_free(&b->arena);
    b->store = NULL;
    b->loop = NULL;
    b->last = NULL;
    b->settled = false;
    return 0;
}

static int push_credentials(lua_State *L, const struct credentials *c) {
    lua_newtable(L);
    set_str(L, "access_key", c->access_key);
    set_str(L, "secret_key", c->secret_key);
    set_str(L, "session_token", c->session_token);
    set_str(L, "account", c->account);
    set_str(L, "source", c->source);
    set_int(L, "expires_ms", c->expires_ms);
    return 1;
}

static int given(lua_State *L, struct box *b, struct credentials *c, const struct err *e) {
    if (!c && e->code == ERR_NONE) {
        lua_pushliteral(L, "wait");
        return 1;
    }
    if (!c) return fail(L, e);
    credentials_unref(b->last);
    b->last = c;
    return push_credentials(L, c);
}

static int l_wait(lua_State *L) {
    struct box *b = box_of(L);
    struct err e = {0};
    return given(L, b, credentials_wait(b->store, &e), &e);
}

static void on_credentials(void *ud) {
    struct box *b = ud;
    b->called++;
}

static int l_get(lua_State *L) { /* get(): the set, "wait", or nil and why */
    struct box *b = box_of(L);
    struct err e = {0};
    b->waiter.home = b->loop;
    b->waiter.fn = on_credentials;
    b->waiter.ud = b;
    return given(L, b, credentials_get(b->store, &b->waiter, &e), &e);
}

static int l_called(lua_State *L) { /* called(n): runs the loop until the waiter was called n times in all */
    struct box *b = box_of(L);
    while (b->called < luaL_checkinteger(L, 2)) loop_once(b->loop, -1);
    lua_pushinteger(L, b->called);
    return 1;
}

static int l_turn(lua_State *L) {
    struct box *b = box_of(L);
    loop_once(b->loop, 0);
    lua_pushinteger(L, b->called);
    return 1;
}

static int l_forget(lua_State *L) {
    struct box *b = box_of(L);
    lua_pushboolean(L, credentials_forget(b->store, &b->waiter));
    return 1;
}

static int l_refused(lua_State *L) { /* of the set given last */
    struct box *b = box_of(L);
    lua_pushboolean(L, credentials_refused(b->store, b->last));
    return 1;
}

static int l_stats(lua_State *L) {
    struct credential_stats s;
    credentials_stats(box_of(L)->store, &s);
    lua_newtable(L);
    set_int(L, "fetches", (int64_t)s.fetches);
    set_int(L, "failures", (int64_t)s.failures);
    set_int(L, "last_failure_ms", s.last_failure_ms);
    set_str(L, "last_failure", str_c(s.last_failure));
    return 1;
}

static int l_advance(lua_State *L) {
    atomic_fetch_add(&box_of(L)->clock.offset_ms, luaL_checkinteger(L, 2));
    return 0;
}

static int l_now(lua_State *L) {
    lua_pushinteger(L, clock_ms(&box_of(L)->clock));
    return 1;
}

static int l_iso(lua_State *L) {
    char text[25];
    now_iso(luaL_checkinteger(L, 1), text);
    lua_pushstring(L, text);
    return 1;
}

static int l_mono_ms(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)now_mono_ms());
    return 1;
}

static int l_logged(lua_State *L) {
    struct box *b = box_of(L);
    pthread_mutex_lock(&b->lock);
    char *copy = strdup(buf_cstr(&b->lines));
    pthread_mutex_unlock(&b->lock);
    lua_pushstring(L, copy);
    free(copy);
    return 1;
}

static int l_imds_region(lua_State *L) {
    struct box *b = box_of(L);
    struct err e = {0};
    struct str region;
    if (credentials_imds_region(&b->settings, &b->arena, &region, &e)) return fail(L, &e);
    lua_pushlstring(L, region.p, region.n);
    return 1;
}

/* ==== the signature of a request as it came ==== */

static struct str secret_of(void *ud, struct str access_key) {
    (void)access_key;
    return *(struct str *)ud;
}

static int l_verify(lua_State *L) { /* verify(request, secret): the service it is signed for */
    struct arena a = {0};
    struct http_header headers[32];
    struct str head = str_at(L, 1), secret = str_at(L, 2);
    ptrdiff_t end = str_find(head, STR("\r\n\r\n"), 0);
    struct str body = str_from(head, (size_t)end + 4), line = str_cut(&head, '\n');
    struct http_request r = {.arena = &a, .headers = headers, .body = body};
    r.method = str_cut(&line, ' ');
    r.target = r.raw_query = str_cut(&line, ' ');
    r.path = str_cut(&r.raw_query, '?');
    for (head = str_take(head, (size_t)(body.p - 4 - head.p)); head.p && r.n_headers < 32;) {
        struct str value = str_cut(&head, '\n'), name = str_cut(&value, ':');
        headers[r.n_headers++] = (struct http_header){name, str_trim(value)};
    }
    struct sign_verified v;
    struct err e = {0};
    int n = 1;
    if (sign_verify(&r, clock_ms(NULL), secret_of, &secret, &v, &e))
        n = fail(L, &e);
    else
        lua_pushlstring(L, v.service.p, v.service.n);
    arena_free(&a);
    return n;
}

/* ==== many threads ==== */

struct asker {
    pthread_t thread;
    struct credential_store *store;
    struct loop *loop;
    struct credential_waiter waiter;
    int rounds, bad, failures;
    bool called;
};

static void on_called(void *ud) {
    ((struct asker *)ud)->called = true;
}

/* id, key and token end in the same number when they belong together. */
static bool belong_together(const struct credentials *c) {
    struct str tail = str_from(c->access_key, 2);
    return str_eq(str_from(c->secret_key, 2), tail) && str_eq(str_from(c->session_token, 2), tail);
}

static void ask_once(struct asker *a, bool refuse) {
    struct err e = {0};
    struct credentials *c;
    while (!(c = credentials_get(a->store, &a->waiter, &e)) && e.code == ERR_NONE) {
        for (a->called = false; !a->called;) loop_once(a->loop, -1);
    }
    if (!c)
        a->failures++;
    else if (!belong_together(c))
        a->bad++;
    if (c && refuse) credentials_refused(a->store, c);
    credentials_unref(c);
}

static void *run_asker(void *ud) {
    struct asker *a = ud;
    struct err e;
    if (loop_open(&a->loop, &e)) fatal("%s", e.msg);
    a->waiter = (struct credential_waiter){.home = a->loop, .fn = on_called, .ud = a};
    for (int i = 0; i < a->rounds; i++) ask_once(a, i % 100 == 50);
    while (!credentials_forget(a->store, &a->waiter)) loop_once(a->loop, -1);
    loop_close(a->loop);
    return NULL;
}

static int l_storm(lua_State *L) { /* storm(threads, rounds): mixed sets, failures */
    struct box *b = box_of(L);
    int threads = (int)luaL_checkinteger(L, 2), bad = 0, failures = 0;
    struct asker *all = calloc((size_t)threads, sizeof *all);
    for (int i = 0; i < threads; i++) {
        all[i] = (struct asker){.store = b->store, .rounds = (int)luaL_checkinteger(L, 3)};
        if (pthread_create(&all[i].thread, NULL, run_asker, &all[i])) fatal("pthread_create");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(all[i].thread, NULL);
        bad += all[i].bad;
        failures += all[i].failures;
    }
    free(all);
    lua_pushinteger(L, bad);
    lua_pushinteger(L, failures);
    return 2;
}

static const luaL_Reg methods[] = {{"wait", l_wait},     {"get", l_get},
                                   {"called", l_called}, {"turn", l_turn},
                                   {"forget", l_forget}, {"refused", l_refused},
                                   {"stats", l_stats},   {"advance", l_advance},
                                   {"now", l_now},       {"logged", l_logged},
                                   {"storm", l_storm},   {"imds_region", l_imds_region},
                                   {"close", l_close},   {NULL, NULL}};
static const luaL_Reg functions[] = {{"parse", l_parse},      {"where", l_where},   {"settings", l_settings},
                                     {"open", l_open},        {"iso", l_iso},       {"mono_ms", l_mono_ms},
                                     {"server", script_open}, {"verify", l_verify}, {NULL, NULL}};

int luaopen_t_credentials(lua_State *L) {
    luaL_newmetatable(L, "t.credentials");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_close);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, functions);
    return 1;
}
