/* make (private to s3/): operations that make a file and then a row.
 *
 *   loop: check ─► pool: hash and write the file, verify ─► loop ─► writer: row ─► loop: files that went removed, done
 *
 * The bytes pass the pool in pieces. When anything after the file fails, the new file goes and the store is what it
 * was. */
#ifndef PERIGEE_LOCAL_S3_MAKE_H
#define PERIGEE_LOCAL_S3_MAKE_H
#include "local/s3/s3.h"

struct s3_make;
struct s3_make_kind {
    enum aws_op op;
    /* Loop's thread: reads the parameters, fills bucket, key, o, claimed, wanted and the source. 1: the result is there
     * already; 0; -1. */
    int (*check)(struct s3_make *m, struct local_tx *tx, struct err *e);
    /* Writer, after the file is there; runs again after a rollback. Sets the call's result. */
    int (*row)(struct s3_make *m, struct local_tx *tx, struct err *e);
    /* Loop's thread, when the file could not be made: 0 when the result is there all the same. May be NULL. */
    int (*failed)(struct s3_make *m, struct local_tx *tx);
};
extern const struct s3_make_kind s3_make_put, s3_make_copy, s3_make_part, s3_make_part_copy, s3_make_complete;

struct s3_make {
    const struct s3_make_kind *kind;
    struct aws_call *call;
    struct local_conn *conn;
    struct pool_work work;
    struct local_op op;
    struct str bucket, key, if_match, if_none_match;
    struct s3_object o;        /* id, size; etag unless it is set; checksums: what is stored */
    struct json claimed;       /* ChecksumCRC32, ...: what the sender says of the bytes */
    bool wanted[S3_CHECKSUMS]; /* to be stored whoever claims what */
    /* the bytes: in memory (call->body), or of fd from off, or of the parts, one after the other */
    int fd; /* owned unless it is the call's */
    uint64_t off, written, part_written;
    const struct s3_part *parts;
    size_t n_parts, at;
    int part_fd;
    struct str upload; /* the id, of parts and of what is made of them */
    int64_t number;
    struct str source_version;
    bool version_named; /* by CopySource */
    struct s3_sums sums;
    struct s3_writer file;
    char *room; /* for reading; NULL until the first piece */
    bool begun;
    struct err err;
};

/* What operations share. */
int s3_make_metadata(struct s3_make *m, struct err *e);          /* ContentType, CacheControl, ..., Metadata */
int s3_make_claims(struct s3_make *m, struct err *e);            /* Checksum..., ChecksumAlgorithm */
int s3_make_algorithm(struct str name, int *ret, struct err *e); /* "CRC32" -> S3_CRC32; "" -> -1 */
int s3_make_body(struct s3_make *m, struct err *e);              /* the call's body is the source */
int s3_make_source(struct s3_make *m, struct s3_object *ret, struct str *ret_name, struct err *e); /* CopySource is */
int s3_make_writes(struct s3_make *m, struct err *e); /* reads IfMatch, IfNoneMatch of a write */
int s3_make_conditions(struct s3_make *m, int found, const struct s3_object *old, struct err *e);
/* ETag and checksums into *into. */
void s3_make_sums(struct s3_make *m, struct json *into);
void s3_make_version(struct s3_make *m, const struct s3_bucket *b);

#endif
