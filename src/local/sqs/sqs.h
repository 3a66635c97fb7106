/* sqs (private to local/): standard queues. queue.c: queues and their attributes; send.c, receive.c, settle.c:
 * messages; attributes.c: message attributes and their MD5; handle.c: receipt handles; batch.c: what the batch forms
 * share. */
#ifndef PERIGEE_LOCAL_SQS_H
#define PERIGEE_LOCAL_SQS_H
#include "local/params.h"
#include "local/store.h"

enum { SQS_MAX_BYTES = 1 << 20, SQS_MAX_VISIBILITY = 43200, SQS_MAX_DELAY = 900, SQS_MAX_WAIT = 20, SQS_BATCH = 10 };

struct sqs_queue {
    int64_t id, visibility, delay, retention, max_size, wait; /* seconds, bytes */
    int64_t dlq, max_receives;                                /* 0: no redrive */
    int64_t created_ms, modified_ms, purged_ms;
    struct str name, redrive;
};
/* The queue of params.QueueUrl; strings in the call's arena. */
int sqs_find(struct local_tx *tx, struct aws_call *c, struct sqs_queue *ret, struct err *e);
int sqs_find_name(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e);
struct str sqs_arn(struct local_tx *tx, struct arena *a, struct str queue_name);

/* Which receiving of which message: a handle sealed with the store's secret. */
struct sqs_handle {
    int64_t queue, id, receives;
    struct str message_id; /* 36 characters */
};
struct str sqs_handle_seal(struct local *l, struct arena *a, const struct sqs_handle *h);
int sqs_handle_open(struct local *l, struct arena *a, int64_t queue, struct str text, struct sqs_handle *ret,
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

local_fn sqs_create, sqs_get_url, sqs_list, sqs_get_attributes, sqs_set_attributes, sqs_purge;
local_fn sqs_send, sqs_send_batch, sqs_receive, sqs_delete, sqs_delete_batch, sqs_change, sqs_change_batch;

#endif
