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
    S3_READ = S3_GET | S3_HEAD,
};
enum s3_operation s3_operation(enum aws_op op); /* 0: only the engine has it */

enum s3_type { S3_TEXT, S3_INT, S3_BOOL, S3_DATE /* RFC 9110 5.6.7 */, S3_ISO };
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
