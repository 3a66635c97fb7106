/* s3 (private to local/): buckets and objects; rows in the store, bytes in files.
 *
 *   s3.c: the table of operations, the tables, checks   bucket.c: buckets and their settings   object.c: rows, versions
 *   make.c: files in the making; put.c, part.c: those of objects and of parts   get.c   delete.c   tags.c
 *   list.c, versions.c: listings   multipart.c: uploads and parts   lifecycle.c: expiry   file.c: the files
 *   sums.c: digests   presign.c: links   form.c, post.c: browser uploads
 *
 * An object's bytes are <dir>/s3/<bucket>/<xx>/<object id>, written before its row is and never changed after; the row
 * names the file. Parts of uploads are files likewise. A file without a row (a crash in between) goes at the next
 * opening.
 *
 * Tables: `objects` has what a plain GetObject sees: the newest version of each key unless that is a delete marker;
 * `object_versions` everything older, and delete markers, `seq` ascending with age's end. version_id: "" is the version
 * that the API calls "null". */
#ifndef PERIGEE_LOCAL_S3_H
#define PERIGEE_LOCAL_S3_H
#include "local/params.h"
#include "local/store.h"

enum { S3_KEY_MAX = 1024, S3_METADATA_MAX = 2048, S3_ID = 36, S3_HEADERS = 5, S3_PARTS_MAX = 10000 };
enum s3_checksum { S3_CRC32, S3_CRC32C, S3_CRC64NVME, S3_SHA1, S3_SHA256, S3_CHECKSUMS };
#define S3_PUT_MAX (UINT64_C(5) << 30)  /* bytes of one PutObject, part or copy */
#define S3_PART_MIN (UINT64_C(5) << 20) /* of a part that is not the last */

struct s3_object {
    struct str id, etag, content_type; /* id: of the file; empty for a delete marker */
    int64_t size, modified_ms;
    struct json headers, metadata; /* objects; members as in the API: CacheControl, ... */
    struct json checksums;         /* ChecksumCRC32, ..., ChecksumType */
    struct str version;            /* "" */
    struct str tags;               /* [{"Key","Value"}, ...] as JSON text, or "" */
    struct str parts;              /* "5242880,5242880,17": of an object made of parts; or "" */
    bool marker, latest;
};

/* Header fields that an object carries, by their API names. */
extern const struct s3_header { const char *member, *header; } s3_headers[S3_HEADERS], s3_checksums[S3_CHECKSUMS];

/* -- at open, and the doors for conn.c and writer.c ------------------------------------------------------------------
 */
int s3_prepare(struct local *l, struct db *db, struct err *e);
/* Whether no file was made or removed since s3_keep_clean, the last step of a clean end: s3_prepare, which looks at
 * each file, is not needed then. True once for each end. */
bool s3_is_clean(const struct local *l);
void s3_keep_clean(const struct local *l);
/* Operations that make a file before they write a row; started by s3_put_start. */
bool s3_makes_file(enum aws_op op);
enum aws_started s3_put_start(struct local_conn *conn, struct aws_call *c);
int s3_presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
               int64_t *ret_expires_ms, struct err *e);
int s3_presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                    struct json *ret, int64_t *ret_expires_ms, struct err *e);
/* Housekeeping, like sqs_sweep; `bin` takes the files that go after the commit. */
struct s3_bin;
int s3_sweep(struct local_tx *tx, struct s3_bin *bin, int max, bool *ret_more, struct err *e);

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

/* -- rows ------------------------------------------------------------------------------------------------------------
 */
struct s3_bucket {
    struct str name;
    bool versioned, suspended; /* versioned: now; suspended: no more */
};
int s3_bucket_of(struct local_tx *tx, struct aws_call *c, struct str *ret,
                 struct err *e); /* params.Bucket, which must exist */
int s3_bucket_row(struct local_tx *tx, struct arena *a, struct str name, struct s3_bucket *ret, struct err *e);
int s3_key_of(struct aws_call *c, struct str *ret, struct err *e);
/* 1: found; 0: there is none; -1. */
int s3_find(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct s3_object *ret,
            struct err *e);
/* The version of that id ("null": the one that has none); a delete marker is one too. */
int s3_find_version(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct str version,
                    struct s3_object *ret, struct err *e);
/* The delete marker that is the newest version of a key that s3_find does not find. */
int s3_find_marker(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct s3_object *ret,
                   struct err *e);
/* What VersionId in the parameters names, else the current one. -1 with NoSuchKey, NoSuchVersion or MethodNotAllowed
 * (a marker) when there are no bytes; members about the marker are in the call's result then. */
int s3_locate(struct local_tx *tx, struct aws_call *c, struct str bucket, struct str key, struct s3_object *ret,
              struct err *e);
/* "" -> "null" */
struct str s3_shown_version(struct str version);
/* Whether the list in an If-Match or If-None-Match value ("*", etags, quoted or not) names this one. */
bool s3_etag_listed(struct str list, struct str etag);
/* What a listing tells instead of the keys that begin so: up to the first delimiter after the prefix; or STR_NONE. */
struct str s3_common_prefix(struct str key, struct str prefix, struct str delimiter);
/* ChecksumAlgorithm and ChecksumType of a listing's row, of an object's checksums as they are stored. */
void s3_tell_checksums(struct arena *a, struct json *row, struct str text);
struct str s3_json_text(struct arena *a, const struct json *v);
struct str s3_owner_id(struct local_tx *tx, struct arena *a); /* 64 hex digits */
struct json s3_time(struct arena *a, int64_t unix_ms);
struct str s3_base64(struct arena *a, const void *digest, size_t n);

