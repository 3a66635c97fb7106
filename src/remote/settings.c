#include "remote/settings.h"
#include "base/url.h"
#include "remote/endpoint.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* One setting found: the explicit one, else the variable, else the profile's key. */
struct found {
    struct str value; /* empty: nowhere */
    const char *source;
};

static int bad(const struct found *f, const char *want, struct err *e) {
    return err_set(e, ERR_CONFIG, "%s: '%.*s' is not %s", f->source, STR_ARG(str_take(f->value, 100)), want);
}

/* ==== sources ==== */

const char *settings_env(const struct settings *s, const char *name) {
    const char *v = s->env.get ? s->env.get(s->env.ud, name) : getenv(name);
    return v && str_trim(str_c(v)).n ? v : NULL;
}

const struct profile_section *settings_profile(const struct settings *s) {
    return profiles_find(&s->profiles, PROFILE_PROFILE, s->profile);
}

const char *settings_where(struct arena *a, const struct profile_section *section, const struct profile_property *p) {
    return arena_printf(a, "profile %.*s (%s:%d)", STR_ARG(section->name), p->file, p->line).p;
}

static struct found in_profile(struct settings *s, const char *key) {
    const struct profile_section *section = settings_profile(s);
    const struct profile_property *p = profile_property(section, key);
    if (!p || !p->value.n) return (struct found){0};
    return (struct found){p->value, settings_where(&s->arena, section, p)};
}

static struct found in_env(struct settings *s, const char *name) {
    const char *v = settings_env(s, name);
    if (!v) return (struct found){0};
    return (struct found){arena_str(&s->arena, str_trim(str_c(v))), arena_printf(&s->arena, "%s", name).p};
}

static struct found lookup(struct settings *s, const char *variable, const char *key) {
    struct found f = in_env(s, variable);
    return f.value.n || !key ? f : in_profile(s, key);
}

static int read_bool(struct settings *s, const char *variable, const char *key, bool *ret, struct err *e) {
    struct found f = lookup(s, variable, key);
    *ret = str_ieq(f.value, STR("true"));
    return !f.value.n || *ret || str_ieq(f.value, STR("false")) ? 0 : bad(&f, "true or false", e);
}

static int read_number(struct settings *s, const char *variable, const char *key, int64_t max, int64_t *ret,
                       struct err *e) {
    struct found f = lookup(s, variable, key);
    if (!f.value.n) return 0;
    if (!str_i64(f.value, ret) || *ret < 1 || *ret > max)
        return err_set(e, ERR_CONFIG, "%s: '%.*s' is not a number from 1 to %lld", f.source,
                       STR_ARG(str_take(f.value, 100)), (long long)max);
    return 0;
}

/* *ret: the index in words of the value, in any case; untouched when it is set nowhere. */
static int read_word(struct settings *s, const char *variable, const char *key, const char *const *words, int *ret,
                     struct err *e) {
    struct found f = variable ? lookup(s, variable, key) : in_profile(s, key);
    struct buf all = BUF_MAX(512);
    if (!f.value.n) return 0;
    for (int i = 0; words[i]; i++) {
        if (str_ieq(f.value, str_c(words[i]))) {
            *ret = i;
            buf_free(&all);
            return 0;
        }
        buf_printf(&all, "%s%s", i ? (words[i + 1] ? ", " : " or ") : "", words[i]);
    }
    bad(&f, buf_cstr(&all), e);
    buf_free(&all);
    return -1;
}

/* ==== profile ==== */

static const char *file_of(struct settings *s, const char *variable, const char *below_home) {
    const char *home = settings_env(s, "HOME"), *named = settings_env(s, variable);
    if (!named) return home ? arena_printf(&s->arena, "%s/.aws/%s", home, below_home).p : NULL;
    if (home && named[0] == '~' && (named[1] == '/' || !named[1]))
        return arena_printf(&s->arena, "%s%s", home, named + 1).p;
    return arena_cstr(&s->arena, str_c(named));
}

static const char *file_note(const char *file, bool found) {
    return !file ? " (HOME is not set)" : found ? "" : " (does not exist)";
}

