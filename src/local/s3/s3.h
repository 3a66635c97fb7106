/* s3 (private to local/): buckets and objects; rows in the store, bytes in files. s3.c: buckets and checks; put.c,
 * get.c, list.c: objects; file.c: the files; presign.c: links.
 *
 * An object's bytes are <dir>/s3/<bucket>/<xx>/<object id>, written before its row is and never changed after; the row
 * names the file. A file without a row (a crash in between) goes at the next opening. */
#ifndef PERIGEE_LOCAL_S3_H
#define PERIGEE_LOCAL_S3_H
#include "local/params.h"
#include "local/store.h"

enum { S3_KEY_MAX = 1024, S3_METADATA_MAX = 2048, S3_ID = 36, S3_HEADERS = 5, S3_CHECKSUMS = 3 };

struct s3_object {
    struct str id, etag, content_type;
    int64_t size, modified_ms;
    struct json headers, metadata, checksums; /* objects; members as in the API: CacheControl, ChecksumCRC32, ... */
};

/* Header fields that an object carries, by their API names. */
extern const struct s3_header { const char *member, *header; } s3_headers[S3_HEADERS], s3_checksums[S3_CHECKSUMS];

/* -- at open, and the doors for conn.c -------------------------------------------------------------------------------
 */
int s3_prepare(struct local *l, struct db *db, struct err *e);
enum aws_started s3_put_start(struct local_conn *conn, struct aws_call *c);
int s3_presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
               int64_t *ret_expires_ms, struct err *e);
int s3_presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                    struct json *ret, int64_t *ret_expires_ms, struct err *e);

/* -- rows
 * -------------------------------------------------------------------------------------------------------------- */
int s3_bucket_of(struct local_tx *tx, struct aws_call *c, struct str *ret,
                 struct err *e); /* params.Bucket, which must exist */
int s3_key_of(struct aws_call *c, struct str *ret, struct err *e);
/* 1: found; 0: there is none; -1. */
int s3_find(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct s3_object *ret,
            struct err *e);
/* Whether the list in an If-Match or If-None-Match value ("*", etags, quoted or not) names this one. */
bool s3_etag_listed(struct str list, struct str etag);

/* -- files
 * ------------------------------------------------------------------------------------------------------------- */
const char *s3_path(struct local *l, struct arena *a, struct str bucket, struct str id);
int s3_file_write(struct local *l, struct arena *a, struct str bucket, struct str id, struct str body, struct err *e);
void s3_file_remove(const char *path);

/* What GetObject gives instead of bytes when the call's `state` points to one: an open file, to be closed by the taker.
 */
struct s3_file {
    int fd;
    uint64_t off, len;
};

local_fn s3_put_row, s3_get, s3_head, s3_delete, s3_list;

#endif
