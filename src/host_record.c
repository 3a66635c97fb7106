/* host_record.c: which jobs are recorded, and as what: docs/replay.md has the format. The recorder of a worker is told
 * of its jobs by the script's observer and of their calls by the worker's probe. */
#include "base/fs.h"
#include "host.h"
#include <string.h>

enum { BODY_KEPT = 1 << 20, SOURCES_KEPT = 64 << 20 };
#define DIRECTORY "recordings"

struct worker_record {
    struct worker *worker;
    struct recorder *recorder;
    struct script_observer observer;
    struct record_table *tables;
    struct record_rules rules; /* of those that are kept in memory */
    struct list kept;          /* struct kept_record; for perigee.host */
    bool in_memory;
};

/* == members ======================================================================================================= */

static void write_pair(struct buf *b, bool first, struct str name, struct str value) {
    buf_c(b, first ? "[" : ",[");
    json_write_str(b, name);
    buf_byte(b, ',');
    json_write_str(b, value);
    buf_byte(b, ']');
}

/* Of header lines that are ended by LF. */
static void write_head(struct buf *b, struct str head) {
    bool first = true;
    buf_c(b, "\"headers\":[");
    while (head.n) {
        struct str line = str_cut(&head, '\n'), name = str_cut(&line, ':');
        if (!name.n) continue;
        write_pair(b, first, name, str_trim(line));
        first = false;
    }
    buf_c(b, "],");
}

static void write_request(struct buf *b, const struct http_request *q) {
    buf_c(b, "\"request\":{");
    record_text(b, "method", q->method);
    record_text(b, "target", q->target);
    record_text(b, "remote_ip", q->remote_ip);
    buf_c(b, "\"headers\":[");
    for (size_t i = 0; i < q->n_headers; i++) write_pair(b, !i, q->headers[i].name, q->headers[i].value);
    buf_c(b, "],");
    record_bytes(b, "body", q->body, BODY_KEPT);
    buf_c(b, "},");
}

static void write_attribute(struct buf *b, const struct json_member *m) {
    static const char *const from[] = {"DataType", "StringValue", "BinaryValue"}, *const to[] = {"dataType",
                                                                                                 "stringValue",
                                                                                                 "binaryValue"};
    bool first = true;
    json_write_str(b, m->key);
    buf_c(b, ":{");
    for (int i = 0; i < 3; i++) {
        const struct json *v = json_get(&m->value, from[i]);
        if (!v) continue;
        buf_printf(b, "%s\"%s\":", first ? "" : ",", to[i]);
        json_write(b, v);
        first = false;
    }
    buf_byte(b, '}');
}

/* A record of the event document that Lambda makes of the message. */
static void write_message(struct buf *b, const struct aws_identity *own, const struct script_message *m) {
    struct arena a = {0};
    const struct json *attributes = &m->attributes;
    buf_c(b, "\"message\":{");
    record_text(b, "messageId", m->id);
    record_text(b, "receiptHandle", STR("recorded"));
    record_text(b, "body", m->body);
    buf_printf(b, "\"attributes\":{\"ApproximateReceiveCount\":\"%lld\",\"SentTimestamp\":\"%lld\"},",
               (long long)m->receive_count, (long long)m->sent_ms);
    buf_c(b, "\"messageAttributes\":{");
    for (uint32_t i = 0; json_is(attributes, JSON_OBJ) && i < attributes->n; i++) {
        if (i) buf_byte(b, ',');
        write_attribute(b, &attributes->members[i]);
    }
    buf_c(b, "},");
    record_text(b, "eventSource", STR("aws:sqs"));
    record_text(b, "eventSourceARN",
                arena_printf(&a, "arn:%.*s:sqs:%.*s:%.*s:%.*s", STR_ARG(own->partition), STR_ARG(own->region),
                             STR_ARG(own->account), STR_ARG(m->queue)));
    b->n--; /* the comma */
    buf_c(b, "},");
    arena_free(&a);
}

static void write_value(struct buf *b, const char *name, const struct json *v) {
    buf_printf(b, "\"%s\":", name);
    json_write(b, v);
    buf_byte(b, ',');
}