static int no_profile(struct settings *s, struct err *e) {
    const struct profiles *p = &s->profiles;
    const struct profile_section *near = profiles_find(p, PROFILE_IGNORED, s->profile);
    char hint[320] = "";
    if (near)
        snprintf(hint, sizeof hint, "; [%.*s] at %s:%d does not count: in this file it is written [profile %.*s]",
                 STR_ARG(s->profile), near->file, near->line, STR_ARG(s->profile));
    return err_set(e, ERR_CONFIG, "profile '%.*s' (of %s) is neither in %s%s nor in %s%s%s", STR_ARG(s->profile),
                   s->profile_source, p->config_file ? p->config_file : "~/.aws/config",
                   file_note(p->config_file, p->config_found),
                   p->credentials_file ? p->credentials_file : "~/.aws/credentials",
                   file_note(p->credentials_file, p->credentials_found), hint);
}

static int read_profile(struct settings *s, const struct remote_config *c, struct err *e) {
    const char *variable = settings_env(s, "AWS_PROFILE");
    s->profile_explicit = c->profile && c->profile[0];
    s->profile_source = s->profile_explicit ? "--profile" : variable ? "AWS_PROFILE" : "default";
    s->profile = arena_str(&s->arena, str_c(s->profile_explicit ? c->profile : variable ? variable : "default"));
    if (profiles_read(&s->profiles, &s->arena, file_of(s, "AWS_CONFIG_FILE", "config"),
                      file_of(s, "AWS_SHARED_CREDENTIALS_FILE", "credentials"), e))
        return -1;
    if (!s->profile_explicit && !variable) return 0;
    return settings_profile(s) || str_is(s->profile, "default") ? 0 : no_profile(s, e);
}

/* ==== region and endpoints ==== */

static int read_region(struct settings *s, const struct remote_config *c, struct err *e) {
    struct found f = {str_trim(str_c(c->region)), "--region"};
    if (!f.value.n) f = in_env(s, "AWS_REGION");
    if (!f.value.n) f = lookup(s, "AWS_DEFAULT_REGION", "region");
    if (!f.value.n) return 0;
    if (!endpoint_region_ok(f.value)) return bad(&f, "the name of a region, as eu-west-1", e);
    s->region = arena_str(&s->arena, f.value);
    s->region_source = f.source;
    return 0;
}

static int take_url(struct settings *s, const struct found *f, struct settings_endpoint *ret, struct err *e) {
    struct url u;
    struct str v = f->value;
    if (url_parse(v, &u, e)) {
        e->code = ERR_CONFIG;
        return err_wrap(e, "%s", f->source);
    }
    if (u.query.n || str_chr(v, '?', 0) >= 0 || str_chr(v, '#', 0) >= 0)
        return err_set(e, ERR_CONFIG, "%s: the URL of an endpoint has neither a query nor a fragment", f->source);
    while (v.p[v.n - 1] == '/') v.n--;
    *ret = (struct settings_endpoint){arena_str(&s->arena, v), f->source};
    return 0;
}

/* The [services x] section of the profile, which must be there when it is named. */
static int services_of(struct settings *s, const struct profile_section **ret, struct err *e) {
    struct found f = in_profile(s, "services");
    *ret = f.value.n ? profiles_find(&s->profiles, PROFILE_SERVICES, f.value) : NULL;
    if (!f.value.n || *ret) return 0;
    return err_set(e, ERR_CONFIG, "%s: there is no section [services %.*s]", f.source, STR_ARG(f.value));
}

