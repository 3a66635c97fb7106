/* ListObjectsV2, ListObjects: keys in byte order, rolled up at the delimiter. A rolled-up prefix is left by a jump to
 * the first key that cannot begin with it, so that its members are not walked. */
#include "base/crypto.h"
#include "base/url.h"
#include "local/s3/s3.h"
#include <string.h>

struct listing {
    struct arena *a;
    struct str bucket, prefix, delimiter, after;
    bool encode, owner;
    struct json owned_by;
    int64_t max;
    struct json contents, prefixes;
    struct str from; /* the next key must be >= from, or > from when `beyond` */
    bool beyond, more;
    struct str last; /* "k" + key or "p" + prefix: where the next page goes on */
};

/* The first string after all that begin with s (UTF-8 text has no byte 0xFF). */
static struct str successor(struct arena *a, struct str s) {
    struct str copy = arena_str(a, s);
    ((char *)copy.p)[s.n - 1]++;
    return copy;
}

static struct str shown(struct listing *l, struct str s) {
    if (!s.p) s = STR("");
    if (!l->encode) return s;
    struct buf b = BUF_MAX(4 * S3_KEY_MAX);
    url_encode(&b, s, true);
    struct str out = arena_str(l->a, buf_view(&b));
    buf_free(&b);
    return out;
}

/* == requests =======================================================================================================
 */

static struct str make_token(struct arena *a, struct str last) {
    struct buf b = BUF_MAX(4 * S3_KEY_MAX);
    crypto_base64url(&b, last);
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static int read_token(struct listing *l, struct str token, struct err *e) {
    struct buf b = BUF_MAX(2 * S3_KEY_MAX);
    struct str s = STR_NONE;
    if (crypto_unbase64url(&b, token)) s = arena_str(l->a, buf_view(&b));
    buf_free(&b);
    if (s.n < 2 || (s.p[0] != 'k' && s.p[0] != 'p'))
        return err_set(e, ERR_S3_ARGUMENT, "The continuation token provided is incorrect");
    l->beyond = s.p[0] == 'k';
    l->from = l->beyond ? str_from(s, 1) : successor(l->a, str_from(s, 1));
    return 0;
}

static int read_common(struct local_tx *tx, struct aws_call *c, struct listing *l) {
    struct err *e = &c->err;
    const struct json *p = &c->params;
    struct str encoding;
    if (s3_bucket_of(tx, c, &l->bucket, e)) return -1;
    if (params_str(p, "Prefix", ERR_S3_ARGUMENT, &l->prefix, e) ||
        params_str(p, "Delimiter", ERR_S3_ARGUMENT, &l->delimiter, e) ||
        params_str(p, "EncodingType", ERR_S3_ARGUMENT, &encoding, e) ||
        params_int(p, "MaxKeys", 0, INT32_MAX, 1000, ERR_S3_ARGUMENT, &l->max, e))
        return -1;
    if (encoding.n && !str_is(encoding, "url"))
        return err_set(e, ERR_S3_ARGUMENT,
                       "Invalid Encoding Method specified in Request: EncodingType can only be "
                       "\"url\"");
    l->encode = encoding.n;
    if (l->max > 1000) l->max = 1000;
    l->from = l->prefix;
    return 0;
}

static void start_after(struct listing *l) {
    if (!l->after.n || str_cmp(l->after, l->from) < 0) return;
    l->from = l->after;
    l->beyond = true;
}

static void own(struct local_tx *tx, struct listing *l) {
    l->owner = true;
    l->owned_by = json_make_obj();
    json_set(l->a, &l->owned_by, "ID", json_make_str(s3_owner_id(tx, l->a)));
    json_set(l->a, &l->owned_by, "DisplayName", json_make_str(tx->id.account));
}

static int read_v2(struct local_tx *tx, struct aws_call *c, struct listing *l) {
    struct err *e = &c->err;
    const struct json *p = &c->params, *owner = json_get(p, "FetchOwner");
    struct str token;
    bool fetch = false;
    if (params_only(p, "Bucket Prefix Delimiter MaxKeys ContinuationToken StartAfter EncodingType FetchOwner",
                    "ListObjectsV2", ERR_S3_ARGUMENT, e))
        return -1;
    if (read_common(tx, c, l) || params_str(p, "ContinuationToken", ERR_S3_ARGUMENT, &token, e) ||
        params_str(p, "StartAfter", ERR_S3_ARGUMENT, &l->after, e))
        return -1;
    if (owner && !json_bool(owner, &fetch)) return err_set(e, ERR_S3_ARGUMENT, "FetchOwner is no boolean");
    if (fetch) own(tx, l);
    start_after(l);
    return token.p ? read_token(l, token, e) : 0;
}

/* A marker within a common prefix, or that prefix itself, goes past all of it. */
static int read_v1(struct local_tx *tx, struct aws_call *c, struct listing *l) {
    if (params_only(&c->params, "Bucket Prefix Delimiter MaxKeys Marker EncodingType", "ListObjects", ERR_S3_ARGUMENT,
                    &c->err))
        return -1;
    if (read_common(tx, c, l) || params_str(&c->params, "Marker", ERR_S3_ARGUMENT, &l->after, &c->err)) return -1;
    own(tx, l);
    start_after(l);
    struct str common =
        l->beyond && str_starts(l->after, l->prefix) ? s3_common_prefix(l->after, l->prefix, l->delimiter) : STR_NONE;
    if (!common.n) return 0;
    l->from = successor(l->a, common);
    l->beyond = false;
    return 0;
}

/* == walking ========================================================================================================
 */

static void add_object(struct listing *l, struct str key, struct db_stmt *s) {
    struct json row = json_make_obj();
    json_set(l->a, &row, "Key", json_make_str(shown(l, key)));
    json_set(l->a, &row, "LastModified", s3_time(l->a, db_i64(s, 3)));
    json_set(l->a, &row, "ETag", json_make_str(arena_str(l->a, db_bytes(s, 2))));
    s3_tell_checksums(l->a, &row, db_bytes(s, 4));
    json_set(l->a, &row, "Size", json_make_i64(l->a, db_i64(s, 1)));
    json_set(l->a, &row, "StorageClass", json_make_c("STANDARD"));
    if (l->owner) json_set(l->a, &row, "Owner", l->owned_by);
    json_push(l->a, &l->contents, row);
}

#define KEYS "SELECT key,size,etag,modified_ms,checksums FROM objects WHERE bucket=?1 AND key"

/* Walks to the end of the page, of the prefix, or of a common prefix. 1: go on from l->from; 0: finished; -1. */
static int walk(struct local_tx *tx, struct listing *l, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(tx->db, l->beyond ? KEYS ">?2 ORDER BY key" : KEYS ">=?2 ORDER BY key", &s, e)) return -1;
    db_bind_text(s, 1, l->bucket);
    db_bind_text(s, 2, l->from.p ? l->from : STR(""));
    while ((rc = db_step(s, e)) == 1) {
        struct str key = db_bytes(s, 0);
        if (!str_starts(key, l->prefix)) {
            rc = 0;
            break;
        }
        if (l->contents.n + l->prefixes.n >= l->max) {
            l->more = true;
            rc = 0;
            break;
        }
        struct str common = s3_common_prefix(key, l->prefix, l->delimiter);
        if (!common.n) {
            key = arena_str(l->a, key);
            add_object(l, key, s);
            l->last = arena_printf(l->a, "k%.*s", STR_ARG(key));
            continue;
        }
        common = arena_str(l->a, common);
        struct json row = json_make_obj();
        json_set(l->a, &row, "Prefix", json_make_str(shown(l, common)));
        json_push(l->a, &l->prefixes, row);
        l->last = arena_printf(l->a, "p%.*s", STR_ARG(common));
        l->from = successor(l->a, common);
        l->beyond = false;
        break;
    }
    db_done(s);
    return rc;
}