/* The parameters that were given: those with names and values, or the names of secrets. */
static void write_parameters(struct buf *b, const struct app *app, bool secret) {
    bool first = true;
    for (size_t i = 0; i < app->n_given; i++) {
        if (app->given[i].secret != secret) continue;
        if (!first) buf_byte(b, ',');
        first = false;
        json_write_str(b, app->given[i].name);
        if (secret) continue;
        buf_byte(b, ':');
        json_write_str(b, app->given[i].value);
    }
}

/* What the template and its parameters were; of secrets their names only. */
static void write_host(struct buf *b, const struct perigee *p) {
    buf_c(b, "\"host\":{");
    record_text(b, "template", str_c(p->config.template_path));
    if (p->config.lua_dir) record_text(b, "lua_dir", str_c(p->config.lua_dir));
    if (p->config.aws) buf_c(b, "\"aws\":true,");
    buf_c(b, "\"parameters\":{");
    write_parameters(b, p->app, false);
    buf_c(b, "},\"secrets\":[");
    write_parameters(b, p->app, true);
    buf_c(b, "]},");
}

static void write_failure(struct buf *b, const struct script_reply *r) {
    buf_c(b, "\"error\":{");
    record_text(b, "code", str_c(err_name_of(&r->err)));
    if (r->error_type.n) record_text(b, "type", r->error_type);
    record_text(b, "message", str_c(r->err.msg));
    record_text(b, "traceback", r->traceback.p ? r->traceback : STR(""));
    b->n--;
    buf_c(b, "},");
}

static void write_response(struct buf *b, const struct http_response *res) {
    buf_c(b, "\"answer\":{");
    write_head(b, buf_view(&res->head));
    if (res->file >= 0)
        buf_printf(b, "\"body_omitted\":%llu", (unsigned long long)res->file_len);
    else
        record_bytes(b, "body", buf_view(&res->body), BODY_KEPT);
    buf_c(b, "},");
}

/* == jobs ========================================================================================================== */

static const char *const kinds[] = {[SCRIPT_HTTP] = "request", [SCRIPT_MESSAGE] = "message", [SCRIPT_EVENT] = "event"};

static void write_sources_file(void *ud, struct str path, struct str text) {
    struct buf *b = ud;
    if (b->p[b->n - 1] != '{') buf_byte(b, ',');
    json_write_str(b, path);
    buf_byte(b, ':');
    json_write_str(b, text.p ? text : STR(""));
}

/* Once a version. */
static void keep_version(struct worker_record *r, const char *version) {
    struct record_file *f = r->worker->host->recordings;
    const struct script_sources *s = script_sources_in_use(r->worker->script);
    struct buf b = BUF_MAX(SOURCES_KEPT);
    if (!f || !s || record_file_knows(f, version)) return;
    buf_printf(&b, "{\"version\":\"%s\",\"files\":{", version);
    script_sources_each(s, write_sources_file, &b);
    buf_c(&b, "}}\n");
    record_file_version(f, version, &b);
}

static void on_began(void *ud, uint64_t serial, const struct script_job *job) {
    struct worker_record *r = ud;
    const char *version = script_version(r->worker->script);
    int64_t now = clock_ms(r->worker->host->clock);
    char at[25];
    keep_version(r, version);
    struct recording *x = recorder_begin(r->recorder, serial, version);
    struct buf *b = recording_members(x);
    now_iso(now, at);
    record_text(b, "at", str_c(at));
    record_number(b, "at_ms", now);
    record_text(b, "kind", str_c(kinds[job->kind]));
    record_text(b, "function", job->function->name);
    record_text(b, "version", str_c(version));
    record_text(b, "request_id", job->request_id);
    record_text(b, "trace_id", job->trace_id);
}

static void write_input(struct worker_record *r, struct buf *b, const struct script_job *job) {
    if (job->kind == SCRIPT_HTTP) write_request(b, job->http);
    if (job->kind == SCRIPT_HTTP && job->document) write_value(b, "document", job->document);
    if (job->kind == SCRIPT_EVENT) write_value(b, "event", &job->event);
    if (job->kind != SCRIPT_MESSAGE) return;
    write_message(b, &cloud_backend(&r->worker->conn)->id, job->message);
    if (job->message->correlation_id.n) record_text(b, "correlation_id", job->message->correlation_id);
}

