/* probe: between those who call AWS and what carries the calls out: sees every call, counts and prices it, and makes it
 * fail where a test says so. It is itself an aws_backend, around another one.
 *
 * Who calls it: host_worker.c puts it between script, feeds and leases and the worker's cloud (embedded hosts always,
 * servers while they record); perigee.testing and `perigee chaos` reach it through perigee.host (host_probe.c).
 * Calls that tests make themselves to look at the engine do not pass through it, nor do calls that the function's
 * policy denies: they never leave. Ownership: everything told to `seen` is borrowed. Threads: those of its loop only.
 * Cost when nothing is asked of it: one more indirect call. */
#ifndef PERIGEE_PROBE_H
#define PERIGEE_PROBE_H
#include "aws/aws.h"
#include "base/buf.h"
#include "base/now.h"

struct probe;

/* What calls cost, in the units that AWS bills. */
struct probe_cost {
    double rcu, wcu; /* as ReturnConsumedCapacity tells them */
    uint64_t sqs, s3_puts, s3_gets, ses,
        other; /* requests; s3_puts: PUT, COPY, POST, LIST; s3_gets: the rest, but DELETE */
    uint64_t calls;
};
void probe_cost_add(struct probe_cost *to, const struct probe_cost *c);

/* A call that is over. `effect`: it was carried out, whatever its caller was told. */
struct probe_call {
    uint64_t n;     /* 1, 2, ... since probe_mark, in the order of starting; 0: begun before */
    uint64_t begun; /* the calls that had begun when it ended: n itself when it was out alone */
    const struct aws_call *call;
    struct err told; /* what the caller was told; code ERR_NONE: success; ERR_CANCELLED: nothing, for it gave the call
                        up or died */
    bool effect, empty /* a poll that found nothing */;
    const char *fault;          /* the name of what was done to it ("lost"); NULL: nothing */
    int64_t began_ms, ended_ms; /* the host's clock */
    struct probe_cost cost;
};
typedef void probe_seen_fn(void *ud, const struct probe_call *c);
/* The table, queue, bucket or identity that a call names, of several a list with commas; appended. */
void probe_resource(const struct aws_call *c, struct buf *ret);

struct probe_config {
    struct aws_backend *inner;
    struct loop *loop;
    struct clock *clock;
    /* A fault killed the process: the host ends the present spin and calls perigee_crash. Not NULL. */
    void (*died)(void *ud);
    /* The next commit of the engine fails (fault "commit"), or not after all, for the call came to none. NULL: there is
     * no engine. */
    void (*fail_commit)(void *ud, bool fail);
    void *ud;
};
int probe_open(const struct probe_config *c, struct probe **ret, struct err *e);
/* Calls that are still out are cancelled by their owners before. */
void probe_close(struct probe *p);
struct aws_backend *probe_backend(struct probe *p);

/* Told of every call when it is over, in the order of ending; several listeners at most PROBE_LISTENERS. */
enum { PROBE_LISTENERS = 4 };
int probe_listen(struct probe *p, probe_seen_fn *seen, void *ud, struct err *e);
void probe_unlisten(struct probe *p, probe_seen_fn *seen, void *ud);
/* Told before a call is carried out, e.g. to look at what it is going to change. One at a time; NULL: nobody. */
void probe_before(struct probe *p, void (*fn)(void *ud, const struct aws_call *c), void *ud);

/* Counting starts again at 1. The totals of cost too. */
void probe_mark(struct probe *p);
uint64_t probe_count(const struct probe *p); /* calls since */
/* Capacity units are asked for with each call, and taken out of what the caller sees unless he asked too. */
void probe_price(struct probe *p, bool on);
struct probe_cost probe_total(const struct probe *p);

/* -- faults ----------------------------------------------------------------------------------------------------------
 */
enum probe_fault_kind {
    PROBE_REFUSED, /* "refused": does not happen; the caller gets the error */
    PROBE_LOST,    /* "lost": happens; the caller gets the error */
    PROBE_HANGS,   /* "hangs": does not happen, no answer comes: the job's Timeout ends it; of what has no deadline (a
                      feed's own calls) RequestTimeout after 60 s */
    PROBE_STALLS,  /* "stalls": happens, no answer comes */
    PROBE_BEFORE,  /* "before": the process dies before the call leaves */
    PROBE_AFTER,   /* "after": the process dies when the call has happened and before its answer arrives */
    PROBE_COMMIT, /* "commit": the engine fails at the commit of this call: nothing happens, it answers its own error */
    PROBE_TWICE,  /* "twice": of ReceiveMessage: what was handed out is at once visible to others too */
    PROBE_LATE,   /* "late": happens, but leaves 2 s after it was made: what others do comes before it */
    PROBE_KINDS
};
const char *probe_kind_name(enum probe_fault_kind k);
int probe_kind_find(struct str name, enum probe_fault_kind *ret, struct err *e);

struct probe_fault {
    enum probe_fault_kind kind;
    uint64_t n; /* the call of this number, see probe_call.n; 0: what matches */
    struct str match, function,
        resource;  /* "sqs:SendMessage", "dynamodb:*"; logical name; table, queue or bucket: empty: any */
    uint64_t nth;  /* of those that match: the first that is struck; 0: 1 */
    int64_t times; /* that many from there on; 0: 1, -1: all */
    struct str error,
        message;    /* "ThrottlingException"; empty: of REFUSED ThrottlingException, of LOST RequestTimeout */
    int status;     /* 0: the error's */
    bool retryable; /* for errors that the table does not know */
};
/* Copied. -1: the match names no operation, or the kind does not go with it. *ret_id: for probe_forgive. */
int probe_fail(struct probe *p, const struct probe_fault *f, uint64_t *ret_id, struct err *e);
uint64_t probe_struck(const struct probe *p, uint64_t id); /* how often */
void probe_forgive(struct probe *p, uint64_t id);          /* 0: all */

/* -- order -----------------------------------------------------------------------------------------------------------
 */
/* 0: calls are carried out in the order they are made. Else, whenever several wait, the seed decides which is next: the
 * same seed, the same order. For simulated hosts. Calls are numbered when they are carried out. */
void probe_shuffle(struct probe *p, uint64_t seed);
/* After PROBE_BEFORE or PROBE_AFTER: true until probe_revive; what is called meanwhile (by parts that are being closed)
 * does not happen. */
bool probe_is_dead(const struct probe *p);
void probe_revive(struct probe *p);

#include "probe/record.h" /* recording what is seen; its own chapter */

#endif
