/* Roles: AssumeRole and AssumeRoleWithWebIdentity of STS (AWS Query protocol), and the web identity of the
 * environment. Source: AWS Security Token Service API Reference; SDKs and Tools Reference Guide, "Assume role
 * credential provider". */
#include "base/url.h"
#include "base/xml.h"
#include "remote/credentials_source.h"
#include "remote/endpoint.h"
#include <string.h>

enum { FORM_MAX = 128 << 10, TIMEOUT_MS = 10000, ATTEMPTS = 3, CLOCK_MS = 4 * 60 * 1000 };

/* ==== the request ==== */

static void field(struct buf *form, const char *name, struct str value) {
    if (!value.n) return;
    buf_printf(form, "&%s=", name);
    url_encode(form, value, false);
}

static struct str session_name(struct chain *c, struct str wanted) {
    return wanted.n ? wanted : arena_printf(c->arena, "perigee-%lld", (long long)clock_ms(NULL));
}

static int check(const struct role_request *r, struct err *e) {
    if (!str_starts(r->role_arn, STR("arn:")))
        return err_set(e, ERR_CREDENTIALS, "'%.*s' is not the ARN of a role", STR_ARG(str_take(r->role_arn, 100)));
    return 0;
}

static int form_of(struct chain *c, const struct role_request *r, struct buf *form, struct err *e) {
    struct str token;
    buf_printf(form, "Action=%s&Version=2011-06-15", r->by ? "AssumeRole" : "AssumeRoleWithWebIdentity");
    field(form, "RoleArn", r->role_arn);
    field(form, "RoleSessionName", session_name(c, r->session_name));
    if (r->duration_s) buf_printf(form, "&DurationSeconds=%lld", (long long)r->duration_s);
    if (r->by) field(form, "ExternalId", r->external_id);
    if (!r->by) {
        if (chain_token_file(c, r->web_token_file, &token, e)) return -1;
        field(form, "WebIdentityToken", token);
        explicit_bzero((char *)token.p, token.n);
    }
    return buf_check(form, "the request to STS", e);
}

enum { HEADERS = 5 };

static size_t headers_of(const struct role_request *r, const struct endpoint *to, struct str body, int64_t now_ms,
                         struct arena *a, struct buf *authorization, struct http_header out[HEADERS]) {
    size_t n = 0;
    out[n++] = (struct http_header){STR("Host"), to->host};
    out[n++] = (struct http_header){STR("Content-Type"), STR("application/x-www-form-urlencoded; charset=utf-8")};
    if (!r->by) return n;
    char date[17], hash[65];
    uint8_t digest[32];
    now_amz(now_ms, date);
    crypto_sha256(body, digest);
    crypto_hex_to(hash, digest, sizeof digest);
    out[n++] = (struct http_header){STR("X-Amz-Date"), arena_str(a, str_n(date, 16))};
    if (r->by->session_token.n) out[n++] = (struct http_header){STR("X-Amz-Security-Token"), r->by->session_token};
    struct sign_credentials by = {r->by->access_key, r->by->secret_key, r->by->session_token};
    struct sign_scope scope = {to->region, str_c(to->signing), now_ms};
    struct sign_request q = {.method = STR("POST"),
                             .path = arena_printf(a, "%.*s/", STR_ARG(to->path)),
                             .headers = out,
                             .n_headers = n,
                             .payload_hash = str_n(hash, 64),
                             .double_encode = true};
    struct sign_key_cache cache = {0};
    sign_authorization(&by, &scope, &q, &cache, authorization, NULL);
    explicit_bzero(&cache, sizeof cache);
    out[n++] = (struct http_header){STR("Authorization"), buf_view(authorization)};
    return n;
}

static int post(struct chain *c, const struct role_request *r, const struct endpoint *to, struct str body,
                int64_t correction_ms, struct exchange *x, struct err *e) {
    struct buf authorization = BUF_MAX(8192);
    struct http_header headers[HEADERS];
    size_t n = headers_of(r, to, body, clock_ms(NULL) + correction_ms, c->arena, &authorization, headers);
    const struct chain_request q = {.method = STR("POST"),
                                    .url = arena_printf(c->arena, "%.*s%.*s/", STR_ARG(to->base), STR_ARG(to->path)),
                                    .body = body,
                                    .headers = headers,
                                    .n_headers = n,
                                    .timeout_ms = TIMEOUT_MS,
                                    .attempts = ATTEMPTS};
    int rc = chain_http(c, &q, x, e);
    buf_free(&authorization);
    return rc;
}

/* ==== the answer ==== */

/* "123456789012" of "arn:aws:sts::123456789012:assumed-role/x/y" */
static struct str account_of(struct str arn) {
    for (int i = 0; i < 4; i++) str_cut(&arn, ':');
    return str_cut(&arn, ':');
}

