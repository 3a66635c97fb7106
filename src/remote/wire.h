/* wire (private to protocol*.c): what the protocols share. Decoders get the call with an empty result and no error. */
#ifndef PERIGEE_REMOTE_WIRE_H
#define PERIGEE_REMOTE_WIRE_H
#include "base/xml.h"
#include "remote/protocol.h"

enum { WIRE_BODY_MAX = 64 << 20, WIRE_ERROR_MAX = 64 << 10 };

/* == requests == */
void wire_header(struct arena *a, struct wire_request *r, const char *name, struct str value);
/* base64 of the digest, RFC 4648 4. */
struct str wire_base64(struct arena *a, const void *p, size_t n);
struct str wire_base64_crc32(struct arena *a, uint32_t crc);
/* Takes the content of b, which it frees. -1: it was larger than its cap. */
int wire_take(struct arena *a, struct buf *b, const char *what, struct str *ret, struct err *e);

/* Puts a UUID into the call's parameters where `member` is absent; NULL: nothing. */
void wire_token(struct aws_call *c, const char *member);

/* == answers == */
struct str wire_answer_header(const struct wire_response *r, const char *name); /* first of that name, or STR_NONE */
bool wire_ok(const struct wire_response *r);                                    /* 2xx */
/* Text of a service as part of a message: at most `max` bytes, no control characters, UTF-8. */
struct str wire_clean(struct arena *a, struct str text, size_t max);
/* The service's own error. code: as sent (shape names and URLs are cut off); empty: told from the status. message may
 * be empty. Returns -1. */
int wire_refused(struct aws_call *c, const struct wire_response *r, struct str code, struct str message);
/* An error status whose body is not what the protocol promises: named from the status; quotes the body. */
int wire_unreadable(struct aws_call *c, const struct wire_response *r, const char *expected);
/* ERR_BAD_ANSWER "Action of service: ..." */
int wire_bad(struct aws_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The name without namespace and URL: "a.b#Name:http://..." -> "Name". */
struct str wire_error_name(struct str code);
/* <Error> of <ErrorResponse> or of the root; NULL: it is none. */
const struct xml *wire_xml_error(const struct xml *root);
/* Code, Message, and the further members into c->result. */
int wire_refused_xml(struct aws_call *c, const struct wire_response *r, const struct xml *error);

/* == protocols == */
int wire_json_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e);
int wire_json_decode(struct aws_call *c, const struct wire_response *r);
/* The body as a JSON object in the call's arena. false: it is none. */
bool wire_json_body(struct aws_call *c, struct str body, struct json *ret, struct err *why);
int wire_json_error(struct aws_call *c, const struct wire_response *r);
/* SQS's checksums, empty lists as the engine gives them; names of errors as JSON has them. */
int wire_sqs_check(struct aws_call *c);
struct str wire_sqs_error_name(struct str name);
int wire_query_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e);
int wire_query_decode(struct aws_call *c, const struct wire_response *r);
int wire_s3_encode(const struct settings *s, struct aws_call *c, struct arena *a, struct wire_request *r,
                   struct err *e);
int wire_s3_decode(const struct settings *s, struct aws_call *c, const struct wire_response *r);
int wire_ses_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e);
int wire_ses_decode(struct aws_call *c, const struct wire_response *r);

#endif
