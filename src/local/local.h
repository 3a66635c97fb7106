/* local: the embedded engine: DynamoDB, SQS, S3 and SES on SQLite in one data directory, as a backend of aws calls, and
 * its face on the cloud port (presigned S3 links).
 *
 * Who calls it: perigee.c opens it and attaches workers; route/in reach it only through struct aws_backend and
 * local_face. Threads: one writer thread a store takes write operations from all workers, runs what waits as ONE SQLite
 * transaction (WAL, synchronous=FULL; each operation under its own savepoint), and completes them on their own loops
 * after the commit: durable before acknowledged. Reads run on the attached worker's own connection, at once (AWS_DONE).
 * Files: <dir>/lock, <dir>/store.db (+ -wal, -shm), <dir>/s3/<bucket>/.../<object id>.
 * Failure: a directory in use, read-only, or holding a corrupt or newer store is refused at open, with nothing changed.
 * Disk full or an I/O error later fails the operations concerned (DISK_FULL / IO, retryable) and the store recovers by
 * itself. */
#ifndef PERIGEE_LOCAL_H
#define PERIGEE_LOCAL_H
#include "aws/aws.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/now.h"

/* /_perigee/cloud/ on the cloud port: for loopback clients, or for whoever reaches the port. */
enum local_control { LOCAL_CONTROL_OFF, LOCAL_CONTROL_LOOPBACK, LOCAL_CONTROL_ON };

struct local_config {
    const char *dir; /* NULL: a private directory in memory (/dev/shm, else TMPDIR), removed at close, not synced */
    const char *region, *account;        /* NULL: "us-east-1", "000000000000" */
    const char *access_key, *secret_key; /* NULL: "perigee", "perigee" */
    const char *keys;                    /* a file with further pairs, "ID SECRET" a line; NULL: none */
    bool strict_ses;                     /* mail only from verified identities */
    bool no_verify;                      /* the cloud port takes any signature and none */
    enum local_control control;
    struct clock *clock; /* NULL: the system's */
    struct log *log;
    struct metrics *metrics; /* may be NULL */
    struct pool *pool;       /* file writes of S3 objects; NULL: its own */
    /* Nothing runs beside the loop of the one connection: what its turn gathered is committed at the turn's end, on its
     * thread. For simulated time: polls that wait are timers of that loop. */
    bool threadless;
    /* Threadless and in memory: begins with what local_image gave, instead of empty; empty: it does not. */
    struct str image;
};

struct local;
int local_open(const struct local_config *c, struct local **ret, struct err *e);
/* All connections must be detached. Waits for the writer, checkpoints, releases the lock. */
void local_close(struct local *l);

/* Of a store in memory without threads, between turns: what another one can begin with. Objects are not in it. */
int local_image(struct local *l, struct buf *ret, struct err *e);

/* A worker's part: its read connection and its queue to the writer. Use from that loop's thread only. */
struct local_conn;
int local_attach(struct local *l, struct loop *loop, struct local_conn **ret, struct err *e);
void local_detach(struct local_conn *c); /* no call may be pending */
struct aws_backend *local_backend(struct local_conn *c);
/* Where the cloud port can be reached: scheme and port are taken for presigned links, the host from the caller's Host
 * header; a `public_url` that is not empty wins over both. */
void local_set_endpoint(struct local *l, int cloud_port, const char *public_url);

/* Notes in the directory's lock file at which URL this process serves the cloud port, so that those who find it locked
 * can ask there. Private directories have nobody who could. */
void local_announce(struct local *l, const char *host, int port);

/* 0 when a write transaction can begin and commit now (readiness); loop thread, completes by fn. */
void local_probe(struct local_conn *c, void (*fn)(void *ud, const struct err *e), void *ud);

/* The cloud port: every service at one address, in its own protocol, signed (AWS Signature Version 4; links to S3 also
 * by Version 2). reply is called once, on this loop, possibly before local_face returns: then NULL is returned. A
 * request that waits by contract (ReceiveMessage) is a ticket for local_face_cancel, after which there is no reply. */
void *local_face(struct local_conn *c, struct http_request *r, http_reply_fn *reply, void *ud);
void local_face_cancel(void *ticket);

/* Whether the sender of this request to the cloud port may do what local_config.control guards; -1: e says why not. */
int local_may_control(const struct local_conn *c, const struct http_request *r, struct err *e);

/* Mail that SES accepted, oldest first: {"Messages":[{"MessageId","Timestamp","Source","Destination":[..],"Subject",
 * "Raw" (MIME text)}]}, in a. Reads at once. */
int local_mailbox(struct local_conn *c, struct arena *a, struct json *ret, struct err *e);

/* Snapshots: the whole of a store under a name, kept in its data directory: tables, queues with their messages, mail,
 * buckets with their objects, and how far the clock was moved or where it stood; not the faults that were asked for.
 * What was committed before is in it. While one is taken or restored, writes wait and reads go on; restoring replaces
 * everything at once, or nothing when it fails or the process dies. Polls that wait look again.
 * fn is called once, on this loop. Errors: a name that is none (ValidationException), one that is taken
 * (ConflictException) or unknown (NotFoundException); a snapshot that is damaged. */
enum local_snapshot { LOCAL_SNAPSHOT_TAKE, LOCAL_SNAPSHOT_RESTORE, LOCAL_SNAPSHOT_DELETE };
void local_snapshot(struct local_conn *c, enum local_snapshot what, struct str name,
                    void (*fn)(void *ud, const struct err *e), void *ud);
/* Those that there are, by name, in a: [{"name", "created", "bytes"}]. Reads at once. */
int local_snapshots(struct local_conn *c, struct arena *a, struct json *ret, struct err *e);

/* Faults for tests; n counts down at each event, the event at which it reaches 0 fails; 0 turns it off. */
enum local_fault { LOCAL_FAULT_STEP, LOCAL_FAULT_COMMIT, LOCAL_FAULT_FILE, LOCAL_FAULTS };
void local_fault(struct local *l, enum local_fault f, int64_t n);

#endif
