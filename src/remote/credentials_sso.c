/* IAM Identity Center: the token that `aws sso login` left in ~/.aws/sso/cache buys a role's credentials. Source: AWS
 * SDKs and Tools Reference Guide, "IAM Identity Center credential provider"; IAM Identity Center Portal API Reference,
 * GetRoleCredentials. Tokens are not refreshed here. */
#include "base/fs.h"
#include "base/json.h"
#include "base/url.h"
#include "remote/credentials_source.h"
#include "remote/endpoint.h"
#include <string.h>

enum { TOKEN_FILE_MAX = 256 << 10, TIMEOUT_MS = 10000, ATTEMPTS = 3 };

struct sso {
    struct str session; /* empty: the older form without a session */
    struct str start_url, region, account, role;
    const char *login; /* what to run when the token is of no use */
};

/* ==== configuration ==== */

static int required(const struct profile_section *p, const char *key, struct str *ret, struct err *e) {
    *ret = profile_value(p, key);
    if (ret->n) return 0;
    return err_set(e, ERR_CREDENTIALS, "%.*s (%s:%d) lacks %s", STR_ARG(p->name), p->file, p->line, key);
}

/* A value of the profile may repeat that of its session, not contradict it. */
static int of_session(const struct profile_section *p, const struct profile_section *session, const char *key,
                      struct str *ret, struct err *e) {
    const struct profile_property *own = profile_property(p, key);
    if (required(session, key, ret, e)) return err_wrap(e, "sso-session");
    if (!own || !own->value.n || str_eq(own->value, *ret)) return 0;
    return err_set(e, ERR_CREDENTIALS, "%s:%d: %s differs from that of sso-session %.*s", own->file, own->line, key,
                   STR_ARG(session->name));
}

static int read_session(struct chain *c, const struct profile_section *p, struct sso *s, struct err *e) {
    const struct profile_section *session = profiles_find(&c->settings->profiles, PROFILE_SSO_SESSION, s->session);
    if (!session)
        return err_set(e, ERR_CREDENTIALS, "%s: there is no section [sso-session %.*s]",
                       settings_where(c->arena, p, profile_property(p, "sso_session")), STR_ARG(s->session));
    s->login = arena_printf(c->arena, "aws sso login --sso-session %.*s", STR_ARG(s->session)).p;
    return of_session(p, session, "sso_start_url", &s->start_url, e) ||
                   of_session(p, session, "sso_region", &s->region, e)
               ? -1
               : 0;
}

static int read_sso(struct chain *c, const struct profile_section *p, struct sso *s, struct err *e) {
    *s = (struct sso){.session = profile_value(p, "sso_session"),
                      .login = arena_printf(c->arena, "aws sso login --profile %.*s", STR_ARG(p->name)).p};
    if (s->session.n && read_session(c, p, s, e)) return -1;
    if (!s->session.n && (required(p, "sso_start_url", &s->start_url, e) || required(p, "sso_region", &s->region, e)))
        return err_wrap(e, "profile");
    if (required(p, "sso_account_id", &s->account, e) || required(p, "sso_role_name", &s->role, e))
        return err_wrap(e, "profile");
    if (endpoint_region_ok(s->region)) return 0;
    return err_set(e, ERR_CREDENTIALS, "sso_region '%.*s' is not the name of a region",
                   STR_ARG(str_take(s->region, 60)));
}

/* ==== the token ==== */

static const char *cache_file(struct chain *c, const struct sso *s) {
    uint8_t digest[20];
    char name[41] = "";
    crypto_sha1(s->session.n ? s->session : s->start_url, digest);
    crypto_hex_to(name, digest, sizeof digest);
    return arena_printf(c->arena, "%.*s/.aws/sso/cache/%s.json", STR_ARG(c->env->HOME), name).p;
}

/* RFC 3339; older tools wrote "2026-11-22T04:55:46UTC". */
static bool parse_time(struct arena *a, struct str s, int64_t *ret_ms) {
    if (str_ends(s, STR("UTC"))) s = arena_printf(a, "%.*sZ", (int)s.n - 3, s.p);
    return now_parse_iso(s, ret_ms);
}

static int usable_token(struct chain *c, const struct sso *s, const struct json *doc, struct str *ret, struct err *e) {
    struct str token = json_get_s(doc, "accessToken"), expires = json_get_s(doc, "expiresAt");
    int64_t expires_ms;
    if (!token.n || !parse_time(c->arena, expires, &expires_ms))
        return err_set(e, ERR_CREDENTIALS, "has no accessToken with a readable expiresAt; run: %s", s->login);
    if (expires_ms <= clock_ms(c->settings->clock))
        return err_set(e, ERR_CREDENTIALS, "the token has expired at %.*s; run: %s",
                       STR_ARG(chain_quote(c->arena, str_take(expires, 40))), s->login);
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] <= ' ' || token.p[i] > '~')
            return err_set(e, ERR_CREDENTIALS, "the token cannot be sent in a header; run: %s", s->login);
    *ret = arena_str(c->arena, token);
    return 0;
}

