/* ListObjectVersions: every version of every key, keys in byte order, the newest first. */
#include "base/url.h"
#include "local/s3/s3.h"

struct history {
    struct local_tx *tx;
    struct arena *a;
    struct str bucket, prefix, delimiter, key, version; /* after that version of that key */
    bool encode;
    int64_t max;
    struct json versions, markers, prefixes, owner;
    struct str last_key, last_version, common; /* common: the prefix that was rolled up last */
    bool more, passed;                         /* passed: the version that the page before ended with */
};

static struct str shown(struct history *h, struct str s) {
    if (!s.p) s = STR("");
    if (!h->encode) return s;
    struct buf b = BUF_MAX(4 * S3_KEY_MAX);
    url_encode(&b, s, true);
    struct str out = arena_str(h->a, buf_view(&b));
    buf_free(&b);
    return out;
}

static int read_request(struct aws_call *c, struct history *h, struct err *e) {
    const struct json *p = &c->params;
    struct str encoding;
    if (params_only(p, "Bucket Prefix Delimiter KeyMarker VersionIdMarker MaxKeys EncodingType", c->row->action,
                    ERR_S3_ARGUMENT, e) ||
        s3_bucket_of(h->tx, c, &h->bucket, e) || params_str(p, "Prefix", ERR_S3_ARGUMENT, &h->prefix, e) ||
        params_str(p, "Delimiter", ERR_S3_ARGUMENT, &h->delimiter, e) ||
        params_str(p, "KeyMarker", ERR_S3_ARGUMENT, &h->key, e) ||
        params_str(p, "VersionIdMarker", ERR_S3_ARGUMENT, &h->version, e) ||
        params_str(p, "EncodingType", ERR_S3_ARGUMENT, &encoding, e) ||
        params_int(p, "MaxKeys", 0, INT32_MAX, 1000, ERR_S3_ARGUMENT, &h->max, e))
        return -1;
    if (encoding.n && !str_is(encoding, "url"))
        return err_set(e, ERR_S3_ARGUMENT, "Invalid Encoding Method specified in Request");
    if (h->version.n && !h->key.n)
        return err_set(e, ERR_S3_ARGUMENT, "A version-id marker cannot be specified without a key marker.");
    h->encode = encoding.n;
    if (h->max > 1000) h->max = 1000;
    return 0;
}

/* key,latest,marker,version_id,size,etag,modified_ms,seq,checksums */
static void add_version(struct history *h, struct str key, struct db_stmt *s) {
    struct json row = json_make_obj();
    bool marker = db_i64(s, 2);
    json_set(h->a, &row, "Key", json_make_str(shown(h, key)));
    json_set(h->a, &row, "VersionId", json_make_str(h->last_version));
    json_set(h->a, &row, "IsLatest", json_make_bool(db_i64(s, 1)));
    json_set(h->a, &row, "LastModified", s3_time(h->a, db_i64(s, 6)));
    if (!marker) {
        json_set(h->a, &row, "ETag", json_make_str(arena_str(h->a, db_bytes(s, 5))));
        s3_tell_checksums(h->a, &row, db_bytes(s, 8));
        json_set(h->a, &row, "Size", json_make_i64(h->a, db_i64(s, 4)));
        json_set(h->a, &row, "StorageClass", json_make_c("STANDARD"));
    }
    json_set(h->a, &row, "Owner", h->owner);
    json_push(h->a, marker ? &h->markers : &h->versions, row);
}

static void add_common(struct history *h, struct str common) {
    struct json row = json_make_obj();
    h->common = arena_str(h->a, common);
    h->last_key = h->common;
    h->last_version = STR("");
    json_set(h->a, &row, "Prefix", json_make_str(shown(h, h->common)));
    json_push(h->a, &h->prefixes, row);
}

/* Whether the page before had it. */
static bool was_told(struct history *h, struct str key, struct str version) {
    if (!h->key.n || !str_eq(key, h->key)) return false;
    if (!h->version.n) return true;
    if (h->passed) return false;
    h->passed = str_eq(version, h->version);
    return true;
}

