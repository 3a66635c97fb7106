/* host_cloud.c: the one place that knows of two clouds: the embedded engine and AWS. */
#include "host.h"
#include <stdlib.h>
#include <string.h>

enum {
    PROBE_KEEP_MS = 5000, /* an answer of AWS counts for so long */
    PROBE_MS = 3000,      /* and is waited for so long */
};

/* -- options --------------------------------------------------------------------------------------------------------
 */

static int check_engine(const struct perigee_config *c, struct err *e) {
    const struct {
        const char *name;
        bool given;
    } all[] = {{"profile", c->profile},
               {"region", c->region},
               {"endpoint-url", c->endpoint_url},
               {"account", c->account},
               {"stack", c->stack},
               {"create", c->create},
               {"resources", c->resources},
               {"lease-table", c->lease_table},
               {"session-token", c->session_token}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given) return err_set(e, ERR_CONFIG, "--%s goes with --aws, and only with it", all[i].name);
    return 0;
}

int cloud_check(const struct perigee_config *c, struct err *e) {
    if (!c->aws) return check_engine(c, e);
    if (c->data)
        return err_set(e, ERR_CONFIG, "--data is the embedded engine's: with --aws nothing is kept in %s", c->data);
    if (c->memory) return err_set(e, ERR_CONFIG, "--memory is the embedded engine's: it does not go with --aws");
    if (c->public_cloud_url && *c->public_cloud_url)
        return err_set(
            e, ERR_CONFIG,
            "--public-cloud-url is the embedded engine's: with --aws presigned links begin with S3's address");
    if (!c->access_key != !c->secret_key)
        return err_set(e, ERR_CONFIG, "--access-key-id and --secret-access-key go together");
    if (c->keys || c->no_verify || c->control)
        return err_set(e, ERR_CONFIG, "--%s is the embedded engine's: it does not go with --aws",
                       c->keys        ? "keys"
                       : c->no_verify ? "no-verify"
                                      : "control");
    return host_check_account(c, e);
}

enum local_control host_control(const struct perigee_config *c) {
    return c->control ? LOCAL_CONTROL_ON : c->development ? LOCAL_CONTROL_LOOPBACK : LOCAL_CONTROL_OFF;
}

int host_check_account(const struct perigee_config *c, struct err *e) {
    for (size_t i = 0; c->account && i <= 12; i++)
        if (i < 12 ? c->account[i] < '0' || c->account[i] > '9' : c->account[i] != 0)
            return err_set(e, ERR_CONFIG, "--account: '%s' is not 12 digits", c->account);
    return 0;
}

/* -- open, attach -----------------------------------------------------------------------------------------------------
 */

static int open_remote(struct cloud *c, const struct cloud_config *cfg, struct err *e) {
    struct remote_config rc = {
        .region = cfg->config->region,
        .profile = cfg->config->profile,
        .endpoint_url = cfg->config->endpoint_url,
        .access_key = cfg->config->access_key,
        .secret_key = cfg->config->secret_key,
        .session_token = cfg->config->session_token,
        .clock = cfg->clock,
        .log = cfg->log,
        .metrics = cfg->metrics,
    };
    return remote_open(&rc, &c->remote, e);
}

static int open_local(struct cloud *c, const struct cloud_config *cfg, struct err *e) {
    struct local_config lc = {
        .dir = cfg->config->memory ? NULL
               : cfg->config->data ? cfg->config->data
                                   : PERIGEE_DATA,
        .access_key = cfg->config->access_key,
        .secret_key = cfg->config->secret_key,
        .keys = cfg->config->keys,
        .no_verify = cfg->config->no_verify,
        .control = host_control(cfg->config),
        .strict_ses = cfg->config->strict_ses,
        .clock = cfg->clock,
        .log = (struct log *)cfg->log,
        .metrics = cfg->metrics,
        .pool = cfg->pool,
        .threadless = cfg->threadless,
        .image = cfg->image,
    };
    return local_open(&lc, &c->local, e);
}

int cloud_open(struct cloud *c, const struct cloud_config *cfg, struct err *e) {
    return cfg->config->aws ? open_remote(c, cfg, e) : open_local(c, cfg, e);
}

void cloud_close(struct cloud *c) {
    if (c->local) local_close(c->local);
    if (c->remote) remote_close(c->remote);
    *c = (struct cloud){0};
}

struct str cloud_queue_base(const struct cloud *c) {
    return c->remote ? remote_queue_base(c->remote) : STR("http://127.0.0.1/000000000000");
}

int cloud_attach(const struct cloud *c, struct loop *loop, struct cloud_conn *ret, struct err *e) {
    *ret = (struct cloud_conn){.loop = loop};
    list_init(&ret->probes);
    return c->remote ? remote_attach(c->remote, loop, &ret->remote, e) : local_attach(c->local, loop, &ret->local, e);
}

