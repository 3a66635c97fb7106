/* ListObjectsV2: keys in byte order, rolled up at the delimiter. A rolled-up prefix is left by a jump to the first key
 * that cannot begin with it, so that its members are not walked. */
#include "base/crypto.h"
#include "base/url.h"
#include "local/s3/s3.h"
#include <string.h>

struct listing {
    struct arena *a;
    struct str bucket, prefix, delimiter, after;
    bool encode;
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
    if (!l->encode) return s;
    struct buf b = BUF_MAX(4 * S3_KEY_MAX);
    url_encode(&b, s, true);
    struct str out = arena_str(l->a, buf_view(&b));
    buf_free(&b);
    return out;
}

/* == tokens =========================================================================================================
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

static int read_request(struct local_tx *tx, struct aws_call *c, struct listing *l) {
    struct err *e = &c->err;
    const struct json *p = &c->params;
    struct str token, encoding;
    if (params_only(p, "Bucket Prefix Delimiter MaxKeys ContinuationToken StartAfter EncodingType", "ListObjectsV2",
                    ERR_S3_ARGUMENT, e))
        return -1;
    if (s3_bucket_of(tx, c, &l->bucket, e)) return -1;
    if (params_str(p, "Prefix", ERR_S3_ARGUMENT, &l->prefix, e) ||
        params_str(p, "Delimiter", ERR_S3_ARGUMENT, &l->delimiter, e))
        return -1;
    if (params_str(p, "ContinuationToken", ERR_S3_ARGUMENT, &token, e) ||
        params_str(p, "StartAfter", ERR_S3_ARGUMENT, &l->after, e))
        return -1;
    if (params_str(p, "EncodingType", ERR_S3_ARGUMENT, &encoding, e)) return -1;
    if (params_int(p, "MaxKeys", 0, INT32_MAX, 1000, ERR_S3_ARGUMENT, &l->max, e)) return -1;
    if (encoding.n && !str_is(encoding, "url")) return err_set(e, ERR_S3_ARGUMENT, "EncodingType can only be \"url\"");
    l->encode = encoding.n;
    if (l->max > 1000) l->max = 1000;
    l->from = l->prefix;
    if (l->after.n && str_cmp(l->after, l->from) >= 0) {
        l->from = l->after;
        l->beyond = true;
    }
    return token.n ? read_token(l, token, e) : 0;
}

/* == walking ========================================================================================================
 */

static struct str rolled_up(const struct listing *l, struct str key) {
    if (!l->delimiter.n) return STR_NONE;
    ptrdiff_t at = str_find(key, l->delimiter, l->prefix.n);
    return at < 0 ? STR_NONE : str_take(key, (size_t)at + l->delimiter.n);
}

static void add_object(struct listing *l, struct str key, struct db_stmt *s) {
    struct json row = json_make_obj();
    char *when = arena_alloc(l->a, 25);
    now_iso(db_i64(s, 3), when);
    json_set(l->a, &row, "Key", json_make_str(shown(l, key)));
    json_set(l->a, &row, "LastModified", json_make_c(when));
    json_set(l->a, &row, "ETag", json_make_str(arena_str(l->a, db_bytes(s, 2))));
    json_set(l->a, &row, "Size", json_make_i64(l->a, db_i64(s, 1)));
    json_set(l->a, &row, "StorageClass", json_make_c("STANDARD"));
    json_push(l->a, &l->contents, row);
}

/* Walks to the end of the page, of the prefix, or of a common prefix. 1: go on from l->from; 0: finished; -1. */
static int walk(struct local_tx *tx, struct listing *l, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(tx->db,
                l->beyond ? "SELECT key,size,etag,modified_ms FROM objects WHERE bucket=?1 AND key>?2 ORDER BY key"
                          : "SELECT key,size,etag,modified_ms FROM objects WHERE bucket=?1 AND key>=?2 ORDER BY key",
                &s, e))
        return -1;
    db_bind_text(s, 1, l->bucket);
    db_bind_text(s, 2, l->from);
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
        struct str common = rolled_up(l, key);
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

int s3_list(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct listing l = {.a = a, .contents = json_make_arr(), .prefixes = json_make_arr()};
    struct json *r = &c->result;
    int rc = read_request(tx, c, &l);
    if (rc) return -1;
    while (l.max && (rc = walk(tx, &l, &c->err)) == 1) {
    }
    if (rc < 0) return -1;
    json_set(a, r, "Name", json_make_str(l.bucket));
    json_set(a, r, "Prefix", json_make_str(shown(&l, l.prefix.p ? l.prefix : STR(""))));
    if (l.delimiter.n) json_set(a, r, "Delimiter", json_make_str(shown(&l, l.delimiter)));
    if (l.after.n) json_set(a, r, "StartAfter", json_make_str(shown(&l, l.after)));
    if (l.encode) json_set(a, r, "EncodingType", json_make_c("url"));
    json_set(a, r, "MaxKeys", json_make_i64(a, l.max));
    json_set(a, r, "KeyCount", json_make_i64(a, (int64_t)l.contents.n + l.prefixes.n));
    json_set(a, r, "IsTruncated", json_make_bool(l.more));
    if (l.contents.n) json_set(a, r, "Contents", l.contents);
    if (l.prefixes.n) json_set(a, r, "CommonPrefixes", l.prefixes);
    if (l.more) json_set(a, r, "NextContinuationToken", json_make_str(make_token(a, l.last)));
    return 0;
}