static const char *outcome_of(const struct script_reply *reply, int status) {
    if (reply->err.code == ERR_CANCELLED) return "cancelled";
    return reply->err.code || status >= 500 ? "failed" : "ok";
}

static void on_replied(void *ud, uint64_t serial, const struct script_job *job, const struct script_reply *reply) {
    struct worker_record *r = ud;
    struct recording *x = recorder_find(r->recorder, serial);
    if (!x) return;
    struct buf *b = recording_members(x);
    int status = 0;
    if (job->kind == SCRIPT_HTTP && reply->err.code) status = route_failure_status(reply->err.code);
    if (reply->http) status = reply->http->status;
    buf_printf(b, "\"ms\":%.3f,", (double)recording_ns(x) / 1e6);
    record_text(b, "outcome", str_c(outcome_of(reply, status)));
    if (status) record_number(b, "status", status);
    write_input(r, b, job);
    if (reply->streamed) buf_c(b, "\"streamed\":true,");
    if (reply->err.code) write_failure(b, reply);
    if (reply->http) write_response(b, reply->http);
    if (job->kind == SCRIPT_EVENT && !reply->err.code) write_value(b, "value", &reply->value);
    write_host(b, r->worker->host);
}

static void on_ended(void *ud, uint64_t serial) {
    struct worker_record *r = ud;
    struct recording *x = recorder_find(r->recorder, serial);
    uint64_t dropped = recorder_dropped(r->recorder);
    if (!x) return;
    recorder_end(r->recorder, x);
    if (recorder_dropped(r->recorder) > dropped)
        log_event(r->worker->host->log, LOG_WARN, "a request was not recorded: it comes to too much", "");
}

/* == a worker's ==================================================================================================== */

struct kept_record {
    struct list node;
    struct buf text;
};

static void keep(void *ud, const char *version, struct buf *document) {
    struct worker_record *r = ud;
    struct arena a = {0};
    struct json doc;
    struct kept_record *k = calloc(1, sizeof *k);
    (void)version;
    if (!k) fatal("out of memory for a recording");
    k->text = BUF_MAX(64u << 20);
    if (!json_parse(&a, buf_view(document), &(struct json_limits){.depth = 200, .duplicate_keys = true}, &doc, NULL)) {
        record_redact(&r->rules, &a, &doc);
        json_write(&k->text, &doc);
    }
    list_add(&r->kept, &k->node);
    buf_free(document);
    arena_free(&a);
}

static void send(void *ud, const char *version, struct buf *document) {
    record_file_add(((struct worker_record *)ud)->worker->host->recordings, version, document);
}

static struct record_table *tables_of(const struct app *app) {
    struct record_table *list = calloc(app->n_tables + 1, sizeof *list);
    if (!list) fatal("out of memory for recordings");
    for (size_t i = 0; i < app->n_tables; i++) {
        const struct json *keys = json_get(&app->tables[i].create, "KeySchema");
        list[i].name = app->tables[i].name;
        for (uint32_t k = 0; json_is(keys, JSON_ARR) && k < keys->n; k++) {
            struct str name = json_get_s(&keys->items[k], "AttributeName");
            if (str_is(json_get_s(&keys->items[k], "KeyType"), "HASH"))
                list[i].hash = name;
            else
                list[i].range = name;
        }
    }
    return list;
}

static void free_secrets(struct record_rules *rules) {
    free((void *)rules->secrets);
    rules->secrets = NULL;
}

static void set_secrets(const struct app *app, struct record_rules *rules) {
    struct str *list = calloc(app->n_given + 1, sizeof *list);
    if (!list) fatal("out of memory for recordings");
    for (size_t i = 0; i < app->n_given; i++)
        if (app->given[i].secret) list[rules->n_secrets++] = app->given[i].value;
    rules->secrets = list;
}