bool cloud_is_attached(const struct cloud_conn *c) {
    return c->local || c->remote;
}

struct aws_backend *cloud_backend(const struct cloud_conn *c) {
    return c->remote ? remote_backend(c->remote) : local_backend(c->local);
}

/* -- readiness
 * ---------------------------------------------------------------------------------------------------------- */

struct cloud_waiter {
    struct list node;
    void (*fn)(void *ud, const struct err *e);
    void *ud;
};

static void tell_waiters(struct cloud_conn *c, const struct err *e) {
    while (!list_empty(&c->probes)) {
        struct cloud_waiter *w = CONTAINER(c->probes.next, struct cloud_waiter, node);
        list_del(&w->node);
        w->fn(w->ud, e);
        free(w);
    }
}

/* Who may not look is known there: the credentials are good and the service answers. */
static void probed(struct aws_call *call, void *ud) {
    struct cloud_conn *c = ud;
    c->probe = NULL;
    c->probed_ms = loop_now_ms(c->loop);
    c->probe_err = (struct err){0};
    if (call->err.code && !cloud_is_denied(&call->err)) c->probe_err = call->err;
    aws_call_free(call);
    tell_waiters(c, c->probe_err.code ? &c->probe_err : NULL);
}

/* The cheapest call there is to something the template declares; NULL when it declares nothing. */
static struct aws_call *probe_call(const struct app *app) {
    if (app->n_tables) return cloud_look(AWS_DYNAMODB_DescribeTable, "TableName", app->tables[0].name);
    if (app->n_queues) return cloud_look(AWS_SQS_GetQueueUrl, "QueueName", app->queues[0].name);
    if (app->n_buckets) return cloud_look(AWS_S3_HeadBucket, "Bucket", app->buckets[0].name);
    return NULL;
}

static void probe_remote(struct cloud_conn *c, const struct app *app, void (*fn)(void *ud, const struct err *e),
                         void *ud) {
    bool fresh = c->probed_ms && loop_now_ms(c->loop) - c->probed_ms < PROBE_KEEP_MS;
    struct aws_call *call = fresh || c->probe ? NULL : probe_call(app);
    if (!call && !c->probe) {
        fn(ud, c->probe_err.code ? &c->probe_err : NULL);
        return;
    }
    struct cloud_waiter *w = malloc(sizeof *w);
    if (!w) fatal("out of memory");
    *w = (struct cloud_waiter){.fn = fn, .ud = ud};
    list_add(&c->probes, &w->node);
    if (!call) return;
    c->probe = call;
    call->done = probed;
    call->ud = c;
    call->context.deadline_ms = now_mono_ms() + PROBE_MS;
    if (aws_start(cloud_backend(c), c->loop, call) == AWS_DONE) probed(call, c);
}

void cloud_probe(struct cloud_conn *c, const struct app *app, void (*fn)(void *ud, const struct err *e), void *ud) {
    if (c->local)
        local_probe(c->local, fn, ud);
    else
        probe_remote(c, app, fn, ud);
}

void cloud_detach(struct cloud_conn *c) {
    struct err closed = {0};
    if (c->remote) {
        err_set(&closed, ERR_CANCELLED, "the host stops");
        if (c->probe) aws_cancel(c->probe);
        tell_waiters(c, &closed);
        remote_detach(c->remote);
    }
    local_detach(c->local);
    c->local = NULL;
    c->remote = NULL;
    c->probe = NULL;
}

/* -- calls that look for something
 * ---------------------------------------------------------------------------------------- */

struct aws_call *cloud_look(enum aws_op op, const char *member, struct str name) {
    struct aws_call *c = aws_call_new(op);
    c->params = json_make_obj();
    json_set(&c->arena, &c->params, member, json_make_str(arena_str(&c->arena, name)));
    return c;
}

bool cloud_is_missing(const struct err *e) {
    if (e->code == ERR_DDB_NOT_FOUND || e->code == ERR_SQS_NO_QUEUE || e->code == ERR_S3_NO_BUCKET) return true;
    return err_status_of(e) == 404 || !strcmp(err_name_of(e), "AWS.SimpleQueueService.NonExistentQueue");
}

bool cloud_is_denied(const struct err *e) {
    const char *name = err_name_of(e);
    bool bare = !strcmp(name, "403") || !strcmp(name, "Forbidden"); /* of a HEAD, which has no body to say more */
    return e->code == ERR_ACCESS_DENIED || e->code == ERR_S3_DENIED || bare || !strcmp(name, "AccessDenied") ||
           !strcmp(name, "AccessDeniedException") || !strcmp(name, "UnauthorizedOperation");
}
