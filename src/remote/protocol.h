/* protocol (private to remote/): an aws call <-> HTTP, as pure functions: JSON 1.0/1.1 (DynamoDB, SQS, ...), Query
 * (STS, SNS, ...), REST-XML (S3: the operations of ops.def), REST-JSON (SESv2: SendEmail).
 *
 * Shapes on the aws_call's side: as local/ takes and gives them (aws.h), so that a handler sees no difference: the same
 * members, types (ETag with its quotes, ContentLength as a number, LastModified as local gives it), the same error
 * names. */
#ifndef PERIGEE_REMOTE_PROTOCOL_H
#define PERIGEE_REMOTE_PROTOCOL_H
#include "aws/aws.h"
#include "remote/settings.h"

struct wire_request {
    struct str method;
    struct str path; /* raw, encoded, begins with '/'; without the endpoint's prefix; S3: of the object, no bucket */
    struct str raw_query;        /* encoded, sorted as the signature wants it */
    struct str bucket;           /* S3 */
    struct http_header *headers; /* all but host, date, token, payload hash, authorization, user agent */
    size_t n_headers;
    struct str body;
    bool has_body_file;  /* the body is call->body_fd: whoever streams it adds what its framing needs: aws-chunked, */
    bool trailing_crc32; /* its length, payload hash, and, when this is set, the trailing x-amz-checksum-crc32 */
    struct str body_sha256; /* hex; empty with a file */
};
/* Parameters -> request in a. Fills in idempotency tokens (ClientRequestToken of TransactWriteItems) that are missing,
 * once a call. Unknown parameters are sent by JSON protocols as they are, refused by name by REST ones. */
int protocol_encode(const struct settings *s, struct aws_call *c, struct arena *a, struct wire_request *ret,
                    struct err *e);

struct wire_response {
    int status;
    const struct http_header *headers;
    size_t n_headers;
    struct str body;
    bool streamed; /* the body went to call->result_fd; its CRC-32 and length: */
    uint32_t streamed_crc32;
    uint64_t streamed_len;
};
/* Answer -> call->result, result_body, request_id, extended_id (copied into the call's arena), or call->err: the
 * service's own (err_service) with the error's further members in call->result; BAD_ANSWER for what is not what the
 * protocol promises (no JSON/XML, wrong CRC32 or checksum, length that differs). S3's 200 with an <Error> body is an
 * error. Error bodies over 64 KiB (JSON: 16 MiB) are cut, not refused. Returns 0, or -1 with call->err set. */
int protocol_decode(const struct settings *s, struct aws_call *c, const struct wire_response *r);
/* The region that S3 names in a redirect (x-amz-bucket-region, <Region>), or empty. */
struct str protocol_redirect_region(const struct wire_response *r, struct arena *a);

#endif
