/* Instance metadata, version 2 only. Source: Amazon EC2 User Guide, "Use the Instance Metadata Service"; SDKs and Tools
 * Reference Guide, "IMDS credential provider". Everything but a session's first request presents its token. */
#include "base/json.h"
#include "remote/credentials_source.h"
#include "remote/endpoint.h"
#include <string.h>

struct imds {
    struct chain *c;
    struct str token;
};

static int request(struct imds *m, const char *method, const char *path, struct http_header header, struct exchange *x,
                   struct err *e) {
    const struct settings *s = m->c->settings;
    const struct chain_request q = {.method = str_c(method),
                                    .url = arena_printf(m->c->arena, "%.*s/latest%s", STR_ARG(s->imds_endpoint), path),
                                    .headers = &header,
                                    .n_headers = 1,
                                    .timeout_ms = s->imds_timeout_ms,
                                    .attempts = s->imds_attempts,
                                    .direct = true};
    return chain_http(m->c, &q, x, e);
}

static int wrong(const struct imds *m, const char *what, const struct exchange *x, struct err *e) {
    return err_set(e, ERR_CREDENTIALS, "%.*s: %s: status %d", STR_ARG(m->c->settings->imds_endpoint), what, x->status);
}

static bool one_visible_line(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~') return false;
    return s.n > 0 && s.n < 1024;
}

static int fetch_token(struct imds *m, struct err *e) {
    struct exchange x = {0};
    const struct http_header ttl = {STR("x-aws-ec2-metadata-token-ttl-seconds"), STR("21600")};
    if (request(m, "PUT", "/api/token", ttl, &x, e)) return -1;
    struct str token = str_trim(buf_view(&x.body_in));
    int rc = x.status == 200 && one_visible_line(token) ? 0 : wrong(m, "no session token", &x, e);
    if (!rc) m->token = arena_str(m->c->arena, token);
    chain_http_free(&x);
    return rc;
}

/* A session that is not known (any more) is begun again, once. */
static int get(struct imds *m, const char *path, struct exchange *x, struct err *e) {
    for (int again = 0;; again++) {
        if (!m->token.n && fetch_token(m, e)) return -1;
        if (request(m, "GET", path, (struct http_header){STR("x-aws-ec2-metadata-token"), m->token}, x, e)) return -1;
        if (x->status != 401 || again) return 0;
        m->token = STR_NONE;
        chain_http_free(x);
    }
}

/* ==== credentials ==== */

#define ROLES "/meta-data/iam/security-credentials/"

static int role_of(struct imds *m, struct str *ret, struct err *e) {
    struct exchange x = {0};
    if (get(m, ROLES, &x, e)) return -1;
    struct str rest = buf_view(&x.body_in), first = str_trim(str_cut(&rest, '\n'));
    int rc = 0;
    if (x.status == 404 || (x.status == 200 && !first.n))
        rc = err_set(e, ERR_CREDENTIALS, "%.*s: the instance has no role", STR_ARG(m->c->settings->imds_endpoint));
    else if (x.status != 200 || !one_visible_line(first))
        rc = wrong(m, "the name of the role", &x, e);
    else
        *ret = arena_str(m->c->arena, first);
    chain_http_free(&x);
    return rc;
}

static int succeeded(struct chain *c, struct str text, struct err *e) {
    struct json doc;
    if (json_parse(c->arena, text, &(struct json_limits){.duplicate_keys = true}, &doc, e) || !json_is(&doc, JSON_OBJ))
        return err_set(e, ERR_CREDENTIALS, "is not a JSON object");
    struct str code = json_get_s(&doc, "Code");
    if (!code.n || str_is(code, "Success")) return 0;
    struct str text_of = chain_quote(c->arena, json_get_s(&doc, "Message"));
    return err_set(e, ERR_CREDENTIALS, "%.*s%s%.*s", STR_ARG(chain_quote(c->arena, str_take(code, 64))),
                   text_of.n ? ": " : "", STR_ARG(text_of));
}

static int granted(struct chain *c, struct str text, struct credential_draft *ret, struct err *e) {
    return succeeded(c, text, e) || draft_json(c, text, "Token", true, ret, e) ? -1 : 0;
}

static int credentials_of(struct imds *m, struct str role, struct credential_draft *ret, struct err *e) {
    struct exchange x = {0};
    if (get(m, arena_printf(m->c->arena, ROLES "%.*s", STR_ARG(role)).p, &x, e)) return -1;
    int rc = x.status == 200 ? granted(m->c, buf_view(&x.body_in), ret, e)
                             : err_set(e, ERR_CREDENTIALS, "status %d", x.status);
    chain_http_free(&x);
    if (!rc) return 0;
    return err_wrap(e, "%.*s: credentials of role %.*s", STR_ARG(m->c->settings->imds_endpoint),
                    STR_ARG(str_take(role, 100)));
}

enum credential_found credentials_from_imds(struct chain *c, struct credential_draft *ret, struct err *e) {
    struct imds m = {.c = c};
    struct str role;
    if (c->settings->imds_disabled) return credential_absent(e, "disabled by AWS_EC2_METADATA_DISABLED");
    if (role_of(&m, &role, e)) return m.token.n ? CREDENTIAL_FAILED : CREDENTIAL_ABSENT; /* most hosts have no IMDS */
    if (credentials_of(&m, role, ret, e)) return CREDENTIAL_FAILED;
    ret->source = arena_printf(c->arena, "IMDSv2 role %.*s", STR_ARG(role));
    return CREDENTIAL_FOUND;
}

/* ==== region ==== */

int chain_imds_region(struct chain *c, struct str *ret, struct err *e) {
    struct imds m = {.c = c};
    struct exchange x = {0};
    if (get(&m, "/meta-data/placement/region", &x, e)) return -1;
    struct str region = str_trim(buf_view(&x.body_in));
    int rc = x.status == 200 && endpoint_region_ok(region) ? 0 : wrong(&m, "the region", &x, e);
    if (!rc) *ret = arena_str(c->arena, region);
    chain_http_free(&x);
    return rc;
}

int credentials_imds_region(struct settings *s, struct arena *a, struct str *ret, struct err *e) {
    struct chain c = {.settings = s, .arena = a};
    if (s->imds_disabled)
        return err_set(e, ERR_CREDENTIALS, "instance metadata: disabled by AWS_EC2_METADATA_DISABLED");
    return chain_imds_region(&c, ret, e) ? err_wrap(e, "instance metadata") : 0;
}
