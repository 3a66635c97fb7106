/* face/s3 (private to face/s3*.c): one request of S3's REST protocol.
 *
 *   s3.c: which operation ─► s3_request.c: its parameters ─► call ─► s3_answer.c: its result or its error
 *                       └──► form, its policy (s3/post.c) ──┘ */
#ifndef PERIGEE_LOCAL_FACE_S3_H
#define PERIGEE_LOCAL_FACE_S3_H
#include "base/xml.h"
#include "local/face/face.h"
#include "local/s3/s3.h"

struct s3_route {
    enum aws_op op;
    const char *method;
    char level;          /* 's'ervice, 'b'ucket, 'o'bject */
    const char *sub;     /* the query parameter that tells it apart, or NULL */
    enum s3_shape body;  /* a document, or S3_OF_NONE */
    const char *into;    /* the parameter that takes it */
    enum s3_shape gives; /* the answer; S3_OF_NONE: what there is goes into headers */
    int status;
};

struct rest {
    struct face *f;
    struct http_request *r;
    struct str bucket, key; /* decoded */
    const struct s3_route *route;
    struct s3_file file;
    bool form;
    struct s3_post post;
};

/* A member of an operation's parameters that travels in a header or the query. */
struct s3_field {
    const char *member, *wire;
    bool in_query, is_bool;
    uint64_t ops; /* bits of s3_bit */
};
extern const struct s3_field s3_fields[]; /* ended by member == NULL */
uint64_t s3_bit(enum aws_op op);

/* Fills c->params from header, query and body. What would change the outcome and is not known is refused. */
int rest_request(struct rest *f, struct aws_call *c, struct err *e);
/* ERR_NOT_IMPLEMENTED, naming what. */
int rest_unsupported(const struct rest *f, struct str what, struct err *e);

/* done() of the call. */
void rest_done(struct aws_call *c, void *ud);
void rest_send_error(struct face *f, const struct err *e, const struct json *members);

#endif
