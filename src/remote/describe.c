/* Settings in effect, counters, the last error: for people. No secrets. */
#include "remote/internal.h"

static void set_c(struct arena *a, struct json *o, const char *key, const char *value) {
    json_set(a, o, key, value ? json_make_str(arena_str(a, str_c(value))) : json_make_null());
}

static void set_s(struct arena *a, struct json *o, const char *key, struct str value) {
    json_set(a, o, key, json_make_str(arena_str(a, value)));
}

static void set_n(struct arena *a, struct json *o, const char *key, uint64_t value) {
    json_set(a, o, key, json_make_i64(a, (int64_t)value));
}

static void set_time(struct arena *a, struct json *o, const char *key, int64_t unix_ms) {
    char text[25];
    now_iso(unix_ms, text);
    set_c(a, o, key, unix_ms ? text : NULL);
}

/* "AKIA…MPLE"; of short ids nothing. */
static struct str masked(struct arena *a, struct str id) {
    if (id.n < 12) return STR("…");
    return arena_printf(a, "%.4s…%.4s", id.p, id.p + id.n - 4);
}

static struct json credentials_json(struct remote *r, struct arena *a) {
    struct json o = json_make_obj();
    struct credential_stats stats;
    struct err why = {0};
    struct credentials *c = credentials_get(r->credentials, NULL, &why);
    if (c) {
        set_s(a, &o, "source", c->source);
        set_s(a, &o, "access_key_id", masked(a, c->access_key));
        set_time(a, &o, "expires", c->expires_ms);
    } else {
        set_c(a, &o, "source", NULL);
        if (why.code) set_c(a, &o, "error", why.msg);
    }
    credentials_unref(c);
    credentials_stats(r->credentials, &stats);
    set_n(a, &o, "fetches", stats.fetches);
    set_n(a, &o, "failures", stats.failures);
    if (stats.last_failure_ms) {
        set_time(a, &o, "last_failure_at", stats.last_failure_ms);
        set_c(a, &o, "last_failure", stats.last_failure);
    }
    return o;
}

/* One service: where its calls go, why there, what the retry quota has left, how its clock differs. */
static struct json service_json(struct remote *r, enum aws_service s, struct arena *a) {
    struct json o = json_make_obj();
    struct endpoint ep;
    struct err e = {0};
    const char *source = r->settings.endpoints[s].url.n ? r->settings.endpoints[s].source : "default";
    if (endpoint_resolve(&r->settings, s, STR_NONE, STR_NONE, a, &ep, &e))
        set_c(a, &o, "error", e.msg);
    else
        set_s(a, &o, "endpoint", arena_printf(a, "%.*s%.*s", STR_ARG(ep.base), STR_ARG(ep.path)));
    set_c(a, &o, "source", source);
    set_n(a, &o, "max_attempts", retry_max_attempts(&r->settings, s));
    set_n(a, &o, "retry_quota", retry_tokens(r->quota[s]));
    if (r->settings.retry_mode == RETRY_ADAPTIVE)
        json_set(a, &o, "sends_per_second", json_make_num(arena_printf(a, "%.3f", retry_send_rate(r->quota[s]))));
    json_set(a, &o, "clock_correction_ms", json_make_i64(a, atomic_load(&r->correction_ms[s])));
    return o;
}

static struct json counters_json(struct remote *r, struct arena *a) {
    static const struct {
        const char *name;
        enum metric id;
    } rows[] = {{"attempts", METRIC_AWS_ATTEMPTS},
                {"retries", METRIC_AWS_RETRIES},
                {"throttles", METRIC_AWS_THROTTLES},
                {"timeouts", METRIC_AWS_TIMEOUTS},
                {"retry_quota_exhausted", METRIC_AWS_QUOTA_EMPTY},
                {"clock_corrections", METRIC_AWS_CLOCK_CORRECTIONS},
                {"credentials_refused", METRIC_AWS_CREDENTIALS_REFUSED}};
    struct json o = json_make_obj();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        set_n(a, &o, rows[i].name, atomic_load(&r->count[rows[i].id]));
    return o;
}

static struct json failure_json(struct remote *r, struct arena *a) {
    struct json o = json_make_obj();
    pthread_mutex_lock(&r->lock);
    struct remote_failure f = r->failure;
    pthread_mutex_unlock(&r->lock);
    if (!f.unix_ms) return json_make_null();
    set_c(a, &o, "call", f.what);
    set_time(a, &o, "at", f.unix_ms);
    set_c(a, &o, "code", err_name_of(&f.err));
    set_c(a, &o, "message", f.err.msg);
    set_c(a, &o, "request_id", f.request_id[0] ? f.request_id : NULL);
    return o;
}

void remote_describe(struct aws_backend *b, struct arena *a, struct json *ret) {
    struct remote *r = ((struct remote_conn *)b)->remote;
    const struct settings *s = &r->settings;
    struct json services = json_make_obj();
    *ret = json_make_obj();
    set_c(a, ret, "backend", "remote");
    set_s(a, ret, "region", s->region);
    set_c(a, ret, "region_source", s->region_source);
    set_s(a, ret, "account", b->id.account);
    set_s(a, ret, "partition", b->id.partition);
    set_s(a, ret, "profile", s->profile);
    set_c(a, ret, "profile_source", s->profile_source);
    json_set(a, ret, "credentials", credentials_json(r, a));
    set_c(a, ret, "retry_mode", s->retry_mode == RETRY_ADAPTIVE ? "adaptive" : "standard");
    for (int i = 0; i < AWS_SERVICES; i++)
        json_set(a, &services, aws_service_name((enum aws_service)i), service_json(r, (enum aws_service)i, a));
    json_set(a, ret, "services", services);
    json_set(a, ret, "counters", counters_json(r, a));
    json_set(a, ret, "last_error", failure_json(r, a));
}
