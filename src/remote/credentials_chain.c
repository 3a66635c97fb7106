/* The order of sources, what they share, and the environment. */
#include "base/fs.h"
#include "base/json.h"
#include "remote/credentials_source.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TOKEN_MAX = 64 << 10, ANSWER_MAX = 256 << 10, LINE_MAX_ABSENT = 220, LINE_MAX_FAILED = 600 };

/* ==== drafts ==== */

static void wipe(struct str *s) {
    if (s->n) explicit_bzero((char *)s->p, s->n);
    *s = STR_NONE;
}

void draft_wipe(struct credential_draft *d) {
    wipe(&d->access_key);
    wipe(&d->secret_key);
    wipe(&d->session_token);
    *d = (struct credential_draft){0};
}

static int visible(struct str s, const char *what, struct err *e) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return err_set(e, ERR_CREDENTIALS, "the %s holds a byte that cannot be in a header, at position %zu", what,
                           i + 1);
    return 0;
}

int draft_check(const struct credential_draft *d, int64_t now_ms, struct err *e) {
    char when[25];
    if (!d->access_key.n) return err_set(e, ERR_CREDENTIALS, "the access key is missing");
    if (!d->secret_key.n) return err_set(e, ERR_CREDENTIALS, "the secret key is missing");
    if (visible(d->access_key, "access key", e) || visible(d->secret_key, "secret key", e) ||
        visible(d->session_token, "session token", e))
        return -1;
    if (!d->expires_ms || d->expires_ms > now_ms || d->imds) return 0;
    now_iso(d->expires_ms, when);
    return err_set(e, ERR_CREDENTIALS, "the credentials have expired already, at %s", when);
}

static int json_text(const struct json *doc, const char *name, bool required, struct str *ret, struct err *e) {
    const struct json *v = json_get(doc, name);
    *ret = json_str(v);
    if (v && !json_is(v, JSON_STR) && (required || !json_is(v, JSON_NULL)))
        return err_set(e, ERR_CREDENTIALS, "%s is no text but %s", name, json_type_name(v->type));
    return ret->n || !required ? 0 : err_set(e, ERR_CREDENTIALS, "%s is missing", name);
}

struct credential_draft draft_copy(struct arena *a, const struct credential_draft *d) {
    return (struct credential_draft){.access_key = arena_str(a, d->access_key),
                                     .secret_key = arena_str(a, d->secret_key),
                                     .session_token = arena_str(a, d->session_token),
                                     .account = arena_str(a, d->account),
                                     .expires_ms = d->expires_ms,
                                     .imds = d->imds};
}

static int parse(struct chain *c, struct str text, const char *token_name, struct credential_draft *d, struct err *e) {
    struct json doc;
    struct str expires;
    if (json_parse(c->arena, text, &(struct json_limits){.duplicate_keys = true}, &doc, e) || !json_is(&doc, JSON_OBJ))
        return err_set(e, ERR_CREDENTIALS, "is not a JSON object");
    if (json_text(&doc, "AccessKeyId", true, &d->access_key, e) ||
        json_text(&doc, "SecretAccessKey", true, &d->secret_key, e) ||
        json_text(&doc, token_name, false, &d->session_token, e) || json_text(&doc, "Expiration", false, &expires, e) ||
        json_text(&doc, "AccountId", false, &d->account, e))
        return -1;
    if (!expires.n || now_parse_iso(expires, &d->expires_ms)) return 0;
    return err_set(e, ERR_CREDENTIALS, "Expiration '%.*s' is not a time as 2026-11-22T04:55:46Z",
                   STR_ARG(chain_quote(c->arena, str_take(expires, 40))));
}

int draft_json(struct chain *c, struct str text, const char *token_name, bool imds, struct credential_draft *ret,
               struct err *e) {
    struct str copy = arena_str(c->arena, text); /* strings are views into it, or decoded beside it */
    struct credential_draft d = {.imds = imds};
    int rc = parse(c, copy, token_name, &d, e);
    if (!rc) rc = draft_check(&d, clock_ms(c->settings->clock), e);
    if (!rc) *ret = draft_copy(c->arena, &d);
    draft_wipe(&d);
    explicit_bzero((char *)copy.p, copy.n);
    return rc;
}

/* ==== environment ==== */

