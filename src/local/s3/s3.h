/* s3 (private to local/): the doors of s3/ that conn.c, store.c and face.c use. */
#ifndef PERIGEE_LOCAL_S3_H
#define PERIGEE_LOCAL_S3_H
#include "local/store.h"

/* At open: makes the directories, removes temporary files and object files that no row names. */
int s3_prepare(struct local *l, struct db *db, struct err *e);
enum aws_started s3_put_start(struct local_conn *conn, struct aws_call *c);
int s3_presign(struct aws_backend *b, struct arena *a, struct str method, struct str bucket, struct str key,
               int64_t expires_s, struct str host_hint, struct str *ret_url, int64_t *ret_expires_ms, struct err *e);

#endif
