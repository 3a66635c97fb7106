/* remote: AWS itself, or whatever speaks its protocols (DynamoDB Local, ScyllaDB Alternator, MinIO, ElasticMQ, moto),
 * as a backend of aws calls; presigned links; and the host's HTTP client.
 *
 * Who calls it: perigee.c opens it and attaches workers; the rest reaches it only through struct aws_backend and struct
 * fetch_client. One struct remote is shared by all workers (settings, credentials, retry quota); each worker has a
 * struct remote_conn with its own curl multi handle and connection pool, used from its loop's thread only.
 *
 * A call: parameters -> protocol.c (HTTP request) -> credentials.c -> sign -> transport.c (curl) -> protocol.c (result
 * or error) -> retry.c (again?) -> done. Every attempt is signed anew. Nothing here blocks a loop: credentials are
 * fetched and refreshed on a thread of their own.
 * Failure: remote_open refuses malformed profiles (file:line) and contradicting settings. Calls fail with the service's
 * own error (name, status, message, request id), or CREDENTIALS, ENDPOINT, TIMEOUT, BAD_ANSWER, TOO_LARGE, VALIDATION.
 */
#ifndef PERIGEE_REMOTE_H
#define PERIGEE_REMOTE_H
#include "aws/aws.h"
#include "base/fetch.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/now.h"

/* Where environment variables come from; get == NULL: getenv. */
struct remote_env {
    const char *(*get)(void *ud, const char *name);
    void *ud;
};

struct remote_config {
    /* Explicit settings; NULL or empty: environment, then profile, then default. */
    const char *region, *profile, *endpoint_url, *ca_bundle;
    const char *access_key, *secret_key, *session_token;
    struct remote_env env;
    struct clock *clock; /* of presigned expiry; calls are signed with the system's clock, corrected by the service's */
    const struct log *log;
    struct metrics *metrics; /* may be NULL */
};

struct remote;
/* Reads settings and profile files; no network. */
int remote_open(const struct remote_config *c, struct remote **ret, struct err *e);
void remote_close(struct remote *r); /* all connections must be detached */
/* Blocks until credentials are there (and the region, when only instance metadata knows it), or the chain has failed: e
 * says which sources were tried and why each failed. */
int remote_prepare(struct remote *r, struct err *e);
/* The account whose resources are meant (from STS, or settings); "000000000000" before. Before attaching. */
void remote_set_account(struct remote *r, struct str account);
struct aws_identity remote_identity(const struct remote *r);
struct str remote_queue_base(const struct remote *r); /* "https://sqs.eu-west-1.amazonaws.com/123456789012" */

struct remote_conn;
int remote_attach(struct remote *r, struct loop *loop, struct remote_conn **ret, struct err *e);
void remote_detach(struct remote_conn *c); /* cancelled calls are waited for; no other may be pending */
struct aws_backend *remote_backend(struct remote_conn *c);
/* The host's HTTP client without any AWS: for perigee.http's fetch, on any backend. */
struct remote_http;
int remote_http_open(struct loop *loop, const char *ca_bundle, struct remote_http **ret, struct err *e);
void remote_http_close(struct remote_http *h);
struct fetch_client *remote_http_client(struct remote_http *h);

#endif
