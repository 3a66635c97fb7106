/* What remote.c, call*.c, presign.c and describe.c share (private to remote/). */
#ifndef PERIGEE_REMOTE_INTERNAL_H
#define PERIGEE_REMOTE_INTERNAL_H
#include "base/map.h"
#include "remote/credentials.h"
#include "remote/endpoint.h"
#include "remote/protocol.h"
#include "remote/retry.h"
#include <pthread.h>

/* The last call that failed, for describe. */
struct remote_failure {
    char what[96]; /* "dynamodb GetItem"; empty: none yet */
    struct err err;
    char request_id[72];
    int64_t unix_ms;
};

/* Shared by all workers. Immutable after the first attach, but what is atomic or under the lock. */
struct remote {
    struct settings settings;
    struct credential_store *credentials;
    struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
    struct arena arena;
    struct aws_identity id;
    struct str queue_base, user_agent;
    struct retry_quota *quota[AWS_SERVICES];
    _Atomic int64_t correction_ms[AWS_SERVICES]; /* added to the system's clock for signing */
    _Atomic uint64_t count[METRICS];             /* those of AWS_*, for describe */
    _Atomic unsigned connections;
    pthread_mutex_t lock; /* of what follows */
    struct remote_failure failure;
    struct map bucket_regions; /* char *, by bucket: learnt from redirects */
    struct arena bucket_arena;
};
void remote_count(struct remote *r, enum metric id);
void remote_failed(struct remote *r, const struct aws_call *c);
/* The region that S3 named for this bucket, in a, or empty. */
struct str remote_bucket_region(struct remote *r, struct str bucket, struct arena *a);
void remote_learn_bucket(struct remote *r, struct str bucket, struct str region);

/* Adaptive mode: calls that wait for their turn to send, one line a service. */
struct remote_pace {
    struct remote_conn *conn;
    enum aws_service service;
    struct list waiting;
    struct loop_timer timer;
};

/* A worker's part. */
struct remote_conn {
    struct aws_backend backend;
    struct remote *remote;
    struct loop *loop;
    struct transport *transport;
    struct sign_key_cache keys;
    struct arena arena;
    struct endpoint endpoints[AWS_SERVICES]; /* of all services but S3, once resolved */
    bool resolved[AWS_SERVICES];
    struct list calls; /* not complete */
    struct remote_pace pace[AWS_SERVICES];
};
/* Where a call goes. region: overrides the settings' when not empty; c->arena or a holds the result. */
int conn_endpoint(struct remote_conn *c, enum aws_service service, struct str bucket, struct str region,
                  struct arena *a, struct endpoint *ret, struct err *e);

/* == one call =======================================================================================================
 *
 *   NEW ──► CREDENTIALS ──► PACING ──► SENDING ──► DONE
 *              ▲    ▲                    │  │ ▲       ▲
 *              │    └──── again now ─────┘  │ │       │  clock, credentials, region: at once
 *              └───────── BACKOFF ◄─────────┘ │       │
 *                            │    LAST_WAIT ◄─┘───────┘  a long poll that may not be tried again
 *                            └────────────────────────►  and every state may end DONE: failed or cancelled
 */
enum call_state { CALL_NEW, CALL_CREDENTIALS, CALL_PACING, CALL_SENDING, CALL_BACKOFF, CALL_LAST_WAIT, CALL_DONE };

struct call {
    struct aws_call *aws;
    struct remote_conn *conn;
    enum call_state state;
    struct list node;    /* conn->calls */
    struct list pacing;  /* conn->pace[service].waiting */
    struct arena *arena; /* the aws_call's */
    struct wire_request wire;
    struct endpoint endpoint;
    struct loop_timer timer; /* of the state: deadline, backoff, background limit */
    struct credential_waiter waiter;
    struct credentials *credentials; /* of the present attempt */
    char invocation_id[37];
    unsigned attempt, max_attempts;
    unsigned cost; /* of the last retry, owed to the quota */
    int64_t signed_correction_ms;
    bool starting;                               /* inside aws_start: what ends now is AWS_DONE */
    bool clock_corrected, refreshed, redirected; /* each once a call */
    bool quota_empty;
    struct arena scratch; /* of the present attempt: headers, URL */
    struct exchange x;
    struct call_upload *upload;
    struct call_download *download;
};

/* call.c */
enum aws_started call_start(struct aws_backend *b, struct aws_call *c);
void call_cancel(struct aws_backend *b, struct aws_call *c);
/* call_send.c: signs and starts the exchange; -1 when that is impossible. */
int call_send(struct call *k, struct err *e);
uint64_t call_remaining_ms(const struct call *k); /* until the deadline; UINT64_MAX: none */
/* call_answered (call.c) gets what came. */
void call_answered(struct call *k);

/* call_stream.c: an S3 object from and to a file. */
/* Chooses the payload hash and adds headers: how the body file goes. Once an attempt, before signing. */
int call_upload_begin(struct call *k, struct http_header *headers, size_t *n, struct str *ret_payload_hash,
                      struct err *e);
/* After signing: the seed of the chunk signatures. */
void call_upload_seed(struct call *k, const struct sign_credentials *c, const struct sign_scope *s,
                      const char seed[65]);
const char *call_upload_why(const struct call *k); /* what was wrong with the file, or NULL */
int call_download_begin(struct call *k, struct err *e);
void call_download_result(const struct call *k, struct wire_response *r);
const char *call_download_why(const struct call *k);
void call_download_discard(const struct call *k); /* what came is not the object: the file is emptied */
void call_stream_free(struct call *k);

/* conceal.c: blots out the session token, the secret key and signatures, wherever they stand in the text. */
void conceal(char *text, const struct credentials *c);

/* presign.c, describe.c */
int remote_presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
                   int64_t *ret_expires_ms, struct err *e);
int remote_presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                        struct json *ret, int64_t *ret_expires_ms, struct err *e);
void remote_describe(struct aws_backend *b, struct arena *a, struct json *ret);

#endif