/* false: the page is full. */
static bool take(struct history *h, struct db_stmt *s) {
    struct str key = db_bytes(s, 0), version = s3_shown_version(db_bytes(s, 3));
    struct str common = s3_common_prefix(key, h->prefix, h->delimiter);
    if (was_told(h, key, version) || (common.n && (str_eq(common, h->common) || str_starts(h->key, common))))
        return true;
    h->more = h->versions.n + h->markers.n + h->prefixes.n >= h->max;
    if (h->more) return false;
    if (common.n) {
        add_common(h, common);
        return true;
    }
    h->last_key = arena_str(h->a, key);
    h->last_version = arena_str(h->a, version);
    add_version(h, h->last_key, s);
    return true;
}

static int walk(struct history *h, struct err *e) {
    struct db_stmt *s = NULL;
    int rc;
    if (db_stmt(
            h->tx->db,
            "SELECT key,1 AS latest,0 AS marker,version_id,size,etag,modified_ms,9223372036854775807 AS seq,checksums"
            " FROM objects WHERE bucket=?1 AND key>=?2 AND key>=?3 UNION ALL"
            " SELECT v.key,NOT EXISTS(SELECT 1 FROM objects o WHERE o.bucket=v.bucket AND o.key=v.key) AND"
            " v.seq=(SELECT max(seq) FROM object_versions w WHERE w.bucket=v.bucket AND w.key=v.key),"
            " v.marker,v.version_id,v.size,v.etag,v.modified_ms,v.seq,v.checksums"
            " FROM object_versions v WHERE v.bucket=?1 AND v.key>=?2 AND v.key>=?3 ORDER BY 1,8 DESC",
            &s, e))
        return -1;
    db_bind_text(s, 1, h->bucket);
    db_bind_text(s, 2, h->prefix.p ? h->prefix : STR(""));
    db_bind_text(s, 3, h->key.p ? h->key : STR(""));
    while ((rc = db_step(s, e)) == 1)
        if (!str_starts(db_bytes(s, 0), h->prefix) || !take(h, s)) break;
    db_done(s);
    return rc < 0 ? -1 : 0;
}

int s3_list_versions(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct json *r = &c->result;
    struct history h = {.tx = tx, .a = a, .versions = json_make_arr(), .markers = json_make_arr()};
    h.prefixes = json_make_arr();
    h.owner = json_make_obj();
    json_set(a, &h.owner, "ID", json_make_str(s3_owner_id(tx, a)));
    json_set(a, &h.owner, "DisplayName", json_make_str(tx->id.account));
    if (read_request(c, &h, &c->err) || (h.max && walk(&h, &c->err))) return -1;
    json_set(a, r, "Name", json_make_str(h.bucket));
    json_set(a, r, "Prefix", json_make_str(shown(&h, h.prefix)));
    json_set(a, r, "KeyMarker", json_make_str(shown(&h, h.key)));
    json_set(a, r, "VersionIdMarker", json_make_str(h.version.p ? h.version : STR("")));
    if (h.more) json_set(a, r, "NextKeyMarker", json_make_str(shown(&h, h.last_key)));
    if (h.more && h.last_version.n) json_set(a, r, "NextVersionIdMarker", json_make_str(h.last_version));
    if (h.delimiter.n) json_set(a, r, "Delimiter", json_make_str(shown(&h, h.delimiter)));
    if (h.encode) json_set(a, r, "EncodingType", json_make_c("url"));
    json_set(a, r, "MaxKeys", json_make_i64(a, h.max));
    json_set(a, r, "IsTruncated", json_make_bool(h.more));
    if (h.versions.n) json_set(a, r, "Versions", h.versions);
    if (h.markers.n) json_set(a, r, "DeleteMarkers", h.markers);
    if (h.prefixes.n) json_set(a, r, "CommonPrefixes", h.prefixes);
    return 0;
}
