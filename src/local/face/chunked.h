/* chunked (private to local/face): bodies in aws-chunked coding (Amazon S3, "Transferring Payload in Multiple Chunks
 * (Chunked Upload)", with and without signatures, with and without trailing headers). A pure function on bytes. */
#ifndef PERIGEE_LOCAL_FACE_CHUNKED_H
#define PERIGEE_LOCAL_FACE_CHUNKED_H
#include "base/http.h"
#include "sign/sign.h"

struct chunked_in {
    struct str body;
    bool is_signed;             /* each chunk, and the trailer, carries a signature */
    struct sign_stream *stream; /* what they must be; NULL: not verified */
    bool trailer;               /* trailing headers may follow the last chunk */
    struct str names;           /* of the trailing headers: value of x-amz-trailer, "a,b" */
};
struct chunked_out {
    struct str data; /* in the arena */
    struct http_header *trailers;
    size_t n_trailers;
};
/* Errors: S3_INCOMPLETE (cut short, sizes that are none), S3_SIGNATURE, S3_TRAILER, S3_CHUNK_SIZE. */
int chunked_decode(const struct chunked_in *in, struct arena *a, struct chunked_out *ret, struct err *e);

#endif