/* Files to be removed once the transaction is committed. */
struct s3_bin {
    struct arena *a;
    struct s3_bin_row *first;
    struct local *local; /* NULL: emptied in the writer's thread */
    uint64_t era;
};
/* Of the writer's present transaction; for s3_bin_empty on any thread. */
void s3_bin_init(struct s3_bin *bin, struct local *l, struct arena *a);
struct s3_bin *s3_bin_of(struct local_tx *tx, struct arena *a); /* that of the operation that runs */
void s3_bin_add(struct s3_bin *bin, const struct local *l, struct str bucket, struct str id);
/* Removes them; unless a snapshot was restored since, which may have brought them back: then they go at the next
 * opening. */
void s3_bin_empty(void *bin);

/* Makes `o` the newest version; what it replaces goes, or stays as an older one, as the bucket says. o->version is set.
 * `old`: the current row, or NULL when there is none. */
int s3_store(struct local_tx *tx, const struct s3_bucket *b, struct str key, struct s3_object *o,
             const struct s3_object *old, struct s3_bin *bin, struct err *e);
/* DeleteObject: *ret is what was deleted or made: VersionId, DeleteMarker. version.p == NULL: the current one. */
int s3_remove(struct local_tx *tx, struct arena *a, const struct s3_bucket *b, struct str key, struct str version,
              struct s3_bin *bin, struct json *ret, struct err *e);

/* -- tags ------------------------------------------------------------------------------------------------------------
 */
/* "a=b&c=d" (x-amz-tagging) -> JSON text of a tag set, checked; "" for none. */
int s3_tags_of_header(struct arena *a, struct str header, struct str *ret, struct err *e);
int64_t s3_tag_count(struct str tags);

/* -- uploads in parts ------------------------------------------------------------------------------------------------
 */
struct s3_upload {
    struct str id, key, content_type, headers, metadata, tags;
    struct str algorithm; /* "CRC32", ... or "" */
    struct str type;      /* "COMPOSITE", "FULL_OBJECT" or "" */
    struct str done;      /* the result as JSON text when it is completed, else "" */
    int64_t created_ms;
};
struct s3_part {
    int64_t number, size, modified_ms;
    struct str id, etag;
    struct json checksums;
};
/* Bucket, Key and UploadId of the parameters; NoSuchUpload. A completed one counts when `completed`. */
int s3_upload_of(struct local_tx *tx, struct aws_call *c, bool completed, struct s3_upload *ret, struct err *e);
int s3_part_find(struct local_tx *tx, struct arena *a, struct str upload, int64_t number, struct s3_part *ret,
                 struct err *e);
int s3_parts_forget(struct local_tx *tx, struct arena *a, struct str bucket, struct str upload, struct s3_bin *bin,
                    struct err *e);
int s3_upload_forget(struct local_tx *tx, struct arena *a, struct str bucket, struct str upload, struct s3_bin *bin,
                     struct err *e);

/* -- files -----------------------------------------------------------------------------------------------------------
 */
const char *s3_path(const struct local *l, struct arena *a, struct str bucket, struct str id);
/* An object's file in the making: begin, add..., then end (durable) or drop. A failing add or end has dropped it. Any
 * thread. */
struct s3_writer {
    struct local *l;
    struct arena *a;
    struct str bucket, id;
    const char *path;
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
/* The file of params.CopySource ("bucket/key?versionId=id", encoded) under the conditions CopySourceIf...; to be closed
 * by the taker. On the loop's thread. */
int s3_open_source(struct local_conn *conn, struct aws_call *c, struct s3_object *ret, struct str *ret_name,
                   int *ret_fd, struct err *e);
/* "bytes=0-9" of an object of that size, both ends given. */
int s3_source_range(struct str range, int64_t size, int64_t *ret_off, int64_t *ret_len, struct err *e);

/* -- digests: MD5 and those of s3_checksums that are wanted; NULL or unset when they are not. begin, add..., then end
 * or drop. */
struct s3_sums {
    struct crypto_digest *md5, *sha1, *sha256;
    struct s3_crc *crc32c, *crc64;
    bool crc;
    uint32_t crc32;
};
void s3_sums_begin(struct s3_sums *s, const bool wanted[S3_CHECKSUMS]);
void s3_sums_add(struct s3_sums *s, struct str data);
void s3_sums_end(struct s3_sums *s, struct arena *a, uint8_t ret_md5[16], struct str ret[S3_CHECKSUMS]); /* base64 */
void s3_sums_drop(struct s3_sums *s);

/* Bytes of a file that one turn in the pool moves, so that other work comes in between. */
enum { S3_PIECE = 16 << 20, S3_STEP = 256 << 10 };

/* -- operations ------------------------------------------------------------------------------------------------------
 */
local_fn s3_create_bucket, s3_head_bucket, s3_delete_bucket, s3_list_buckets, s3_location, s3_set_versioning,
    s3_get_versioning, s3_set_lifecycle, s3_get_lifecycle, s3_delete_lifecycle, s3_get, s3_head, s3_delete,
    s3_delete_many, s3_list, s3_list_v1, s3_list_versions, s3_set_tags, s3_get_tags, s3_delete_tags, s3_upload_create,
    s3_upload_abort, s3_upload_parts, s3_uploads;

#endif
