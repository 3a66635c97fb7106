/* perigee_volume_fill: fills a data directory through the engine's own write path, many calls waiting at a time, so
 * that they share commits.
 *
 *   perigee_volume_fill DIR items FROM TO      items of about 400 bytes into table "orders", with an index; makes it
 *   perigee_volume_fill DIR messages FROM TO   sends that many to queue "waiting"; makes it
 *   perigee_volume_fill DIR flight FROM TO     receives that many of them, for 12 hours
 *   perigee_volume_fill DIR objects FROM TO    puts that many of 10 bytes into bucket "volume"; makes it
 *
 * Prints {"calls":N,"seconds":N}. Exit status 1 when a call failed, 2 for wrong arguments. */
#include "bench/volume.h"
#include "local/local.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING = 80, ITEMS = 25, MESSAGES = 10 };

struct fill {
    struct local *local;
    struct local_conn *conn;
    struct loop *loop;
    struct aws_call *(*next)(struct fill *f);
    uint64_t at, to, calls;
    int waiting;
    bool short_answers; /* a receive found less than it asked for */
    struct arena arena;
    struct json note, lines;
};

static struct json typed(struct arena *a, const char *type, struct json v) {
    struct json o = json_make_obj();
    json_set(a, &o, type, v);
    return o;
}

static struct json parsed(struct arena *a, const char *text) {
    struct json v;
    struct err e;
    if (json_parse(a, str_c(text), NULL, &v, &e)) fatal("%s: %s", text, e.msg);
    return v;
}

static void set_text(struct arena *a, struct json *o, const char *name, struct str text) {
    json_set(a, o, name, json_make_str(text));
}

/* == what is written ================================================================================================
 */

static struct json item(struct fill *f, struct arena *a, uint64_t n) {
    struct json o = json_make_obj();
    struct volume_key k;
    long long mixed = (long long)(volume_mix(n) >> 33);
    volume_key(n, &k);
    json_set(a, &o, "pk", typed(a, "S", json_make_str(arena_str(a, str_c(k.pk)))));
    json_set(a, &o, "sk", typed(a, "S", json_make_str(arena_str(a, str_c(k.sk)))));
    json_set(a, &o, "day", typed(a, "S", json_make_str(arena_printf(a, "day-%02lld", mixed % VOLUME_PARTITIONS))));
    json_set(a, &o, "made", typed(a, "N", json_make_str(arena_printf(a, "%llu", (unsigned long long)n))));
    json_set(a, &o, "user_id", typed(a, "S", json_make_str(arena_printf(a, "u-%lld", mixed % 9973))));
    json_set(a, &o, "status", typed(a, "S", json_make_c("PENDING")));
    json_set(a, &o, "total", typed(a, "N", json_make_str(arena_printf(a, "%lld", 1250 + mixed % 1000))));
    json_set(a, &o, "n", typed(a, "N", json_make_c("0")));
    json_set(a, &o, "created_at", typed(a, "S", json_make_c("2026-11-22T05:30:00.000Z")));
    json_set(a, &o, "note", f->note);
    json_set(a, &o, "items", f->lines);
    return o;
}

static struct aws_call *next_items(struct fill *f) {
    struct aws_call *c = aws_call_new(AWS_DYNAMODB_BatchWriteItem);
    struct arena *a = &c->arena;
    struct json rows = json_make_arr(), tables = json_make_obj();
    for (int i = 0; i < ITEMS && f->at < f->to; i++)
        json_push(a, &rows, typed(a, "PutRequest", typed(a, "Item", item(f, a, f->at++))));
    json_set(a, &tables, "orders", rows);
    json_set(a, &c->params, "RequestItems", tables);
    return c;
}

static struct aws_call *next_messages(struct fill *f) {
    struct aws_call *c = aws_call_new(AWS_SQS_SendMessageBatch);
    struct arena *a = &c->arena;
    struct json rows = json_make_arr();
    for (int i = 0; i < MESSAGES && f->at < f->to; i++, f->at++) {
        struct json row = json_make_obj();
        set_text(a, &row, "Id", arena_printf(a, "%d", i));
        set_text(a, &row, "MessageBody",
                 arena_printf(a, "{\"order_id\":\"%llu\",\"user_id\":\"u-42\",\"status\":\"PENDING\",\"total\":1250}",
                              (unsigned long long)f->at));
        json_push(a, &rows, row);
    }
    json_set(a, &c->params, "Entries", rows);
    set_text(a, &c->params, "QueueUrl", STR("waiting"));
    return c;
}

static struct aws_call *next_flight(struct fill *f) {
    struct aws_call *c = aws_call_new(AWS_SQS_ReceiveMessage);
    json_set(&c->arena, &c->params, "MaxNumberOfMessages", json_make_i64(&c->arena, MESSAGES));
    json_set(&c->arena, &c->params, "VisibilityTimeout", json_make_i64(&c->arena, 43200));
    set_text(&c->arena, &c->params, "QueueUrl", STR("waiting"));
    f->at += MESSAGES;
    return c;
}