void credential_env_read(const struct settings *s, struct arena *a, struct credential_env *ret) {
#define X(name) ret->name = arena_str(a, str_trim(str_c(settings_env(s, #name))));
    CREDENTIAL_VARIABLES
#undef X
}

void credential_env_wipe(struct credential_env *env) {
    wipe(&env->AWS_SECRET_ACCESS_KEY);
    wipe(&env->AWS_SESSION_TOKEN);
    wipe(&env->AWS_CONTAINER_AUTHORIZATION_TOKEN);
}

enum credential_found credentials_from_environment(struct chain *c, struct credential_draft *ret, struct err *e) {
    const struct credential_env *env = c->env;
    if (!env->AWS_ACCESS_KEY_ID.n && !env->AWS_SECRET_ACCESS_KEY.n)
        return credential_absent(e, "AWS_ACCESS_KEY_ID is not set");
    if (!env->AWS_SECRET_ACCESS_KEY.n)
        return credential_failed(e, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
    if (!env->AWS_ACCESS_KEY_ID.n)
        return credential_failed(e, "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not");
    struct credential_draft d = {.access_key = arena_str(c->arena, env->AWS_ACCESS_KEY_ID),
                                 .secret_key = arena_str(c->arena, env->AWS_SECRET_ACCESS_KEY),
                                 .session_token = arena_str(c->arena, env->AWS_SESSION_TOKEN),
                                 .account = arena_str(c->arena, env->AWS_ACCOUNT_ID),
                                 .source = STR("environment")};
    if (draft_check(&d, 0, e)) {
        draft_wipe(&d);
        return CREDENTIAL_FAILED;
    }
    *ret = d;
    return CREDENTIAL_FOUND;
}

static enum credential_found from_explicit(struct chain *c, struct credential_draft *ret, struct err *e) {
    const struct settings *s = c->settings;
    *ret = (struct credential_draft){.access_key = arena_str(c->arena, str_c(s->access_key)),
                                     .secret_key = arena_str(c->arena, str_c(s->secret_key)),
                                     .session_token = arena_str(c->arena, str_c(s->session_token)),
                                     .source = STR("explicit")};
    if (!draft_check(ret, 0, e)) return CREDENTIAL_FOUND;
    draft_wipe(ret);
    return CREDENTIAL_FAILED;
}

/* ==== the chain ==== */

static void tell(struct err *e, size_t most, const char *fmt, va_list ap) {
    char text[LINE_MAX_FAILED];
    vsnprintf(text, most, fmt, ap);
    err_set(e, ERR_CREDENTIALS, "%s", text);
}

enum credential_found credential_failed(struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    tell(e, LINE_MAX_FAILED, fmt, ap);
    va_end(ap);
    return CREDENTIAL_FAILED;
}

enum credential_found credential_absent(struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    tell(e, LINE_MAX_ABSENT, fmt, ap);
    va_end(ap);
    return CREDENTIAL_ABSENT;
}

static enum credential_found environment_unless_profile(struct chain *c, struct credential_draft *ret, struct err *e) {
    if (c->settings->profile_explicit) return credential_absent(e, "not asked, a profile is named explicitly");
    return credentials_from_environment(c, ret, e);
}

static const struct step {
    const char *name;
    enum credential_found (*ask)(struct chain *c, struct credential_draft *ret, struct err *e);
} steps[] = {
    {"environment", environment_unless_profile},     {"profile", credentials_from_profile},
    {"web identity", credentials_from_web_identity}, {"container", credentials_from_container},
    {"instance metadata", credentials_from_imds},
};

static void add_line(struct chain *c, struct buf *lines, const struct step *s, const struct err *e) {
    if (s->ask == credentials_from_profile)
        buf_printf(lines, "\n  profile %.*s: %s", STR_ARG(str_take(c->settings->profile, 64)), e->msg);
    else
        buf_printf(lines, "\n  %s: %s", s->name, e->msg);
}

int chain_run(struct chain *c, struct credential_draft *ret, struct err *e) {
    struct buf lines = BUF_MAX(8192);
    enum credential_found found = CREDENTIAL_ABSENT;
    struct err why = {0};
    int rc = -1;
    if (c->settings->access_key) {
        if (from_explicit(c, ret, &why) == CREDENTIAL_FOUND) return 0;
        return err_set(e, ERR_CREDENTIALS, "the explicit credentials cannot be used: %s", why.msg);
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && found == CREDENTIAL_ABSENT; i++) {
        found = steps[i].ask(c, ret, &why);
        if (found != CREDENTIAL_FOUND) add_line(c, &lines, &steps[i], &why);
    }
    if (found == CREDENTIAL_FOUND)
        rc = 0;
    else
        err_set(e, ERR_CREDENTIALS, "%s%s",
                found == CREDENTIAL_FAILED ? "a source of credentials failed" : "no credentials were found",
                buf_cstr(&lines));
    buf_free(&lines);
    return rc;
}

bool chain_static(struct chain *c, struct credential_draft *ret) {
    const struct settings *s = c->settings;
    const struct profile_section *p = settings_profile(s);
    struct err ignored;
    if (s->access_key) return from_explicit(c, ret, &ignored) == CREDENTIAL_FOUND;
    enum credential_found found = environment_unless_profile(c, ret, &ignored);
    if (found == CREDENTIAL_ABSENT && p && profile_static(p)) found = credentials_from_profile(c, ret, &ignored);
    return found == CREDENTIAL_FOUND;
}

/* ==== shared by sources ==== */

bool chain_stopped(const struct chain *c) {
    return c->stop && atomic_load(c->stop);
}

bool chain_pause(struct chain *c, uint64_t ms) {
    const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
    for (uint64_t until = now_mono_ms() + ms; now_mono_ms() < until && !chain_stopped(c);) nanosleep(&step, NULL);
    return !chain_stopped(c);
}

struct str chain_quote(struct arena *a, struct str s) {
    char *p = arena_cstr(a, str_take(s, 200));
    size_t n = s.n < 200 ? s.n : 200;
    for (size_t i = 0; i < n; i++)
        if (p[i] < ' ' || p[i] > '~') p[i] = p[i] == '\n' || p[i] == '\t' || p[i] == '\r' ? ' ' : '?';
    return str_trim(str_n(p, n));
}

int chain_token_file(struct chain *c, const char *path, struct str *ret, struct err *e) {
    struct buf b = BUF_MAX(TOKEN_MAX);
    int rc = -1;
    if (fs_read(path, &b, e)) goto out;
    struct str token = str_trim(buf_view(&b));
    if (!token.n)
        err_set(e, ERR_CREDENTIALS, "%s is empty", path);
    else if (!visible(token, "token", e))
        rc = 0;
    else
        err_wrap(e, "%s", path);
    if (!rc) *ret = arena_str(c->arena, token);
out:
    if (b.p) explicit_bzero(b.p, b.cap);
    buf_free(&b);
    return rc;
}

static bool may_pass(const struct exchange *x) {
    return x->failure ? x->failure != EXCHANGE_BAD_URL && x->failure != EXCHANGE_TOO_LARGE
                      : x->status >= 500 || x->status == 429;
}

static void try_once(struct chain *c, const struct chain_request *r, struct exchange *x) {
    const struct blocking_config config = {.ca_bundle = c->settings->ca_bundle,
                                           .proxies = r->direct ? (struct proxies){0} : c->settings->proxies,
                                           .connect_ms = r->timeout_ms,
                                           .stop = c->stop};
    *x = (struct exchange){.method = r->method,
                           .url = r->url,
                           .body = r->body,
                           .headers = r->headers,
                           .n_headers = r->n_headers,
                           .total_ms = r->timeout_ms,
                           .max_body = ANSWER_MAX};
    transport_blocking(&config, x);
}

int chain_http(struct chain *c, const struct chain_request *r, struct exchange *ret, struct err *e) {
    for (unsigned attempt = 1;; attempt++) {
        try_once(c, r, ret);
        if (!may_pass(ret) || attempt >= r->attempts || !chain_pause(c, 50u << attempt)) break;
        chain_http_free(ret);
    }
    if (!ret->failure) return 0;
    struct str url = r->url;
    url = str_cut(&url, '?');
    err_set(e, ERR_CREDENTIALS, "%.*s %.*s: %s", STR_ARG(r->method), STR_ARG(str_take(url, 300)),
            chain_stopped(c) ? "stopped" : ret->why);
    chain_http_free(ret);
    return -1;
}

void chain_http_free(struct exchange *x) {
    if (x->body_in.p) explicit_bzero(x->body_in.p, x->body_in.cap);
    exchange_free(x);
}
