/* Opening, what workers share, and their connections. */
#include "remote/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* == what workers share =============================================================================================
 */

/* Characters of a user agent's parts; all others become '-'. */
static struct str agent_part(struct arena *a, const char *s) {
    char *p = arena_cstr(a, str_c(s));
    for (char *c = p; *c; c++) {
        bool alnum = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z');
        if (!alnum && !strchr("!$%&'*+-.^_`|~,", *c)) *c = '-';
    }
    return str_take(str_c(p), 128);
}

/* AWS SDKs' user agent 2.1: "perigee/0.1.0 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/lua#5.4 cfg/retry-mode#standard"
 */
static struct str user_agent(const struct settings *s, struct arena *a) {
    struct utsname u = {.release = "unknown", .machine = "unknown"};
    struct buf b = BUF_MAX(1024);
    const char *where = settings_env(s, "AWS_EXECUTION_ENV");
    uname(&u);
    buf_c(&b, "perigee/" PERIGEE_VERSION " ua/2.1 os/linux#");
    buf_str(&b, agent_part(a, u.release));
    buf_c(&b, " md/arch#");
    buf_str(&b, agent_part(a, u.machine));
    buf_c(&b, " lang/lua#5.4 cfg/retry-mode#");
    buf_c(&b, s->retry_mode == RETRY_ADAPTIVE ? "adaptive" : "standard");
    if (where) buf_c(&b, " exec-env/");
    if (where) buf_str(&b, agent_part(a, where));
    if (s->app_id) buf_c(&b, " app/");
    if (s->app_id) buf_str(&b, agent_part(a, s->app_id));
    struct str ret = arena_str(a, buf_view(&b));
    buf_free(&b);
    return ret;
}

/* Region, partition and the base of queue URLs, from settings and account. Without a region there is no endpoint of
 * the service's own: then the base is empty. */
static void set_identity(struct remote *r, struct str account) {
    struct endpoint sqs;
    const struct settings *s = &r->settings;
    r->id.account = arena_str(&r->arena, account);
    r->id.region = s->region;
    r->id.partition = str_c(s->region.n ? endpoint_partition(s->region) : "aws");
    r->queue_base = STR_NONE;
    if (!endpoint_resolve(s, AWS_SQS, STR_NONE, STR_NONE, &r->arena, &sqs, NULL))
        r->queue_base =
            arena_printf(&r->arena, "%.*s%.*s/%.*s", STR_ARG(sqs.base), STR_ARG(sqs.path), STR_ARG(r->id.account));
}

int remote_open(const struct remote_config *c, struct remote **ret, struct err *e) {
    struct remote *r = calloc(1, sizeof *r);
    if (!r || pthread_mutex_init(&r->lock, NULL)) fatal("out of memory");
    r->clock = c->clock;
    r->log = c->log;
    r->metrics = c->metrics;
    if (settings_read(c, &r->settings, e)) goto fail;
    if (credential_store_open(&r->settings, &r->credentials, e)) goto fail_settings;
    for (int i = 0; i < AWS_SERVICES; i++) r->quota[i] = retry_quota_new(r->settings.retry_mode, now_mono_ms());
    r->user_agent = user_agent(&r->settings, &r->arena);
    set_identity(r, STR("000000000000"));
    *ret = r;
    return 0;
fail_settings:
    settings_free(&r->settings);
fail:
    pthread_mutex_destroy(&r->lock);
    free(r);
    return -1;
}

