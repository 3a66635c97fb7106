/* Profiles: role chains and what they begin with. Source: AWS SDKs and Tools Reference Guide, "Assume role credential
 * provider". Within a profile: role_arn, SSO, static keys, credential_process. */
#include "remote/credentials_source.h"
#include <string.h>

enum { CHAIN_MAX = 16 };

/* The profiles on the way from the one in use to the one that holds credentials. */
struct walk {
    struct chain *c;
    const struct profile_section *visited[CHAIN_MAX];
    int n;
};

static const char *where(struct walk *w, const struct profile_section *p, const char *key) {
    return settings_where(w->c->arena, p, profile_property(p, key));
}

/* ==== keys in the file ==== */

static bool has(const struct profile_section *p, const char *key) {
    return profile_value(p, key).n > 0;
}

static bool has_keys(const struct profile_section *p) {
    return has(p, "aws_access_key_id") || has(p, "aws_secret_access_key");
}

static bool has_sso(const struct profile_section *p) {
    return has(p, "sso_session") || has(p, "sso_start_url") || has(p, "sso_account_id") || has(p, "sso_role_name");
}

bool profile_static(const struct profile_section *p) {
    return has_keys(p) && !has(p, "role_arn") && !has_sso(p);
}

static enum credential_found keys(struct walk *w, const struct profile_section *p, struct credential_draft *ret,
                                  struct err *e) {
    struct arena *a = w->c->arena;
    struct str id = profile_value(p, "aws_access_key_id"), secret = profile_value(p, "aws_secret_access_key");
    if (!secret.n)
        return credential_failed(e, "%s: aws_access_key_id is set, but aws_secret_access_key is not",
                                 where(w, p, "aws_access_key_id"));
    if (!id.n)
        return credential_failed(e, "%s: aws_secret_access_key is set, but aws_access_key_id is not",
                                 where(w, p, "aws_secret_access_key"));
    struct credential_draft d = {.access_key = arena_str(a, id),
                                 .secret_key = arena_str(a, secret),
                                 .session_token = arena_str(a, profile_value(p, "aws_session_token")),
                                 .account = arena_str(a, profile_value(p, "aws_account_id")),
                                 .source = arena_printf(a, "profile %.*s", STR_ARG(p->name))};
    if (draft_check(&d, 0, e)) {
        err_wrap(e, "%s", where(w, p, "aws_access_key_id"));
        draft_wipe(&d);
        return CREDENTIAL_FAILED;
    }
    *ret = d;
    return CREDENTIAL_FOUND;
}

/* ==== roles ==== */

static enum credential_found resolve(struct walk *w, const struct profile_section *p, struct credential_draft *ret,
                                     struct err *e);

static enum credential_found loops(struct walk *w, const struct profile_section *p, struct err *e) {
    struct buf names = BUF_MAX(400);
    for (int i = 0; i < w->n; i++) buf_printf(&names, "%.*s -> ", STR_ARG(str_take(w->visited[i]->name, 60)));
    buf_str(&names, str_take(p->name, 60));
    credential_failed(e, "source_profile goes round in a circle: %s", buf_cstr(&names));
    buf_free(&names);
    return CREDENTIAL_FAILED;
}

static enum credential_found from_source_profile(struct walk *w, const struct profile_section *p,
                                                 struct credential_draft *ret, struct err *e) {
    struct str name = profile_value(p, "source_profile");
    const struct profile_section *source = profiles_find(&w->c->settings->profiles, PROFILE_PROFILE, name);
    const char *at = where(w, p, "source_profile");
    if (!source) return credential_failed(e, "%s: there is no profile '%.*s'", at, STR_ARG(name));
    if (source == p && has_keys(p)) return keys(w, p, ret, e);
    for (int i = 0; i < w->n; i++)
        if (w->visited[i] == source) return loops(w, source, e);
    if (w->n == CHAIN_MAX) return credential_failed(e, "%s: the chain has more than 16 profiles", at);
    enum credential_found found = has_keys(source) ? keys(w, source, ret, e) : resolve(w, source, ret, e);
    if (found != CREDENTIAL_ABSENT) return found;
    return credential_failed(e, "%s: profile %.*s has no credentials", at, STR_ARG(name));
}

static enum credential_found from_credential_source(struct walk *w, const struct profile_section *p,
                                                    struct credential_draft *ret, struct err *e) {
    struct str v = profile_value(p, "credential_source");
    struct err why = {0};
    enum credential_found found;
    if (str_ieq(v, STR("Environment")))
        found = credentials_from_environment(w->c, ret, &why);
    else if (str_ieq(v, STR("Ec2InstanceMetadata")))
        found = credentials_from_imds(w->c, ret, &why);
    else if (str_ieq(v, STR("EcsContainer")))
        found = credentials_from_container(w->c, ret, &why);
    else
        return credential_failed(e, "%s: '%.*s' is none of Environment, Ec2InstanceMetadata, EcsContainer",
                                 where(w, p, "credential_source"), STR_ARG(str_take(v, 60)));
    if (found == CREDENTIAL_FOUND) return found;
    return credential_failed(e, "%s: %s", where(w, p, "credential_source"), why.msg);
}