int host_record_open(struct worker *w, bool in_memory, struct err *e) {
    struct worker_record *r = calloc(1, sizeof *r);
    if (!r) fatal("out of memory for recordings");
    *r = (struct worker_record){.worker = w, .in_memory = in_memory, .tables = tables_of(w->host->app)};
    list_init(&r->kept);
    set_secrets(w->host->app, &r->rules);
    r->rules.key = STR("in memory");
    r->observer = (struct script_observer){on_began, on_replied, on_ended, r, NULL};
    const struct recorder_config c = {
        .probe = w->probe,
        .look = w->conn.local ? cloud_backend(&w->conn) : NULL,
        .loop = w->loop,
        .tables = r->tables,
        .n_tables = w->host->app->n_tables,
        .sink = in_memory ? keep : send,
        .ud = r,
    };
    w->record = r;
    if (recorder_open(&c, &r->recorder, e)) {
        host_record_close(w);
        return -1;
    }
    script_observe(w->script, &r->observer);
    return 0;
}

static void drop_kept(struct worker_record *r) {
    for (struct list *n; (n = list_pop(&r->kept)) != NULL;) {
        struct kept_record *k = CONTAINER(n, struct kept_record, node);
        buf_free(&k->text);
        free(k);
    }
}

void host_record_close(struct worker *w) {
    struct worker_record *r = w->record;
    if (!r) return;
    w->record = NULL;
    if (w->script) script_unobserve(w->script, &r->observer);
    recorder_close(r->recorder);
    drop_kept(r);
    free_secrets(&r->rules);
    free(r->tables);
    free(r);
}

void host_record_revived(struct worker *w) {
    if (w->record) script_observe(w->script, &w->record->observer);
}

bool host_record_in_memory(const struct worker *w) {
    return w->record && w->record->in_memory;
}

bool host_record_next(struct worker *w, struct buf *ret) {
    struct list *n = w->record ? list_pop(&w->record->kept) : NULL;
    if (!n) return false;
    struct kept_record *k = CONTAINER(n, struct kept_record, node);
    *ret = k->text;
    free(k);
    return true;
}

/* == the host's ==================================================================================================== */

/* "email,customer.name" after those of the template. */
static void set_fields(struct perigee *p, struct record_rules *rules) {
    const struct app *app = p->app;
    const struct conf_list *more = &p->config.redact;
    struct str *list = ARENA_ARRAY(&p->arena, struct str, app->n_redact + CONF_LIST_MAX * 16 + 1);
    size_t n = app->n_redact;
    if (n) memcpy(list, app->redact, n * sizeof *list);
    for (size_t i = 0; i < more->n; i++)
        for (struct str rest = str_c(more->items[i]); rest.n && n < app->n_redact + CONF_LIST_MAX * 16;) {
            struct str name = str_trim(str_cut(&rest, ','));
            if (name.n) list[n++] = name;
        }
    rules->fields = list;
    rules->n_fields = n;
}

static const char *directory(struct perigee *p) {
    const char *data = p->config.data ? p->config.data : PERIGEE_DATA;
    if (p->config.memory && !p->embedded) data = p->scratch.path;
    return arena_printf(&p->arena, "%s/" DIRECTORY, data).p;
}

static bool is_wanted(const struct perigee_config *c) {
    if (c->workers < 0) return c->record; /* `perigee invoke` */
    return c->record || (c->development && !c->no_record);
}

int host_recordings_open(struct perigee *p, struct err *e) {
    const struct perigee_config *c = &p->config;
    if (c->record && c->no_record) return err_set(e, ERR_CONFIG, "--record and --no-record contradict each other");
    if (!is_wanted(c)) return 0;
    struct record_file_config f = {.dir = directory(p), .max_bytes = (uint64_t)c->record_max_bytes, .log = p->log};
    f.rules.headers = record_headers;
    f.rules.n_headers = record_n_headers;
    set_fields(p, &f.rules);
    set_secrets(p->app, &f.rules);
    p->record_secrets = f.rules.secrets;
    if (record_file_open(&f, &p->recordings, e)) return -1;
    log_event(p->log, LOG_INFO,
              c->memory && !p->embedded ? "requests are recorded, until the server ends" : "requests are recorded",
              "su", "directory", f.dir, "max_bytes", f.max_bytes);
    return 0;
}

void host_recordings_close(struct perigee *p) {
    record_file_close(p->recordings);
    p->recordings = NULL;
    free((void *)p->record_secrets);
    p->record_secrets = NULL;
}
