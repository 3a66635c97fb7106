/* Rules that make calls fail: "dynamodb:PutItem" one time in ten, the next two of "s3:*". They strike every call of the
 * engine, also those of handlers, before it does anything. */
#include "local/face/control.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 64, NAME_MAX_BYTES = 128 };

struct rule {
    char match[NAME_MAX_BYTES], error[64], message[256];
    uint32_t rate; /* of 2^32 - 1 */
    int64_t left;  /* times it still may strike; -1: always */
    int64_t status, struck;
};

struct faults {
    pthread_mutex_t lock;
    _Atomic size_t n; /* 0: nothing to look at */
    struct rule rules[RULES_MAX];
    uint64_t random; /* xorshift64 */
};

struct faults *faults_new(void) {
    struct faults *x = calloc(1, sizeof *x);
    if (!x) fatal("out of memory");
    pthread_mutex_init(&x->lock, NULL);
    crypto_random(&x->random, sizeof x->random);
    x->random |= 1;
    return x;
}

void faults_free(struct faults *x) {
    if (!x) return;
    pthread_mutex_destroy(&x->lock);
    free(x);
}

/* == striking =======================================================================================================
 */

/* '*' at the end stands for anything. */
static bool matches(const char *match, const struct aws_call *c) {
    char name[NAME_MAX_BYTES];
    size_t n = strlen(match);
    snprintf(name, sizeof name, "%s:%s", aws_service_name(c->row->service), c->row->action);
    if (n && match[n - 1] == '*') return !strncmp(match, name, n - 1);
    return !strcmp(match, name);
}

static uint32_t next_random(struct faults *x) {
    x->random ^= x->random << 13;
    x->random ^= x->random >> 7;
    x->random ^= x->random << 17;
    return (uint32_t)(x->random >> 32);
}

static bool strikes(struct faults *x, struct rule *r) {
    if (!r->left || next_random(x) > r->rate) return false;
    if (r->left > 0) r->left--;
    r->struck++;
    return true;
}

static void fail(const struct rule *r, struct aws_call *c) {
    struct err known = {0};
    err_service(&known, r->error, 400, false, "%s", r->message);
    bool listed = known.code != ERR_SERVICE;
    int status = r->status ? (int)r->status : listed ? err_status(known.code) : 400;
    bool retryable = listed ? err_retryable(known.code) : status >= 500;
    err_service(&c->err, r->error, status, retryable, "%s", r->message);
}

bool faults_strike(struct faults *x, struct aws_call *c) {
    size_t n = atomic_load_explicit(&x->n, memory_order_relaxed);
    bool struck = false;
    if (!n) return false;
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < atomic_load(&x->n) && !struck; i++)
        if (matches(x->rules[i].match, c) && (struck = strikes(x, &x->rules[i]))) fail(&x->rules[i], c);
    pthread_mutex_unlock(&x->lock);
    return struck;
}

/* == rules ==========================================================================================================
 */

static int copy_text(const struct json *row, const char *name, const char *otherwise, char *to, size_t room,
                     struct err *e) {
    const struct json *v = json_get(row, name);
    struct str s = v ? json_str(v) : str_c(otherwise);
    if (!s.p) return err_set(e, ERR_VALIDATION, "faults: %s is missing, or no string", name);
    if (!s.n || s.n >= room) return err_set(e, ERR_VALIDATION, "faults: %s is not 1 to %zu bytes long", name, room - 1);
    if (memchr(s.p, 0, s.n)) return err_set(e, ERR_VALIDATION, "faults: %s holds a NUL", name);
    memcpy(to, s.p, s.n);
    to[s.n] = 0;
    return 0;
}

static int read_int(const struct json *row, const char *name, int64_t min, int64_t max, int64_t otherwise, int64_t *ret,
                    struct err *e) {
    const struct json *v = json_get(row, name);
    *ret = otherwise;
    if (!v || (json_i64(v, ret) && *ret >= min && *ret <= max)) return 0;
    return err_set(e, ERR_VALIDATION, "faults: %s is not a whole number from %lld to %lld", name, (long long)min,
                   (long long)max);
}

static int read_rate(const struct json *row, uint32_t *ret, struct err *e) {
    const struct json *v = json_get(row, "rate");
    char text[32], *end = NULL;
    double rate = 1;
    if (v) {
        struct str s = json_is(v, JSON_NUM) ? v->s : STR_NONE;
        snprintf(text, sizeof text, "%.*s", STR_ARG(str_take(s, sizeof text - 1)));
        rate = s.n ? strtod(text, &end) : -1;
    }
    if (!(rate >= 0 && rate <= 1) || (end && *end))
        return err_set(e, ERR_VALIDATION, "faults: rate is not from 0 to 1");
    *ret = (uint32_t)(rate * UINT32_MAX);
    return 0;
}

static int read_rule(const struct json *row, struct rule *r, struct err *e) {
    static const char *const known[] = {"match", "rate", "times", "error", "message", "status", "struck"};
    for (uint32_t i = 0; json_is(row, JSON_OBJ) && i < row->n; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) found |= str_is(row->members[i].key, known[k]);
        if (!found)
            return err_set(e, ERR_VALIDATION, "faults: a rule has no \"%.*s\"",
                           STR_ARG(str_take(row->members[i].key, 64)));
    }
    if (copy_text(row, "match", NULL, r->match, sizeof r->match, e) ||
        copy_text(row, "error", NULL, r->error, sizeof r->error, e) ||
        copy_text(row, "message", "injected by /_perigee/cloud/faults", r->message, sizeof r->message, e) ||
        read_rate(row, &r->rate, e) || read_int(row, "times", 1, INT64_MAX, -1, &r->left, e))
        return -1;
    return read_int(row, "status", 400, 599, 0, &r->status, e);
}

int faults_set(struct faults *x, const struct json *doc, struct err *e) {
    const struct json *rows = json_get(doc, "faults");
    struct rule rules[RULES_MAX];
    int64_t seed;
    memset(rules, 0, sizeof rules);
    if (!json_is(rows, JSON_ARR) || rows->n > RULES_MAX)
        return err_set(e, ERR_VALIDATION, "faults: \"faults\" is not a list of at most %d rules", RULES_MAX);
    for (uint32_t i = 0; i < rows->n; i++)
        if (read_rule(&rows->items[i], &rules[i], e)) return -1;
    if (read_int(doc, "seed", 1, INT64_MAX, 0, &seed, e)) return -1;
    pthread_mutex_lock(&x->lock);
    memcpy(x->rules, rules, sizeof rules);
    if (seed) x->random = (uint64_t)seed * 0x9E3779B97F4A7C15u | 1;
    atomic_store(&x->n, rows->n);
    pthread_mutex_unlock(&x->lock);
    return 0;
}

void faults_get(struct faults *x, struct arena *a, struct json *ret) {
    struct json rows = json_make_arr();
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < atomic_load(&x->n); i++) {
        const struct rule *r = &x->rules[i];
        struct json row = json_make_obj();
        json_set(a, &row, "match", json_make_str(arena_str(a, str_c(r->match))));
        json_set(a, &row, "rate", json_make_num(arena_printf(a, "%.6g", (double)r->rate / UINT32_MAX)));
        json_set(a, &row, "error", json_make_str(arena_str(a, str_c(r->error))));
        if (r->left >= 0) json_set(a, &row, "times", json_make_i64(a, r->left));
        json_set(a, &row, "struck", json_make_i64(a, r->struck));
        json_push(a, &rows, row);
    }
    pthread_mutex_unlock(&x->lock);
    *ret = json_make_obj();
    json_set(a, ret, "faults", rows);
}