static int duration_of(struct walk *w, const struct profile_section *p, int64_t *ret, struct err *e) {
    struct str v = profile_value(p, "duration_seconds");
    *ret = 0;
    if (!v.n || (str_i64(v, ret) && *ret >= 900 && *ret <= 43200)) return 0;
    credential_failed(e, "%s: duration_seconds is not a number from 900 to 43200", where(w, p, "duration_seconds"));
    return -1;
}

static int request_of(struct walk *w, const struct profile_section *p, struct role_request *ret, struct err *e) {
    *ret = (struct role_request){.role_arn = profile_value(p, "role_arn"),
                                 .session_name = profile_value(p, "role_session_name"),
                                 .external_id = profile_value(p, "external_id")};
    if (has(p, "mfa_serial")) {
        credential_failed(e, "%s: mfa_serial is not supported: the role asks for a code that nobody is here to type",
                          where(w, p, "mfa_serial"));
        return -1;
    }
    return duration_of(w, p, &ret->duration_s, e);
}

static enum credential_found assume(struct walk *w, const struct profile_section *p, const struct role_request *r,
                                    struct credential_draft *ret, struct err *e) {
    struct credential_draft d = {0};
    if (sts_assume(w->c, r, &d, e))
        return credential_failed(e, "%s: role %.*s%s%.*s: %s", where(w, p, "role_arn"), STR_ARG(r->role_arn),
                                 r->by ? " through " : "", STR_ARG(r->by ? r->by->source : STR_NONE), e->msg);
    d.source = arena_printf(w->c->arena, "profile %.*s: role %.*s%s%.*s", STR_ARG(p->name), STR_ARG(r->role_arn),
                            r->by ? " through " : " of a web identity", STR_ARG(r->by ? r->by->source : STR_NONE));
    *ret = d;
    return CREDENTIAL_FOUND;
}

static enum credential_found role(struct walk *w, const struct profile_section *p, struct credential_draft *ret,
                                  struct err *e) {
    struct role_request r;
    struct credential_draft source = {0};
    bool by_profile = has(p, "source_profile"), by_source = has(p, "credential_source");
    bool web = has(p, "web_identity_token_file");
    const char *at = where(w, p, "role_arn");
    if (by_profile + by_source + web > 1)
        return credential_failed(
            e, "%s: only one of source_profile, credential_source and web_identity_token_file can be", at);
    if (by_profile + by_source + web == 0)
        return credential_failed(e, "%s: role_arn needs source_profile, credential_source or web_identity_token_file",
                                 at);
    if (request_of(w, p, &r, e)) return CREDENTIAL_FAILED;
    if (web) {
        r.web_token_file = arena_cstr(w->c->arena, profile_value(p, "web_identity_token_file"));
        return assume(w, p, &r, ret, e);
    }
    enum credential_found found =
        by_profile ? from_source_profile(w, p, &source, e) : from_credential_source(w, p, &source, e);
    if (found != CREDENTIAL_FOUND) return found;
    r.by = &source;
    found = assume(w, p, &r, ret, e);
    draft_wipe(&source);
    return found;
}

/* ==== one profile ==== */

static enum credential_found resolve(struct walk *w, const struct profile_section *p, struct credential_draft *ret,
                                     struct err *e) {
    w->visited[w->n++] = p;
    if (has(p, "role_arn")) return role(w, p, ret, e);
    if (has_sso(p)) return credentials_from_sso(w->c, p, ret, e);
    if (has_keys(p)) return keys(w, p, ret, e);
    if (has(p, "credential_process")) return credentials_from_process(w->c, p, ret, e);
    if (has(p, "login_session"))
        return credential_failed(e, "%s: login_session is not supported", where(w, p, "login_session"));
    if (has(p, "source_profile") || has(p, "credential_source") || has(p, "web_identity_token_file"))
        return credential_failed(e, "profile %.*s (%s:%d) lacks role_arn", STR_ARG(p->name), p->file, p->line);
    return credential_absent(e, "has no credentials (%s:%d)", p->file, p->line);
}

enum credential_found credentials_from_profile(struct chain *c, struct credential_draft *ret, struct err *e) {
    const struct profiles *all = &c->settings->profiles;
    const struct profile_section *p = settings_profile(c->settings);
    struct walk w = {.c = c};
    if (p) return resolve(&w, p, ret, e);
    if (!all->config_file && !all->credentials_file) return credential_absent(e, "there are no files, HOME is not set");
    return credential_absent(e, "is neither in %s nor in %s", all->config_file ? all->config_file : "~/.aws/config",
                             all->credentials_file ? all->credentials_file : "~/.aws/credentials");
}
