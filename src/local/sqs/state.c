/* What a connection keeps between calls: the queues it saw last, bounds of what is in flight, the key that seals
 * handles. It goes when the writer rolled something back, see writer.c; queues also when one changes. */
#include "local/sqs/sqs.h"
#include <stdlib.h>
#include <string.h>

static struct sqs_state *state_new(const struct local *l) {
    struct sqs_state *st = calloc(1, sizeof *st);
    if (!st) fatal("out of memory");
    crypto_hmac_key(&st->seal, str_n((const char *)l->secret, sizeof l->secret));
    return st;
}

struct sqs_state *sqs_state(struct local_tx *tx) {
    if (!tx->service[AWS_SQS]) tx->service[AWS_SQS] = state_new(tx->local);
    return tx->service[AWS_SQS];
}

static void forget(struct sqs_state *st) {
    for (int i = 0; i < SQS_SLOTS; i++) arena_reset(&st->seen[i].texts);
    for (int i = 0; i < SQS_SLOTS; i++) st->seen[i].queue = (struct sqs_queue){0};
}

void sqs_close(void *state) {
    struct sqs_state *st = state;
    if (!st) return;
    for (int i = 0; i < SQS_SLOTS; i++) arena_free(&st->seen[i].texts);
    crypto_hmac_wipe(&st->seal);
    free(st);
}

/* == queues =========================================================================================================
 */

static size_t slot_of(struct str name) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    return h % SQS_SLOTS;
}

static void copy_texts(struct arena *a, struct sqs_queue *q) {
    q->name = arena_str(a, q->name);
    q->redrive = arena_str(a, q->redrive);
    q->extra = arena_str(a, q->extra);
}

/* Only the writer knows when a queue changes. */
bool sqs_recall(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret) {
    if (!tx->writable) return false;
    const struct sqs_queue *q = &sqs_state(tx)->seen[slot_of(name)].queue;
    if (!q->id || !str_eq(q->name, name)) return false;
    *ret = *q;
    copy_texts(a, ret);
    return true;
}

void sqs_remember(struct local_tx *tx, const struct sqs_queue *q) {
    enum { KEPT_BYTES = 16384 };
    if (!tx->writable || q->redrive.n + q->extra.n > KEPT_BYTES) return;
    struct sqs_state *st = sqs_state(tx);
    size_t i = slot_of(q->name);
    arena_reset(&st->seen[i].texts);
    st->seen[i].queue = *q;
    copy_texts(&st->seen[i].texts, &st->seen[i].queue);
}

void sqs_forget(struct local_tx *tx) {
    if (tx->service[AWS_SQS]) forget(tx->service[AWS_SQS]);
}
