/* face (private to local/): one request on the cloud port, where all services share one endpoint.
 *
 *   request ─► face.c: which service, which protocol ─► auth.c: who ─► chunked.c: body ─► json.c | query.c | s3.c |
 * ses.c call on local_backend ─► answer in its shape ◄──┘
 *
 * A protocol has two doors: face_<protocol> carries out an authenticated request, face_<protocol>_error refuses one in
 * the shape that its clients understand. Each ends in exactly one face_send. */
#ifndef PERIGEE_LOCAL_FACE_H
#define PERIGEE_LOCAL_FACE_H
#include "base/url.h"
#include "local/store.h"
#include "sign/sign.h"

enum face_protocol { FACE_JSON, FACE_QUERY, FACE_S3, FACE_SES, FACE_PROTOCOLS };

struct face { /* in the request's arena */
    struct local_conn *conn;
    struct http_request *r; /* body: as it came */
    http_reply_fn *reply;
    void *ud;
    enum face_protocol protocol;
    enum aws_service service;    /* one of the engine's */
    struct str claimed;          /* service of the credential scope as the request has it; may be empty */
    struct str action;           /* behind the prefix of X-Amz-Target, or value of Action; may be empty */
    struct str host_bucket;      /* bucket.s3.localhost, bucket.localhost: the bucket; else empty */
    struct url_param *query;     /* decoded, in order of appearance; of FACE_QUERY also those of the form in the body */
    size_t n_query;              /* (the body's come last) */
    struct str body;             /* after aws-chunked was taken off */
    struct str content_encoding; /* without aws-chunked; p == NULL when nothing is left of it */
    struct http_header *trailers; /* of an aws-chunked body, verified: x-amz-checksum-*; they count like headers */
    size_t n_trailers;
    struct sign_verified who;
    bool form;                /* nobody signed: a browser's POST of a form, which carries its signature itself */
    struct aws_call *call;    /* of FACE_JSON: what the body asks for; NULL after face_start */
    struct aws_call *waiting; /* a parked call, which goes when the client does */
    bool *ended;              /* private to face.c */
};

void face_json(struct face *f);
void face_json_error(struct face *f, const struct err *e);
void face_query(struct face *f);
void face_query_error(struct face *f, const struct err *e);
void face_s3(struct face *f);
void face_s3_error(struct face *f, const struct err *e);
void face_ses(struct face *f);
void face_ses_error(struct face *f, const struct err *e);

/* Before the signature is looked at, as AWS does: what is no JSON, and operations that there are not. */
int face_json_check(struct face *f, struct err *e);

/* Reads who signed, and whether body and signature agree; fills f->who, and body, content_encoding and trailers when
 * the body is aws-chunked; takes the parameters that only sign out of f->query. Errors: with the name and status
 * (err_name_of, err_status_of) that f->protocol has for them. */
int face_authenticate(struct face *f, struct err *e);

/* -- what protocols share --------------------------------------------------------------------------------------------
 */

/* Value of the first decoded query or form parameter of that name, or STR_NONE. */
struct str face_param(const struct face *f, const char *name);
/* Header of the request, or trailer of its body; "content-encoding" without aws-chunked. */
struct str face_header(const struct face *f, const char *name);
/* "http://host:4566" as the client wrote it in Host: what queue URLs begin with. */
struct str face_base_url(const struct face *f);
/* "AWS.SimpleQueueService.NonExistentQueue": the code that the older Query protocol of SQS has for an error. */
const char *face_sqs_query_code(const struct err *e);
/* "InvalidClientTokenId" for ERR_AUTH_CLIENT, ...; NULL for other errors. */
const char *face_auth_query_name(enum err_code code);
/* Queue URLs in a result of SQS begin as the client's Host header says. */
void face_fix_queue_urls(const struct face *f, struct aws_call *c);
/* Starts the call; done(call, ud) runs now or later and frees it. The call may point into the request and its arena. */
void face_start(struct face *f, struct aws_call *c, void (*done)(struct aws_call *c, void *ud), void *ud);
/* Adds a header line; left out when value.p is NULL or what it holds cannot be in one. */
void face_set(struct http_response *res, const char *name, struct str value);
/* <tag>text</tag>, escaped; what XML cannot hold, and what is no UTF-8, becomes U+FFFD. */
void face_xml(struct buf *b, const char *tag, struct str text);
/* Replies. Takes res over; f is gone afterwards. */
void face_send(struct face *f, struct http_response *res);

#endif