/* == operations =====================================================================================================
 */

static int walk_all(struct local_tx *tx, struct aws_call *c, struct listing *l) {
    struct json *r = &c->result;
    int rc = 0;
    while (l->max && (rc = walk(tx, l, &c->err)) == 1) {
    }
    if (rc < 0) return -1;
    json_set(l->a, r, "Name", json_make_str(l->bucket));
    json_set(l->a, r, "Prefix", json_make_str(shown(l, l->prefix)));
    if (l->delimiter.n) json_set(l->a, r, "Delimiter", json_make_str(shown(l, l->delimiter)));
    if (l->encode) json_set(l->a, r, "EncodingType", json_make_c("url"));
    json_set(l->a, r, "MaxKeys", json_make_i64(l->a, l->max));
    json_set(l->a, r, "IsTruncated", json_make_bool(l->more));
    if (l->contents.n) json_set(l->a, r, "Contents", l->contents);
    if (l->prefixes.n) json_set(l->a, r, "CommonPrefixes", l->prefixes);
    return 0;
}

int s3_list(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct listing l = {.a = a, .contents = json_make_arr(), .prefixes = json_make_arr()};
    struct str token = json_get_s(&c->params, "ContinuationToken");
    if (read_v2(tx, c, &l) || walk_all(tx, c, &l)) return -1;
    if (l.after.n) json_set(a, &c->result, "StartAfter", json_make_str(shown(&l, l.after)));
    json_set(a, &c->result, "KeyCount", json_make_i64(a, (int64_t)l.contents.n + l.prefixes.n));
    if (token.n) json_set(a, &c->result, "ContinuationToken", json_make_str(token));
    if (l.more) json_set(a, &c->result, "NextContinuationToken", json_make_str(make_token(a, l.last)));
    return 0;
}

/* "NextMarker is returned only if you have the delimiter request parameter specified." */
int s3_list_v1(struct local_tx *tx, struct aws_call *c) {
    struct listing l = {.a = &c->arena, .contents = json_make_arr(), .prefixes = json_make_arr()};
    if (read_v1(tx, c, &l) || walk_all(tx, c, &l)) return -1;
    json_set(l.a, &c->result, "Marker", json_make_str(shown(&l, l.after)));
    if (l.more && l.delimiter.n) json_set(l.a, &c->result, "NextMarker", json_make_str(shown(&l, str_from(l.last, 1))));
    return 0;
}
