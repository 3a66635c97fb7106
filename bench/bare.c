/* perigee_bare: the limit that POST /orders is held against. It writes the same rows with the same SQLite settings as
 * the engine's writer (local/db.c), and nothing else: no HTTP, no Lua, no threads. C clients wait all the time, so each
 * commit carries C orders.
 *
 * An order is: its item, one row in each of its indexes, an outbox item, and with --key an idempotency item with its
 * expiry row; keys as long as the real ones, ascending like UUIDv7. `--sync` measures fdatasync of 4 KiB appends
 * instead. Prints one line of JSON. */
#include "base/conf.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/now.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAL_PAGES_MAX = 16000 /* as the writer's */, SAMPLES_MAX = 1000000 };

struct options {
    const char *dir;
    int64_t clients, seconds, order_bytes, outbox_bytes, key_bytes, indexes;
    bool key, sync;
};

static const struct conf_option options[] = {
    {"dir", CONF_STRING, offsetof(struct options, dir), 0, 0, "DIR",
     "an empty or new directory on the disk in question"},
    {"clients", CONF_INT, offsetof(struct options, clients), 1, 4096, "C", "orders a commit"},
    {"seconds", CONF_INT, offsetof(struct options, seconds), 1, 600, "S", "how long"},
    {"order-bytes", CONF_INT, offsetof(struct options, order_bytes), 1, 400000, "N", "stored size of an order"},
    {"outbox-bytes", CONF_INT, offsetof(struct options, outbox_bytes), 1, 400000, "N", "stored size of an outbox item"},
    {"key-bytes", CONF_INT, offsetof(struct options, key_bytes), 1, 400000, "N", "stored size of an idempotency item"},
    {"indexes", CONF_INT, offsetof(struct options, indexes), 0, 5, "N", "index rows an order"},
    {"key", CONF_BOOL, offsetof(struct options, key), 0, 0, NULL, "with idempotency items"},
    {"sync", CONF_BOOL, offsetof(struct options, sync), 0, 0, NULL, "measure fdatasync"},
    {NULL},
};

struct bare {
    struct options o;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *order, *index[5], *outbox, *key, *expiry;
    char *filler;
    int wal_pages;
    uint32_t *samples; /* microseconds a commit, rows included */
    size_t n;
    int64_t orders;
};

static _Noreturn void die(const struct bare *b, const char *what) {
    fprintf(stderr, "perigee_bare: %s: %s\n", what, b->db ? sqlite3_errmsg(b->db) : strerror(errno));
    exit(1);
}

/* ==== set-up ==== */

static void exec(struct bare *b, const char *sql) {
    if (sqlite3_exec(b->db, sql, NULL, NULL, NULL)) die(b, sql);
}

static sqlite3_stmt *prepare(struct bare *b, const char *sql) {
    sqlite3_stmt *s;
    if (sqlite3_prepare_v3(b->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL)) die(b, sql);
    return s;
}

static int on_commit(void *ud, sqlite3 *db, const char *name, int pages) {
    (void)db, (void)name;
    ((struct bare *)ud)->wal_pages = pages;
    return SQLITE_OK;
}

static void open_store(struct bare *b) {
    char path[4096], sql[256];
    snprintf(path, sizeof path, "%s/bare.db", b->o.dir);
    if (access(path, F_OK) == 0) {
        fprintf(stderr, "perigee_bare: %s is there already\n", path);
        exit(2);
    }
    if (sqlite3_open_v2(path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL))
        die(b, path);
    sqlite3_wal_hook(b->db, on_commit, b);
    exec(b, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY");
    exec(b, "CREATE TABLE orders(pk BLOB, sk BLOB, item BLOB, PRIMARY KEY(pk, sk)) WITHOUT ROWID;"
            "CREATE TABLE outbox(pk BLOB, sk BLOB, item BLOB, PRIMARY KEY(pk, sk)) WITHOUT ROWID;"
            "CREATE TABLE keys(pk BLOB, sk BLOB, item BLOB, PRIMARY KEY(pk, sk)) WITHOUT ROWID;"
            "CREATE TABLE expiry(at INTEGER, pk BLOB, sk BLOB, PRIMARY KEY(at, pk, sk)) WITHOUT ROWID");
    for (int i = 0; i < b->o.indexes; i++) {
        snprintf(sql, sizeof sql,
                 "CREATE TABLE i%d(h BLOB, r BLOB, pk BLOB, sk BLOB, PRIMARY KEY(h, r, pk, sk)) WITHOUT ROWID", i);
        exec(b, sql);
        snprintf(sql, sizeof sql, "INSERT INTO i%d VALUES(?1, ?2, ?3, x'')", i);
        b->index[i] = prepare(b, sql);
    }
    b->begin = prepare(b, "BEGIN IMMEDIATE");
    b->commit = prepare(b, "COMMIT");
    b->order = prepare(b, "INSERT INTO orders VALUES(?1, x'', ?2)");
    b->outbox = prepare(b, "INSERT INTO outbox VALUES(?1, ?2, ?3)");
    b->key = prepare(b, "INSERT INTO keys VALUES(?1, x'', ?2)");
    b->expiry = prepare(b, "INSERT INTO expiry VALUES(?1, ?2, x'')");
}

/* ==== one order ==== */

static void step(struct bare *b, sqlite3_stmt *s) {
    if (sqlite3_step(s) != SQLITE_DONE) die(b, sqlite3_sql(s));
    sqlite3_reset(s);
}

static void bind(sqlite3_stmt *s, int i, const char *p, size_t n) {
    sqlite3_bind_blob(s, i, p, (int)n, SQLITE_STATIC);
}

static void put_indexes(struct bare *b, const char *id) {
    char hash[32], range[25];
    now_iso(clock_ms(NULL), range);
    for (int i = 0; i < b->o.indexes; i++) {
        if (i == 0)
            snprintf(hash, sizeof hash, "PENDING_PAYMENT");
        else
            snprintf(hash, sizeof hash, "user-%d", (int)(b->orders % 1000));
        bind(b->index[i], 1, hash, strlen(hash));
        bind(b->index[i], 2, range, 24);
        bind(b->index[i], 3, id, 36);
        step(b, b->index[i]);
    }
}

static void put_key(struct bare *b, const char *id) {
    char name[64];
    int n = snprintf(name, sizeof name, "orders/%s", id);
    bind(b->key, 1, name, (size_t)n);
    bind(b->key, 2, b->filler, (size_t)b->o.key_bytes);
    step(b, b->key);
    sqlite3_bind_int64(b->expiry, 1, clock_ms(NULL) / 1000 + 86400);
    bind(b->expiry, 2, name, (size_t)n);
    step(b, b->expiry);
}

static void put_order(struct bare *b) {
    char id[37], event[37], shard = (char)('0' + b->orders % 8);
    crypto_uuid7(clock_ms(NULL), id);
    crypto_uuid7(clock_ms(NULL), event);
    memcpy(b->filler, id, 36);
    bind(b->order, 1, id, 36);
    bind(b->order, 2, b->filler, (size_t)b->o.order_bytes);
    step(b, b->order);
    put_indexes(b, id);
    bind(b->outbox, 1, &shard, 1);
    bind(b->outbox, 2, event, 36);
    bind(b->outbox, 3, b->filler, (size_t)b->o.outbox_bytes);
    step(b, b->outbox);
    if (b->o.key) put_key(b, id);
    b->orders++;
}

/* ==== runs ==== */

static void group(struct bare *b) {
    uint64_t from = now_mono_ns();
    step(b, b->begin);
    for (int64_t i = 0; i < b->o.clients; i++) put_order(b);
    step(b, b->commit);
    if (b->n < SAMPLES_MAX) b->samples[b->n++] = (uint32_t)((now_mono_ns() - from) / 1000);
    if (b->wal_pages >= WAL_PAGES_MAX && sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL))
        die(b, "checkpoint");
}