static struct found in_services(struct settings *s, const struct profile_section *services, const char *id) {
    char key[96];
    snprintf(key, sizeof key, "%s.endpoint_url", id);
    for (char *p = key; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    const struct profile_property *p = profile_property(services, key);
    if (!p || !p->value.n) return (struct found){0};
    return (struct found){
        p->value, arena_printf(&s->arena, "services %.*s (%s:%d)", STR_ARG(services->name), p->file, p->line).p};
}

static int read_endpoint(struct settings *s, const struct profile_section *services, const char *id,
                         struct settings_endpoint *ret, struct err *e) {
    char variable[96];
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s", id);
    struct found f = in_env(s, variable);
    if (!f.value.n) f = in_env(s, "AWS_ENDPOINT_URL");
    if (!f.value.n) f = in_services(s, services, id);
    if (!f.value.n) f = in_profile(s, "endpoint_url");
    return f.value.n ? take_url(s, &f, ret, e) : 0;
}

static int explicit_endpoint(struct settings *s, const char *url, struct err *e) {
    const struct found f = {str_trim(str_c(url)), "--endpoint-url"};
    if (take_url(s, &f, &s->sso_endpoint, e)) return -1;
    for (int i = 0; i < AWS_SERVICES; i++) s->endpoints[i] = s->sso_endpoint;
    return 0;
}

static int read_endpoints(struct settings *s, const struct remote_config *c, struct err *e) {
    bool ignore;
    const struct profile_section *services;
    if (read_bool(s, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls", &ignore, e)) return -1;
    if (str_trim(str_c(c->endpoint_url)).n) return explicit_endpoint(s, c->endpoint_url, e);
    if (ignore) return 0;
    if (services_of(s, &services, e)) return -1;
    for (int i = 0; i < AWS_SERVICES; i++) {
        const char *id = aws_service_row((enum aws_service)i)->endpoint_id;
        if (read_endpoint(s, services, id, &s->endpoints[i], e)) return -1;
    }
    return read_endpoint(s, services, "SSO", &s->sso_endpoint, e);
}

/* ==== S3 ==== */

/* Nested keys of s3 that change what a call does and that are not there: refused when set. */
static int refuse_s3(struct settings *s, const char *key, const char *only, const char *instead, struct err *e) {
    struct found f = in_profile(s, key);
    if (!f.value.n || str_ieq(f.value, str_c(only))) return 0;
    return err_set(e, ERR_CONFIG, "%s: %s = %.*s is not supported%s", f.source, key, STR_ARG(str_take(f.value, 100)),
                   instead);
}

static int read_s3(struct settings *s, struct err *e) {
    static const char *const styles[] = {"auto", "path", "virtual", NULL};
    int style = S3_ADDRESSING_AUTO;
    if (refuse_s3(s, "s3.use_accelerate_endpoint", "false", "", e)) return -1;
    if (refuse_s3(s, "s3.use_dualstack_endpoint", "false", "; set use_dualstack_endpoint of the profile", e)) return -1;
    if (refuse_s3(s, "s3.signature_version", "s3v4", "; requests are signed with s3v4", e)) return -1;
    if (read_word(s, NULL, "s3.addressing_style", styles, &style, e)) return -1;
    s->s3_addressing = (enum s3_addressing)style;
    return 0;
}

/* ==== retries, checksums, the rest ==== */

static int read_retry(struct settings *s, struct err *e) {
    static const char *const modes[] = {"standard", "adaptive", "legacy", NULL};
    int mode = RETRY_STANDARD;
    int64_t attempts = 0;
    if (read_word(s, "AWS_RETRY_MODE", "retry_mode", modes, &mode, e)) return -1;
    if (read_number(s, "AWS_MAX_ATTEMPTS", "max_attempts", 100, &attempts, e)) return -1;
    if (mode == 2 && s->log)
        log_event(s->log, LOG_WARN, "retry mode legacy is not supported: standard is used", "s", "source",
                  lookup(s, "AWS_RETRY_MODE", "retry_mode").source);
    s->retry_mode = mode == RETRY_ADAPTIVE ? RETRY_ADAPTIVE : RETRY_STANDARD;
    s->max_attempts = (unsigned)attempts;
    return 0;
}

static int read_checksums(struct settings *s, struct err *e) {
    static const char *const words[] = {"when_supported", "when_required", NULL};
    int request = CHECKSUM_WHEN_SUPPORTED, response = CHECKSUM_WHEN_SUPPORTED;
    if (read_word(s, "AWS_REQUEST_CHECKSUM_CALCULATION", "request_checksum_calculation", words, &request, e)) return -1;
    if (read_word(s, "AWS_RESPONSE_CHECKSUM_VALIDATION", "response_checksum_validation", words, &response, e))
        return -1;
    s->request_checksum = (enum checksum_mode)request;
    s->response_checksum = (enum checksum_mode)response;
    return 0;
}

static int read_ca_bundle(struct settings *s, const struct remote_config *c, struct err *e) {
    struct found f = {str_trim(str_c(c->ca_bundle)), "--ca-bundle"};
    if (!f.value.n) f = lookup(s, "AWS_CA_BUNDLE", "ca_bundle");
    if (!f.value.n) return 0;
    s->ca_bundle = arena_cstr(&s->arena, f.value);
    return access(s->ca_bundle, R_OK) ? bad(&f, "a file that can be read", e) : 0;
}

static const char *kept(struct settings *s, const char *v) {
    return v ? arena_cstr(&s->arena, str_c(v)) : NULL;
}

static void read_proxies(struct settings *s) {
    struct proxies p = proxies_of_environment(s->env.get, s->env.ud);
    s->proxies = (struct proxies){kept(s, p.http), kept(s, p.https), kept(s, p.except)};
}

static void read_app_id(struct settings *s) {
    struct found f = lookup(s, "AWS_SDK_UA_APP_ID", "sdk_ua_app_id");
    s->app_id = f.value.n ? f.value.p : NULL;
    if (f.value.n > 50 && s->log)
        log_event(s->log, LOG_WARN, "the application id is longer than the 50 characters that are recommended", "s",
                  "source", f.source);
}

static int read_flags(struct settings *s, struct err *e) {
    if (read_bool(s, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", &s->dualstack, e)) return -1;
    return read_bool(s, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", &s->fips, e);
}

/* ==== instance metadata ==== */

static int read_imds(struct settings *s, struct err *e) {
    static const char *const modes[] = {"ipv4", "ipv6", NULL};
    int mode = 0;
    bool v1_disabled; /* version 1 is never spoken */
    int64_t timeout_s = 1, attempts = 1;
    struct settings_endpoint own = {0};
    if (read_bool(s, "AWS_EC2_METADATA_DISABLED", NULL, &s->imds_disabled, e)) return -1;
    if (read_bool(s, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled", &v1_disabled, e)) return -1;
    if (read_word(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode", modes, &mode, e))
        return -1;
    struct found f = lookup(s, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
    if (f.value.n && take_url(s, &f, &own, e)) return -1;
    s->imds_endpoint = own.url.n ? own.url : mode ? STR("http://[fd00:ec2::254]") : STR("http://169.254.169.254");
    if (read_number(s, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", 60, &timeout_s, e)) return -1;
    if (read_number(s, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts", 10, &attempts, e))
        return -1;
    s->imds_timeout_ms = (uint64_t)timeout_s * 1000;
    s->imds_attempts = (unsigned)attempts;
    return 0;
}

/* ==== explicit keys ==== */

static const char *given(struct arena *a, const char *v) {
    return v && v[0] ? arena_cstr(a, str_c(v)) : NULL;
}

static int read_keys(struct settings *s, const struct remote_config *c, struct err *e) {
    s->access_key = given(&s->arena, c->access_key);
    s->secret_key = given(&s->arena, c->secret_key);
    s->session_token = given(&s->arena, c->session_token);
    if (!s->access_key == !s->secret_key && (s->access_key || !s->session_token)) return 0;
    return err_set(e, ERR_CONFIG, "explicit credentials lack the %s", s->access_key ? "secret key" : "access key");
}

int settings_read(const struct remote_config *c, struct settings *ret, struct err *e) {
    struct settings s = {.env = c->env, .clock = c->clock, .log = c->log};
    if (read_keys(&s, c, e) || read_profile(&s, c, e) || read_region(&s, c, e) || read_endpoints(&s, c, e) ||
        read_flags(&s, e) || read_s3(&s, e) || read_retry(&s, e) || read_checksums(&s, e) || read_ca_bundle(&s, c, e) ||
        read_imds(&s, e)) {
        settings_free(&s);
        return -1;
    }
    read_proxies(&s);
    read_app_id(&s);
    *ret = s;
    return 0;
}

static void wipe(const char *secret) {
    if (secret) explicit_bzero((char *)secret, strlen(secret));
}

void settings_free(struct settings *s) {
    wipe(s->secret_key);
    wipe(s->session_token);
    profiles_wipe(&s->profiles);
    arena_free(&s->arena);
    *s = (struct settings){0};
}
