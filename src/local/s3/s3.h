/* s3 (private to local/): buckets and objects; rows in the store, bytes in files. s3.c: buckets and checks; put.c,
 * get.c, list.c: objects; file.c: the files; sums.c: digests; presign.c: links; form.c, post.c: browser uploads.
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

/* Where the cloud port can be reached by who sent that Host header: "http://shop.test:4566". */
struct str s3_base(struct local *l, struct arena *a, struct str host_hint);
/* The header fields that response-* parameters of a link can set, in lower case; ended by NULL. */
extern const char *const s3_overrides[];

/* A browser's upload: the PutObject call of a form whose policy allows it, and what the answer depends on. Views into
 * the request and its arena. */
struct s3_post {
    struct str key, redirect, status; /* success_action_redirect, success_action_status */
};
int s3_post_call(struct local *l, const struct http_request *r, struct str bucket, struct s3_post *ret,
                 struct aws_call **ret_call, struct err *e);

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
/* An object's file in the making: begin, add..., then end (durable, in its place) or drop. A failing add or end has
 * dropped it. Any thread. */
struct s3_writer {
    struct local *l;
    struct arena *a;
    struct str bucket, id;
    const char *temp;
    int fd;
};
int s3_write_begin(struct s3_writer *w, struct err *e); /* w->l, a, bucket, id are set */
int s3_write_add(struct s3_writer *w, struct str data, struct err *e);
int s3_write_end(struct s3_writer *w, struct err *e);
void s3_write_drop(struct s3_writer *w);
void s3_file_remove(const char *path);

/* What GetObject gives instead of bytes when the call's `state` points to one: an open file, to be closed by the taker.
 */
struct s3_file {
    int fd;
    uint64_t off, len;
};

/* GetObject into the call's result_fd: `from` is what was opened for it, taken over. */
enum aws_started s3_copy_start(struct local_conn *conn, struct aws_call *c, const struct s3_file *from);

/* -- digests: MD5 and those of s3_checksums that are wanted; NULL or unset when they are not. begin, add..., then end
 * or drop. */
struct s3_sums {
    struct crypto_digest *md5, *sha1, *sha256;
    bool crc;
    uint32_t crc32;
};
void s3_sums_begin(struct s3_sums *s, const bool wanted[S3_CHECKSUMS]);
void s3_sums_add(struct s3_sums *s, struct str data);
void s3_sums_end(struct s3_sums *s, struct arena *a, uint8_t ret_md5[16], struct str ret[S3_CHECKSUMS]); /* base64 */
void s3_sums_drop(struct s3_sums *s);

/* Bytes of a file that one turn in the pool moves, so that other work comes in between. */
enum { S3_PIECE = 16 << 20, S3_STEP = 256 << 10 };

local_fn s3_put_row, s3_get, s3_head, s3_delete, s3_list;

#endif