static int by_value(const void *a, const void *c) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)c;
    return (x > y) - (x < y);
}

static void print(struct bare *b, const char *unit, double seconds, double rate) {
    qsort(b->samples, b->n, sizeof *b->samples, by_value);
    printf("{\"clients\":%lld,\"seconds\":%.3f,\"%s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", (long long)b->o.clients,
           seconds, unit, rate, b->n ? b->samples[b->n / 2] / 1000.0 : 0,
           b->n ? b->samples[b->n * 99 / 100] / 1000.0 : 0);
}

static void run_orders(struct bare *b) {
    open_store(b);
    uint64_t from = now_mono_ns(), end = from + (uint64_t)b->o.seconds * 1000000000u;
    while (now_mono_ns() < end) group(b);
    double seconds = (double)(now_mono_ns() - from) / 1e9;
    print(b, "orders_per_s", seconds, (double)b->orders / seconds);
    sqlite3_stmt *all[] = {b->begin,    b->commit,   b->order,    b->outbox,   b->key,     b->expiry,
                           b->index[0], b->index[1], b->index[2], b->index[3], b->index[4]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sqlite3_finalize(all[i]);
    sqlite3_close(b->db);
}

static void run_sync(struct bare *b) {
    char path[4096];
    snprintf(path, sizeof path, "%s/sync", b->o.dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) die(b, path);
    uint64_t from = now_mono_ns(), end = from + (uint64_t)b->o.seconds * 1000000000u;
    while (now_mono_ns() < end && b->n < SAMPLES_MAX) {
        uint64_t t = now_mono_ns();
        if (write(fd, b->filler, 4096) != 4096 || fdatasync(fd)) die(b, path);
        b->samples[b->n++] = (uint32_t)((now_mono_ns() - t) / 1000);
    }
    double seconds = (double)(now_mono_ns() - from) / 1e9;
    print(b, "syncs_per_s", seconds, (double)b->n / seconds);
    close(fd);
    unlink(path);
}

int main(int argc, char **argv) {
    const struct options defaults = {
        .clients = 64, .seconds = 5, .order_bytes = 500, .outbox_bytes = 340, .key_bytes = 340, .indexes = 2};
    struct bare b = {.o = defaults};
    struct err e = {0};
    bool help = false;
    if (conf_parse(options, &b.o, argc, argv, &argc, &help, &e) || (!help && (argc > 1 || !b.o.dir))) {
        fprintf(stderr, "perigee_bare: %s\n", e.code ? e.msg : "--dir DIR is needed and nothing else");
        return 2;
    }
    if (help) {
        struct buf text = BUF_MAX(1 << 16);
        conf_help(&text, options, &defaults);
        printf("usage: perigee_bare --dir DIR [options]\n%s", buf_cstr(&text));
        buf_free(&text);
        return 0;
    }
    if (fs_mkdirs(b.o.dir, &e)) {
        fprintf(stderr, "perigee_bare: %s\n", e.msg);
        return 1;
    }
    b.filler = malloc(400000);
    b.samples = malloc(SAMPLES_MAX * sizeof *b.samples);
    if (!b.filler || !b.samples) fatal("out of memory");
    for (size_t i = 0; i < 400000; i++) b.filler[i] = (char)('a' + i * 7 % 26);
    if (b.o.sync)
        run_sync(&b);
    else
        run_orders(&b);
    free(b.filler);
    free(b.samples);
    return 0;
}
