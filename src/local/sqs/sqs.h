/* sqs (private to local/): standard and FIFO queues. queue.c: queues; settings.c: their attributes; tags.c;
 * permission.c: their policy; send.c, receive.c, take.c, settle.c: messages; attempt.c: receives that are repeated;
 * count.c: how many there are; state.c: what a connection keeps; fifo.c: groups and deduplication; move.c: message move
 * tasks; attributes.c: message attributes and their MD5; handle.c: receipt handles; batch.c: what the batch forms
 * share. */
#ifndef PERIGEE_LOCAL_SQS_H
#define PERIGEE_LOCAL_SQS_H
#include "base/crypto.h"
#include "local/params.h"
#include "local/store.h"

enum {
    SQS_MAX_BYTES = 1 << 20,
    SQS_MAX_VISIBILITY = 43200,
    SQS_MAX_DELAY = 900,
    SQS_MAX_WAIT = 20,
    SQS_BATCH = 10,
    SQS_MAX_IN_FLIGHT = 120000, /* "Amazon SQS message quotas", both kinds of queues */
    SQS_DEDUP_MS = 300000,
};

enum sqs_fifo { SQS_FIFO = 1, SQS_BY_CONTENT = 2, SQS_SCOPE_GROUP = 4, SQS_LIMIT_GROUP = 8 };

struct sqs_queue {
    int64_t id, visibility, delay, retention, max_size, wait; /* seconds, bytes */
    int64_t dlq, max_receives;                                /* 0: no redrive */
    int64_t created_ms, modified_ms, purged_ms;
    int64_t fifo; /* bits of enum sqs_fifo; 0: a standard queue */
    struct str name, redrive;
    struct str extra; /* JSON object of the attributes that are kept and given back */
};

/* What a connection keeps (state.c). in_flight: upper bounds by queue id; queues that share a slot count more often. */
enum { SQS_SLOTS = 256 };
struct sqs_state {
    struct {
        struct sqs_queue queue;
        struct arena texts;
    } seen[SQS_SLOTS];
    struct {
        int64_t queue, in_flight;
    } bounds[SQS_SLOTS];
    struct crypto_hmac seal;
};
struct sqs_state *sqs_state(struct local_tx *tx);
bool sqs_recall(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret);
void sqs_remember(struct local_tx *tx, const struct sqs_queue *q);
void sqs_forget(struct local_tx *tx); /* to be called by whatever changes rows of queues */

/* The queue of params.QueueUrl; strings in the call's arena. */
int sqs_find(struct local_tx *tx, struct aws_call *c, struct sqs_queue *ret, struct err *e);
int sqs_find_name(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e);
/* 1: found, 0: there is none, -1. */
int sqs_lookup(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e);
/* The queue of an ARN of this account; 0: there is none. */
int sqs_lookup_arn(struct local_tx *tx, struct arena *a, struct str arn, struct sqs_queue *ret, struct err *e);
bool sqs_is_word(struct str name); /* letters, digits, hyphens, underscores; at least one */
struct str sqs_arn(struct local_tx *tx, struct arena *a, struct str queue_name);

/* Settings (settings.c). */
void sqs_settings_default(struct sqs_queue *q);
/* Applies a map of attribute strings to q. */
int sqs_settings_apply(struct local_tx *tx, struct arena *a, const struct json *attrs, struct sqs_queue *q,
                       struct err *e);
int sqs_settings_save(struct local_tx *tx, struct sqs_queue *q, struct err *e); /* inserts or updates by name */
/* The attribute Policy; empty: there is none. */
int sqs_settings_policy(struct arena *a, const struct sqs_queue *q, struct str *ret, struct err *e);
int sqs_settings_set_policy(struct arena *a, struct str text, struct sqs_queue *q, struct err *e);
bool sqs_settings_same(struct sqs_queue *a, struct sqs_queue *b);
/* Checks and writes the tags of a queue; object of strings. */
int sqs_tags_save(struct local_tx *tx, struct str queue_name, const struct json *tags, struct err *e);

/* Messages by what they are (count.c): exactly while there are fewer than SQS_COUNTED that are visible, and as many
 * that are not; else estimated. Takes about the same time for any number. */
enum { SQS_COUNTED = 20000 };
struct sqs_counts {
    int64_t visible, in_flight, delayed;
};
int sqs_count(struct local_tx *tx, int64_t queue, struct sqs_counts *ret, struct err *e);

/* FIFO (fifo.c). A message that was sent within the last five minutes with the same deduplication id: 1 and its id and
 * sequence number; 0: none, and this one is on record now. */
