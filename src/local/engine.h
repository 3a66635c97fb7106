/* engine (private to local/): how the services plug into the store.
 * An operation is a function on an open transaction. For AWS_WRITE rows it runs on the writer thread inside a savepoint
 * of the group's transaction; for AWS_READ rows on the worker's connection inside a read transaction. Return 0 with
 * call->result set, or -1 with call->err set (and further error members in call->result): then everything the operation
 * wrote is rolled back. Memory comes from call->arena. It must not block, and must not keep pointers after it returns.
 */
#ifndef PERIGEE_LOCAL_ENGINE_H
#define PERIGEE_LOCAL_ENGINE_H
#include "local/db.h"
#include "local/local.h"

struct local_tx {
    struct db *db;
    int64_t now_ms; /* wall clock, read once an operation */
    struct local *local;
    struct aws_identity id;
    void *service[AWS_ENGINE_SERVICES]; /* per-connection caches (table descriptions, ...), see local_service_ops */
    bool writable;
};
typedef int local_fn(struct local_tx *tx, struct aws_call *c);

/* Implemented by dynamo/, sqs/, s3/, ses/: one row an operation of theirs. */
struct local_row {
    enum aws_op op;
    local_fn *fn;
};
extern const struct local_row dynamo_rows[], sqs_rows[], s3_rows[], ses_rows[]; /* ended by fn == NULL */

/* Per-connection state of a service: `open` is called when a connection (writer or reader) is opened, `close` when it
 * goes. A reader's cache must notice the writer's schema changes: compare `schema_version` stored in the store's meta
 * table or PRAGMA data_version. */
int dynamo_open(struct db *db, void **ret, struct err *e);
void dynamo_close(void *state);
void sqs_close(void *state); /* opens its own at the first receive */
/* Tables created once, in the writer, at open (idempotent). */
int dynamo_schema(struct db *db, struct err *e);
int sqs_schema(struct db *db, struct err *e);
int s3_schema(struct db *db, struct err *e);
int ses_schema(struct db *db, struct err *e);
/* Housekeeping in the writer, about once a second of wall clock, in its own transaction: deletes what expired, at most
 * `max` rows; *ret_more when some are left. DynamoDB: items past their TTL. SQS: messages past retention. */
int dynamo_sweep(struct local_tx *tx, int max, bool *ret_more, struct err *e);
int sqs_sweep(struct local_tx *tx, int max, bool *ret_more, struct err *e);

#endif