static int read_token(struct chain *c, const struct sso *s, struct str *ret, struct err *e) {
    struct buf text = BUF_MAX(TOKEN_FILE_MAX);
    struct json doc = {0};
    const char *file = cache_file(c, s);
    int rc = -1;
    if (!c->env->HOME.n) return err_set(e, ERR_CREDENTIALS, "HOME is not set: no ~/.aws/sso/cache");
    if (!fs_is_file(file)) return err_set(e, ERR_CREDENTIALS, "%s does not exist; run: %s", file, s->login);
    if (fs_read(file, &text, e)) goto out;
    if (json_parse(c->arena, buf_view(&text), &(struct json_limits){.duplicate_keys = true}, &doc, e))
        err_set(e, ERR_CREDENTIALS, "%s is not JSON; run: %s", file, s->login);
    else if (usable_token(c, s, &doc, ret, e))
        err_wrap(e, "%s", file);
    else
        rc = 0;
out:
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return rc;
}

/* ==== the role's credentials ==== */

static struct str url_of(struct chain *c, const struct sso *s) {
    struct buf url = BUF_MAX(4096);
    struct str base = c->settings->sso_endpoint.url;
    if (base.n)
        buf_str(&url, base);
    else
        buf_printf(&url, "https://portal.sso.%.*s.amazonaws.com%s", STR_ARG(s->region),
                   str_starts(s->region, STR("cn-")) ? ".cn" : "");
    buf_c(&url, "/federation/credentials?role_name=");
    url_encode(&url, s->role, false);
    buf_c(&url, "&account_id=");
    url_encode(&url, s->account, false);
    struct str ret = arena_str(c->arena, buf_view(&url));
    buf_free(&url);
    return ret;
}

static int granted(struct chain *c, const struct exchange *x, struct credential_draft *ret, struct err *e) {
    struct json doc;
    struct str text = buf_view(&x->body_in);
    if (json_parse(c->arena, text, &(struct json_limits){.duplicate_keys = true}, &doc, e))
        return err_set(e, ERR_CREDENTIALS, "the answer of IAM Identity Center is not JSON");
    const struct json *given = json_get(&doc, "roleCredentials");
    struct credential_draft d = {.access_key = json_get_s(given, "accessKeyId"),
                                 .secret_key = json_get_s(given, "secretAccessKey"),
                                 .session_token = json_get_s(given, "sessionToken")};
    if (!json_i64(json_get(given, "expiration"), &d.expires_ms) || d.expires_ms <= 0)
        err_set(e, ERR_CREDENTIALS, "the answer of IAM Identity Center has no roleCredentials with an expiration");
    else if (!draft_check(&d, clock_ms(c->settings->clock), e)) {
        *ret = draft_copy(c->arena, &d);
        draft_wipe(&d);
        return 0;
    }
    draft_wipe(&d);
    return -1;
}

static int refused(struct chain *c, const struct sso *s, const struct exchange *x, struct err *e) {
    struct json doc = {0};
    if (x->status == 401)
        return err_set(e, ERR_CREDENTIALS, "IAM Identity Center does not accept the token; run: %s", s->login);
    if (json_parse(c->arena, buf_view(&x->body_in), NULL, &doc, NULL)) doc = (struct json){0};
    struct str text = chain_quote(c->arena, json_get_s(&doc, "message"));
    return err_set(e, ERR_CREDENTIALS, "IAM Identity Center answered with status %d%s%.*s", x->status,
                   text.n ? ": " : "", STR_ARG(text));
}

static int get(struct chain *c, const struct sso *s, struct str token, struct credential_draft *ret, struct err *e) {
    const struct http_header headers[] = {{STR("x-amz-sso_bearer_token"), token},
                                          {STR("Accept"), STR("application/json")}};
    const struct chain_request q = {.method = STR("GET"),
                                    .url = url_of(c, s),
                                    .headers = headers,
                                    .n_headers = 2,
                                    .timeout_ms = TIMEOUT_MS,
                                    .attempts = ATTEMPTS};
    struct exchange x = {0};
    if (chain_http(c, &q, &x, e)) return -1;
    int rc = x.status == 200 ? granted(c, &x, ret, e) : refused(c, s, &x, e);
    chain_http_free(&x);
    return rc;
}

enum credential_found credentials_from_sso(struct chain *c, const struct profile_section *p,
                                           struct credential_draft *ret, struct err *e) {
    struct sso s;
    struct str token = STR_NONE;
    if (read_sso(c, p, &s, e)) return credential_failed(e, "SSO: %s", e->msg);
    int rc = read_token(c, &s, &token, e);
    if (!rc) rc = get(c, &s, token, ret, e);
    if (token.n) explicit_bzero((char *)token.p, token.n);
    if (rc) return credential_failed(e, "SSO: %s", e->msg);
    ret->account = s.account;
    ret->source = arena_printf(c->arena, "profile %.*s: SSO role %.*s", STR_ARG(p->name), STR_ARG(s.role));
    return CREDENTIAL_FOUND;
}