static int granted(struct chain *c, const struct xml *root, struct credential_draft *ret, struct err *e) {
    const struct xml *result = root ? root->first : NULL;
    while (result && !str_ends(result->name, STR("Result"))) result = result->next;
    const struct xml *given = xml_child(result, "Credentials");
    struct credential_draft d = {.access_key = xml_text(given, "AccessKeyId"),
                                 .secret_key = xml_text(given, "SecretAccessKey"),
                                 .session_token = xml_text(given, "SessionToken"),
                                 .account = account_of(xml_text(xml_child(result, "AssumedRoleUser"), "Arn"))};
    struct str expires = xml_text(given, "Expiration");
    if (!given) return err_set(e, ERR_CREDENTIALS, "the answer of STS has no Credentials");
    if (!now_parse_iso(expires, &d.expires_ms))
        err_set(e, ERR_CREDENTIALS, "the answer of STS has no readable Expiration");
    else if (!draft_check(&d, clock_ms(c->settings->clock), e)) {
        *ret = d;
        return 0;
    }
    draft_wipe(&d);
    return -1;
}

static struct str error_code(const struct xml *root) {
    return xml_text(xml_child(root, "Error"), "Code");
}

static int refused(struct chain *c, const struct exchange *x, const struct xml *root, struct err *e) {
    struct str code = error_code(root), text = xml_text(xml_child(root, "Error"), "Message");
    if (!code.n)
        return err_set(e, ERR_CREDENTIALS, "STS answered with status %d and no error that can be read", x->status);
    code = chain_quote(c->arena, str_take(code, 64));
    text = chain_quote(c->arena, text);
    return err_set(e, ERR_CREDENTIALS, "%.*s: %.*s", STR_ARG(code), STR_ARG(text));
}

static bool may_pass(struct str code) {
    return str_is(code, "IDPCommunicationError") || str_starts(code, STR("Throttl")) ||
           str_is(code, "RequestLimitExceeded");
}

/* Signed with a clock that differs from that of STS. */
static bool wrong_clock(const struct exchange *x, struct str code, int64_t *ret_correction_ms) {
    int64_t skew = x->date_ms < 0 ? 0 : x->date_ms - x->received_ms;
    if (*ret_correction_ms || (skew <= CLOCK_MS && skew >= -CLOCK_MS)) return false;
    if (!str_is(code, "SignatureDoesNotMatch") && !str_is(code, "RequestExpired") && !str_is(code, "AccessDenied"))
        return false;
    *ret_correction_ms = skew;
    return true;
}

/* Empty when nobody knows it: endpoint_resolve then says what to set. */
static struct str region_of(struct chain *c) {
    struct str region = STR_NONE;
    struct err unknown;
    if (!c->settings->region.n && !c->settings->imds_disabled) chain_imds_region(c, &region, &unknown);
    return region;
}

int sts_assume(struct chain *c, const struct role_request *r, struct credential_draft *ret, struct err *e) {
    struct endpoint to;
    struct buf form = BUF_MAX(FORM_MAX);
    struct exchange x = {0};
    int64_t correction_ms = 0;
    int rc = -1;
    if (check(r, e) || endpoint_resolve(c->settings, AWS_STS, STR_NONE, region_of(c), c->arena, &to, e) ||
        form_of(c, r, &form, e))
        goto out;
    for (unsigned attempt = 1;; attempt++) {
        struct xml *root = NULL;
        if (post(c, r, &to, buf_view(&form), correction_ms, &x, e)) goto out;
        if (xml_parse(c->arena, buf_view(&x.body_in), &root, NULL)) root = NULL;
        struct str code = error_code(root);
        bool again = attempt < ATTEMPTS && (wrong_clock(&x, code, &correction_ms) || may_pass(code));
        if (x.status == 200) {
            rc = granted(c, root, ret, e);
            break;
        }
        refused(c, &x, root, e);
        if (!again || !chain_pause(c, 50u << attempt)) break;
        chain_http_free(&x);
    }
    chain_http_free(&x);
out:
    if (form.p) explicit_bzero(form.p, form.cap);
    buf_free(&form);
    return rc;
}

/* ==== web identity of the environment ==== */

enum credential_found credentials_from_web_identity(struct chain *c, struct credential_draft *ret, struct err *e) {
    const struct credential_env *env = c->env;
    if (!env->AWS_WEB_IDENTITY_TOKEN_FILE.n) return credential_absent(e, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    if (!env->AWS_ROLE_ARN.n)
        return credential_failed(e, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    const struct role_request r = {.role_arn = env->AWS_ROLE_ARN,
                                   .session_name = env->AWS_ROLE_SESSION_NAME,
                                   .web_token_file = env->AWS_WEB_IDENTITY_TOKEN_FILE.p};
    if (sts_assume(c, &r, ret, e)) return credential_failed(e, "role %.*s: %s", STR_ARG(r.role_arn), e->msg);
    ret->source = arena_printf(c->arena, "web identity: role %.*s", STR_ARG(r.role_arn));
    return CREDENTIAL_FOUND;
}
