/* wire_s3 (private to protocol_s3*.c): members of S3's operations, checksums, words of RFC 2047. */
#ifndef PERIGEE_REMOTE_WIRE_S3_H
#define PERIGEE_REMOTE_WIRE_S3_H
#include "remote/wire.h"

enum s3_operation {
    S3_CREATE = 1,
    S3_HEAD_BUCKET = 2,
    S3_BUCKETS = 4,
    S3_PUT = 8,
    S3_GET = 16,
    S3_HEAD = 32,
    S3_DELETE = 64,
    S3_LIST = 128,
    S3_COPY = 1 << 8,
    S3_DELETE_BUCKET = 1 << 9,
    S3_LOCATION = 1 << 10,
    S3_DELETE_MANY = 1 << 11,
    S3_LIST_V1 = 1 << 12,
    S3_LIST_VERSIONS = 1 << 13,
    S3_MAKE = 1 << 14, /* CreateMultipartUpload */
    S3_PART = 1 << 15,
    S3_PART_COPY = 1 << 16,
    S3_COMPLETE = 1 << 17,
    S3_ABORT = 1 << 18,
    S3_PARTS = 1 << 19,
    S3_UPLOADS = 1 << 20,
    S3_TAG = 1 << 21, /* PutObjectTagging, ... */
    S3_TAGS = 1 << 22,
    S3_UNTAG = 1 << 23,
    S3_SET_VERSIONING = 1 << 24,
    S3_GET_VERSIONING = 1 << 25,
    S3_SET_LIFECYCLE = 1 << 26,
    S3_GET_LIFECYCLE = 1 << 27,
    S3_DROP_LIFECYCLE = 1 << 28,
    S3_READ = S3_GET | S3_HEAD,
    S3_UPLOAD = S3_PART | S3_PART_COPY | S3_COMPLETE | S3_ABORT | S3_PARTS,
    S3_OF_KEY = S3_PUT | S3_READ | S3_DELETE | S3_COPY | S3_MAKE | S3_UPLOAD | S3_TAG | S3_TAGS | S3_UNTAG,
};
/* How an operation travels. */
struct s3_plan {
    enum aws_op op;
    enum s3_operation operation;
    const char *method;
    const char *sub;   /* sub-resource in the query, or NULL */
    const char *takes; /* the parameter that is the body, in XML, or NULL */
    enum s3_shape body;
    enum s3_shape answer;
};
const struct s3_plan *s3_plan(enum aws_op op);
enum s3_operation s3_operation(enum aws_op op);

struct s3_member {
    const char *name, *wire;
    bool in_query;
    enum s3_type type;
    unsigned takes, gives; /* operations */
};
/* Ends with a row without a name. */
const struct s3_member *s3_members(void);

enum s3_sum { S3_CRC32, S3_CRC32C, S3_CRC64NVME, S3_SHA1, S3_SHA256, S3_SUMS };
struct s3_sum_row {
    const char *algorithm, *member, *header; /* "CRC32", "ChecksumCRC32", "x-amz-checksum-crc32" */
};
const struct s3_sum_row *s3_sum_row(enum s3_sum sum);
/* base64 of the sum, as in its header. */
struct str s3_sum(struct arena *a, enum s3_sum sum, struct str data);

/* Metadata beyond ASCII travels as encoded words: "=?UTF-8?B?...?=" ... (RFC 2047 2, 4.1). */
struct str s3_words_encode(struct arena *a, struct str text);
/* Words in other character sets, what is no well-formed word, and texts that would not be UTF-8 stay as they are. */
struct str s3_words_decode(struct arena *a, struct str text);

#endif