void remote_close(struct remote *r) {
    if (!r) return;
    if (atomic_load(&r->connections)) fatal("remote: closed with %u connections", atomic_load(&r->connections));
    credential_store_close(r->credentials);
    for (int i = 0; i < AWS_SERVICES; i++) retry_quota_free(r->quota[i]);
    settings_free(&r->settings);
    map_free(&r->bucket_regions);
    arena_free(&r->bucket_arena);
    arena_free(&r->arena);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

int remote_prepare(struct remote *r, struct err *e) {
    struct settings *s = &r->settings;
    struct credentials *c = credentials_wait(r->credentials, e);
    if (!c) return -1;
    struct str account = c->account.n ? c->account : r->id.account;
    if (!s->region.n) {
        struct err why = {0};
        if (credentials_imds_region(s, &s->arena, &s->region, &why)) {
            credentials_unref(c);
            return err_set(e, ERR_CONFIG,
                           "no region: set AWS_REGION, AWS_DEFAULT_REGION or `region` in profile %.*s; "
                           "instance metadata was asked too: %s",
                           STR_ARG(s->profile), why.msg);
        }
        s->region_source = "instance metadata";
    }
    set_identity(r, account);
    credentials_unref(c);
    return 0;
}

void remote_set_account(struct remote *r, struct str account) {
    set_identity(r, account);
}

struct aws_identity remote_identity(const struct remote *r) {
    return r->id;
}

struct str remote_queue_base(const struct remote *r) {
    return r->queue_base;
}

/* == counters, the last failure, regions of buckets =================================================================
 */

void remote_count(struct remote *r, enum metric id) {
    metric_add(r->metrics, id, 1);
    atomic_fetch_add_explicit(&r->count[id], 1, memory_order_relaxed);
}

void remote_failed(struct remote *r, const struct aws_call *c) {
    pthread_mutex_lock(&r->lock);
    struct remote_failure *f = &r->failure;
    snprintf(f->what, sizeof f->what, "%s %s", aws_service_name(c->row->service), c->row->action);
    f->err = c->err;
    memcpy(f->request_id, c->request_id, sizeof f->request_id);
    f->unix_ms = clock_ms(NULL);
    pthread_mutex_unlock(&r->lock);
}

enum { BUCKETS_MAX = 1024 };

struct str remote_bucket_region(struct remote *r, struct str bucket, struct arena *a) {
    if (!bucket.n) return STR_NONE;
    pthread_mutex_lock(&r->lock);
    const char *region = map_get(&r->bucket_regions, bucket);
    struct str ret = region ? arena_str(a, str_c(region)) : STR_NONE;
    pthread_mutex_unlock(&r->lock);
    return ret;
}

void remote_learn_bucket(struct remote *r, struct str bucket, struct str region) {
    pthread_mutex_lock(&r->lock);
    if (r->bucket_arena.used > BUCKETS_MAX * 128) {
        map_free(&r->bucket_regions);
        r->bucket_regions = (struct map){0};
        arena_reset(&r->bucket_arena);
    }
    map_put(&r->bucket_regions, arena_str(&r->bucket_arena, bucket), arena_cstr(&r->bucket_arena, region));
    pthread_mutex_unlock(&r->lock);
}

/* == a worker's connection ==========================================================================================
 */

static int64_t now_ms(struct aws_backend *b) {
    return clock_ms(((struct remote_conn *)b)->remote->clock);
}

static const struct aws_backend_ops backend_ops = {call_start,          call_cancel, remote_presign,
                                                   remote_presign_post, now_ms,      remote_describe};

int remote_attach(struct remote *r, struct loop *loop, struct remote_conn **ret, struct err *e) {
    struct remote_conn *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory");
    struct transport_config t = {.loop = loop, .ca_bundle = r->settings.ca_bundle, .proxies = r->settings.proxies};
    if (transport_open(&t, &c->transport, e)) {
        free(c);
        return -1;
    }
    c->backend = (struct aws_backend){&backend_ops, r->id};
    c->remote = r;
    c->loop = loop;
    list_init(&c->calls);
    for (int i = 0; i < AWS_SERVICES; i++) {
        c->pace[i] = (struct remote_pace){.conn = c, .service = (enum aws_service)i};
        list_init(&c->pace[i].waiting);
    }
    atomic_fetch_add(&r->connections, 1);
    *ret = c;
    return 0;
}

void remote_detach(struct remote_conn *c) {
    if (!c) return;
    while (!list_empty(&c->calls)) loop_once(c->loop, 100);
    for (int i = 0; i < AWS_SERVICES; i++) loop_timer_stop(c->loop, &c->pace[i].timer);
    transport_close(c->transport);
    sign_key_cache_wipe(&c->keys);
    arena_free(&c->arena);
    atomic_fetch_sub(&c->remote->connections, 1);
    free(c);
}

struct aws_backend *remote_backend(struct remote_conn *c) {
    return &c->backend;
}

int conn_endpoint(struct remote_conn *c, enum aws_service service, struct str bucket, struct str region,
                  struct arena *a, struct endpoint *ret, struct err *e) {
    const struct settings *s = &c->remote->settings;
    if (service == AWS_S3) return endpoint_resolve(s, service, bucket, region, a, ret, e);
    struct endpoint *known = &c->endpoints[service];
    if (!c->resolved[service] && endpoint_resolve(s, service, STR_NONE, STR_NONE, &c->arena, known, e)) return -1;
    c->resolved[service] = true;
    *ret = *known;
    return 0;
}