static struct aws_call *next_objects(struct fill *f) {
    struct aws_call *c = aws_call_new(AWS_S3_PutObject);
    set_text(&c->arena, &c->params, "Bucket", STR("volume"));
    set_text(&c->arena, &c->params, "Key",
             arena_printf(&c->arena, "day-%02d/%016llx", (int)(f->at % VOLUME_PARTITIONS),
                          (unsigned long long)volume_mix(f->at)));
    c->body = STR("0123456789");
    f->at++;
    return c;
}

/* == asking =========================================================================================================
 */

static void check(const struct aws_call *c) {
    if (c->err.code) fatal("%s: %s", c->row->action, c->err.msg);
    const struct json *left = json_get(&c->result, "UnprocessedItems"), *failed = json_get(&c->result, "Failed");
    if ((left && left->n) || (failed && failed->n)) fatal("%s: was not done as a whole", c->row->action);
}

static void ended(struct aws_call *c, void *ud) {
    struct fill *f = ud;
    check(c);
    const struct json *got = json_get(&c->result, "Messages");
    if (f->next == next_flight && (!got || got->n < MESSAGES)) f->short_answers = true;
    aws_call_free(c);
    f->calls++;
    f->waiting--;
}

static void run(struct fill *f) {
    while (f->at < f->to || f->waiting) {
        while (f->waiting < WAITING && f->at < f->to) {
            struct aws_call *c = f->next(f);
            c->done = ended;
            c->ud = f;
            f->waiting++;
            if (aws_start(local_backend(f->conn), f->loop, c) == AWS_DONE) ended(c, f);
        }
        if (f->waiting) loop_once(f->loop, -1);
    }
    if (f->short_answers) fatal("fewer messages are waiting than were to be received");
}

/* Exists already: fine. */
static void make(struct fill *f, enum aws_op op, const char *params) {
    struct aws_call *c = aws_call_new(op);
    c->params = parsed(&c->arena, params);
    aws_call_wait(local_backend(f->conn), f->loop, c);
    if (c->err.code && c->err.code != ERR_DDB_IN_USE && c->err.code != ERR_S3_BUCKET_EXISTS) check(c);
    aws_call_free(c);
}

static void choose(struct fill *f, const char *what) {
    if (!strcmp(what, "items")) {
        f->next = next_items;
        make(f, AWS_DYNAMODB_CreateTable,
             "{\"TableName\":\"orders\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[{"
             "\"AttributeName\":\"pk\",\"AttributeType\":\"S\"},{\"AttributeName\":\"sk\",\"AttributeType\":\"S\"},{"
             "\"AttributeName\":\"day\",\"AttributeType\":\"S\"},{\"AttributeName\":\"made\",\"AttributeType\":\"N\"}],"
             "\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"sk\",\"KeyType\":"
             "\"RANGE\"}],\"GlobalSecondaryIndexes\":[{\"IndexName\":\"by_day\",\"KeySchema\":[{\"AttributeName\":"
             "\"day\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"made\",\"KeyType\":\"RANGE\"}],\"Projection\":{"
             "\"ProjectionType\":\"ALL\"}}]}");
    } else if (!strcmp(what, "messages")) {
        f->next = next_messages;
        make(f, AWS_SQS_CreateQueue, "{\"QueueName\":\"waiting\",\"Attributes\":{\"VisibilityTimeout\":\"300\"}}");
    } else if (!strcmp(what, "flight")) {
        f->next = next_flight;
    } else if (!strcmp(what, "objects")) {
        f->next = next_objects;
        make(f, AWS_S3_CreateBucket, "{\"Bucket\":\"volume\"}");
    }
}

static int usage(void) {
    fprintf(stderr, "usage: perigee_volume_fill DIR items|messages|flight|objects FROM TO\n");
    return 2;
}

int main(int argc, char **argv) {
    struct fill f = {0};
    struct err e = {0};
    int64_t from = 0, to = 0;
    if (argc != 5 || !str_i64(str_c(argv[3]), &from) || !str_i64(str_c(argv[4]), &to) || from < 0) return usage();
    f.at = (uint64_t)from;
    f.to = (uint64_t)to;
    f.note = typed(&f.arena, "S", json_make_c(VOLUME_NOTE));
    f.lines = parsed(&f.arena, "{\"L\":[{\"M\":{\"sku\":{\"S\":\"tea\"},\"quantity\":{\"N\":\"2\"},\"price\":{\"N\":"
                               "\"12.50\"}}}]}");
    struct local_config config = {.dir = argv[1]};
    if (local_open(&config, &f.local, &e) || loop_open(&f.loop, &e) || local_attach(f.local, f.loop, &f.conn, &e))
        fatal("%s: %s", argv[1], e.msg);
    choose(&f, argv[2]);
    uint64_t began = now_mono_ns();
    if (f.next) run(&f);
    double seconds = (double)(now_mono_ns() - began) / 1e9;
    local_detach(f.conn);
    loop_close(f.loop);
    local_close(f.local);
    arena_free(&f.arena);
    if (!f.next) return usage();
    printf("{\"calls\":%llu,\"seconds\":%.2f}\n", (unsigned long long)f.calls, seconds);
    return 0;
}