struct sqs_fifo_message {
    struct str group, dedup, message_id;
    int64_t seq;
};
int sqs_fifo_read(struct arena *a, const struct sqs_queue *q, const struct json *entry, struct str body,
                  struct sqs_fifo_message *ret, struct err *e);
int sqs_fifo_dedup(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, struct sqs_fifo_message *m,
                   struct err *e);
/* The next sequence number of a queue. */
int sqs_fifo_sequence(struct local_tx *tx, int64_t queue, int64_t *ret, struct err *e);
struct str sqs_fifo_number(struct arena *a, int64_t seq); /* as clients see it: 20 digits */
/* To be called when messages of a group came, went, or changed their visibility. */
int sqs_group_changed(struct local_tx *tx, int64_t queue, struct str group, struct err *e);
/* Ids of up to `limit` messages that may be delivered now, each group's in order of sending: visible, and of groups of
 * which nothing is in flight. a is for scratch. */
int sqs_fifo_pick(struct local_tx *tx, struct arena *a, int64_t queue, int64_t limit, int64_t *ret_ids, int *ret_n,
                  struct err *e);

/* Taking (take.c). What one row says, copied out of the statement. */
struct sqs_message {
    int64_t id, sent_at, receives, first_at, seq;
    struct str message_id, body, md5, attributes, trace, source, group, dedup;
};
/* Makes up to `limit` visible messages invisible for `visibility` seconds, counting that; *ret_full: the limit of
 * messages in flight allows no more. */
int sqs_take(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, int64_t visibility, int64_t limit,
             struct sqs_message *ret, int *ret_n, bool *ret_full, struct err *e);

/* Sets the visibility of a message that was taken before. */
int sqs_take_again(struct local_tx *tx, struct arena *a, int64_t id, int64_t until, struct sqs_message *ret,
                   struct err *e);

/* Receive attempts (attempt.c). 1: the messages of that attempt once more; 0: there was none, or it is over. */
int sqs_attempt_repeat(struct local_tx *tx, struct arena *a, int64_t queue, struct str attempt, int64_t until,
                       struct sqs_message *ret, int *ret_n, struct err *e);
int sqs_attempt_save(struct local_tx *tx, struct arena *a, int64_t queue, struct str attempt, int64_t until,
                     const struct sqs_message *messages, int n, struct err *e);
/* An optional name of up to 128 letters, digits and punctuation. */
int sqs_read_token(const struct json *entry, const char *name, struct str *ret, struct err *e);

/* Move tasks: at most `max` messages, as many as the clock allows. */
int sqs_move_step(struct local_tx *tx, int max, bool *ret_more, struct err *e);

/* Which receiving of which message: a handle sealed with the store's secret. */
struct sqs_handle {
    int64_t queue, id, receives;
    struct str message_id; /* 36 characters */
};
struct str sqs_handle_seal(struct local_tx *tx, struct arena *a, const struct sqs_handle *h);
int sqs_handle_open(struct local_tx *tx, struct arena *a, int64_t queue, struct str text, struct sqs_handle *ret,
                    struct err *e);

/* Checks a MessageAttributes object; adds its size to *bytes. */
int sqs_attributes_check(const struct json *attrs, size_t *bytes, struct err *e);
/* SQS Developer Guide, "Calculating the MD5 message digest for message attributes"; a is for scratch and result. */
struct str sqs_attributes_md5(struct arena *a, const struct json *attrs);
/* The attributes whose names are asked for ("All", ".*", "name", "prefix.*"). */
struct json sqs_attributes_pick(struct arena *a, const struct json *attrs, const struct json *names);
/* Refuses what XML 1.0 cannot carry, and text that is no UTF-8. */
int sqs_check_text(struct str s, const char *what, struct err *e);
struct str sqs_md5_hex(struct arena *a, struct str data);

/* One entry of a batch, or a single request: 0 with *ret filled, -1 when this entry fails. */
typedef int sqs_entry_fn(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, const struct json *entry,
                         struct json *ret, struct err *e);
/* Checks params.Entries as a whole, runs fn on each, and fills Successful and Failed of the result. */
int sqs_batch(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, sqs_entry_fn *fn);
int sqs_single(struct local_tx *tx, struct aws_call *c, sqs_entry_fn *fn);

local_fn sqs_create, sqs_delete_queue, sqs_get_url, sqs_list, sqs_get_attributes, sqs_set_attributes, sqs_purge;
local_fn sqs_add_permission, sqs_remove_permission;
local_fn sqs_list_sources, sqs_tag, sqs_untag, sqs_list_tags, sqs_move_start, sqs_move_list, sqs_move_cancel;
local_fn sqs_send, sqs_send_batch, sqs_receive, sqs_delete, sqs_delete_batch, sqs_change, sqs_change_batch;

#endif
