/* Rows of objects: finding, storing and removing versions of a key. */
#include "base/crypto.h"
#include "local/s3/s3.h"

#define COLUMNS "object_id,size,etag,modified_ms,content_type,headers,metadata,checksums,version_id,tags,parts"
#define OF_KEY " WHERE bucket=?1 AND key=?2"

/* == files that go ==================================================================================================
 */

struct s3_bin_row {
    const char *path;
    struct s3_bin_row *next;
};

void s3_bin_empty(void *ud) {
    struct s3_bin *bin = ud;
    if (bin->local) pthread_rwlock_rdlock(&bin->local->files);
    bool current = !bin->local || bin->local->era == bin->era;
    for (struct s3_bin_row *r = bin->first; r && current; r = r->next) s3_file_remove(r->path);
    if (bin->local) pthread_rwlock_unlock(&bin->local->files);
    bin->first = NULL;
}

void s3_bin_init(struct s3_bin *bin, struct local *l, struct arena *a) {
    *bin = (struct s3_bin){.a = a, .local = l, .era = l->era}; /* only the writer's thread changes it */
}

struct s3_bin *s3_bin_of(struct local_tx *tx, struct arena *a) {
    struct s3_bin *bin = ARENA_NEW(a, struct s3_bin);
    s3_bin_init(bin, tx->local, a);
    local_after_commit(tx, s3_bin_empty, bin);
    return bin;
}

void s3_bin_add(struct s3_bin *bin, const struct local *l, struct str bucket, struct str id) {
    struct s3_bin_row *r = ARENA_NEW(bin->a, struct s3_bin_row);
    if (!id.n) return;
    *r = (struct s3_bin_row){s3_path(l, bin->a, bucket, id), bin->first};
    bin->first = r;
}

/* == reading ========================================================================================================
 */

static int read_json(struct arena *a, struct str text, struct json *ret, struct err *e) {
    return json_parse(a, arena_str(a, text), NULL, ret, e) ? err_wrap(e, "an object's row") : 0;
}

static int read_object(struct db_stmt *s, struct arena *a, struct s3_object *o, struct err *e) {
    *o = (struct s3_object){.size = db_i64(s, 1), .modified_ms = db_i64(s, 3)};
    o->id = arena_str(a, db_bytes(s, 0));
    o->etag = arena_str(a, db_bytes(s, 2));
    o->content_type = arena_str(a, db_bytes(s, 4));
    o->version = arena_str(a, db_bytes(s, 8));
    o->tags = arena_str(a, db_bytes(s, 9));
    o->parts = arena_str(a, db_bytes(s, 10));
    o->marker = db_i64(s, 11);
    if (read_json(a, db_bytes(s, 5), &o->headers, e) || read_json(a, db_bytes(s, 6), &o->metadata, e)) return -1;
    return read_json(a, db_bytes(s, 7), &o->checksums, e);
}

/* version.p == NULL: there is no third parameter. */
static int find(struct local_tx *tx, struct arena *a, const char *sql, struct str bucket, struct str key,
                struct str version, struct s3_object *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    if (version.p) db_bind_text(s, 3, version);
    int rc = db_step(s, e);
    if (rc == 1 && read_object(s, a, ret, e)) rc = -1;
    db_done(s);
    return rc;
}

int s3_find(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct s3_object *ret,
            struct err *e) {
    int rc = find(tx, a, "SELECT " COLUMNS ",0 FROM objects" OF_KEY, bucket, key, STR_NONE, ret, e);
    ret->latest = rc == 1;
    return rc;
}

enum { VERSION_BYTES = 24, VERSION_CHARACTERS = 32 };

/* Of the form that new_version makes. */
static bool is_version(struct str s) {
    struct buf raw = BUF_MAX(VERSION_CHARACTERS);
    bool ok = s.n == VERSION_CHARACTERS && crypto_unbase64url(&raw, s);
    buf_free(&raw);
    return ok;
}

int s3_find_version(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct str version,
                    struct s3_object *ret, struct err *e) {
    if (str_is(version, "null"))
        version = STR("");
    else if (!is_version(version))
        return err_set(e, ERR_S3_ARGUMENT, "Invalid version id specified");
    int rc = s3_find(tx, a, bucket, key, ret, e);
    if (rc < 0 || (rc == 1 && str_eq(ret->version, version))) return rc;
    return find(tx, a, "SELECT " COLUMNS ",marker FROM object_versions" OF_KEY " AND version_id=?3", bucket, key,
                version, ret, e);
}

int s3_find_marker(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, struct s3_object *ret,
                   struct err *e) {
    int rc = find(tx, a, "SELECT " COLUMNS ",marker FROM object_versions" OF_KEY " ORDER BY seq DESC LIMIT 1", bucket,
                  key, STR_NONE, ret, e);
    return rc == 1 ? ret->marker : rc;
}

struct str s3_shown_version(struct str version) {
    return version.n ? version : STR("null");
}

static int no_bytes(struct aws_call *c, struct str key, const struct s3_object *marker, bool asked, struct err *e) {
    if (marker) {
        json_set(&c->arena, &c->result, "DeleteMarker", json_make_bool(true));
        json_set(&c->arena, &c->result, "VersionId", json_make_str(s3_shown_version(marker->version)));
    }
    if (marker && asked)
        return err_set(e, ERR_S3_METHOD, "The specified method is not allowed against this resource: a delete marker");
    return err_set(e, ERR_S3_NO_KEY, "The specified key does not exist: %.*s", STR_ARG(str_take(key, 200)));
}

int s3_locate(struct local_tx *tx, struct aws_call *c, struct str bucket, struct str key, struct s3_object *ret,
              struct err *e) {
    struct str version;
    if (params_str(&c->params, "VersionId", ERR_S3_ARGUMENT, &version, e)) return -1;
    if (!version.n) {
        int rc = s3_find(tx, &c->arena, bucket, key, ret, e);
        if (rc) return rc == 1 ? 0 : -1;
        rc = s3_find_marker(tx, &c->arena, bucket, key, ret, e);
        return rc < 0 ? -1 : no_bytes(c, key, rc ? ret : NULL, false, e);
    }
    int rc = s3_find_version(tx, &c->arena, bucket, key, version, ret, e);
    if (rc < 0) return -1;
    if (!rc)
        return err_set(e, ERR_S3_NO_VERSION, "The specified version does not exist: %.*s of %.*s",
                       STR_ARG(str_take(version, 80)), STR_ARG(str_take(key, 200)));
    return ret->marker ? no_bytes(c, key, ret, true, e) : 0;
}

/* == writing ========================================================================================================
 */

static int run(struct local_tx *tx, const char *sql, struct str bucket, struct str key, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    return db_run(s, e) ? -1 : 0;
}

static int drop_current(struct local_tx *tx, struct str bucket, struct str key, struct err *e) {
    return run(tx, "DELETE FROM objects" OF_KEY, bucket, key, e);
}

#define NEXT_SEQ "(SELECT coalesce(max(seq),0)+1 FROM object_versions" OF_KEY ")"

static int push_current(struct local_tx *tx, struct str bucket, struct str key, struct err *e) {
    return run(tx,
               "INSERT INTO object_versions(bucket,key,seq,marker," COLUMNS ") SELECT ?1,?2," NEXT_SEQ ",0," COLUMNS
               " FROM objects" OF_KEY,
               bucket, key, e);
}

/* Of an older version, or a marker. */
static int drop_version(struct local_tx *tx, struct str bucket, struct str key, struct str version, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "DELETE FROM object_versions" OF_KEY " AND version_id=?3", &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    db_bind_text(s, 3, version);
    return db_run(s, e) ? -1 : 0;
}

/* The newest of the older ones becomes current, unless it is a marker. */
static int promote(struct local_tx *tx, struct str bucket, struct str key, struct err *e) {
    struct arena a = {0};
    struct s3_object o;
    int rc = find(tx, &a, "SELECT " COLUMNS ",marker FROM object_versions" OF_KEY " ORDER BY seq DESC LIMIT 1", bucket,
                  key, STR_NONE, &o, e);
    if (rc == 1 && !o.marker)
        rc = run(tx,
                 "INSERT INTO objects(bucket,key," COLUMNS ") SELECT ?1,?2," COLUMNS " FROM object_versions" OF_KEY
                 " ORDER BY seq DESC LIMIT 1",
                 bucket, key, e) ||
                     drop_version(tx, bucket, key, o.version, e)
                 ? -1
                 : 0;
    arena_free(&a);
    return rc < 0 ? -1 : 0;
}

static int drop_null_version(struct local_tx *tx, struct arena *a, struct str bucket, struct str key,
                             struct s3_bin *bin, struct err *e) {
    struct s3_object o;
    int rc = find(tx, a, "SELECT " COLUMNS ",marker FROM object_versions" OF_KEY " AND version_id=''", bucket, key,
                  STR_NONE, &o, e);
    if (rc <= 0) return rc;
    s3_bin_add(bin, tx->local, bucket, o.id);
    return drop_version(tx, bucket, key, STR(""), e);
}

/* What is current gives way: kept as an older version, or removed. */
static int give_way(struct local_tx *tx, const struct s3_bucket *b, struct str key, const struct s3_object *old,
                    struct s3_bin *bin, struct err *e) {
    bool keep = old && (b->versioned || (b->suspended && old->version.n));
    if (keep && push_current(tx, b->name, key, e)) return -1;
    if (old && !keep) s3_bin_add(bin, tx->local, b->name, old->id);
    return b->suspended ? drop_null_version(tx, bin->a, b->name, key, bin, e) : 0;
}

/* Begins with a letter: command lines take "-..." for an option. */
static struct str new_version(struct arena *a) {
    uint8_t random[VERSION_BYTES];
    struct buf b = BUF_MAX(64);
    crypto_random(random, sizeof random);
    random[0] &= 0x7f;
    crypto_base64url(&b, str_n((char *)random, sizeof random));
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static int upsert(struct local_tx *tx, struct arena *a, struct str bucket, struct str key, const struct s3_object *o,
                  struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "INSERT INTO objects(bucket,key," COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
                " ON CONFLICT(bucket,key) DO UPDATE SET object_id=?3,size=?4,etag=?5,modified_ms=?6,content_type=?7,"
                "headers=?8,metadata=?9,checksums=?10,version_id=?11,tags=?12,parts=?13",
                &s, e))
        return -1;
    const struct json *documents[] = {&o->headers, &o->metadata, &o->checksums};
    struct str texts[] = {o->version, o->tags, o->parts};
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    db_bind_text(s, 3, o->id);
    db_bind_i64(s, 4, o->size);
    db_bind_text(s, 5, o->etag);
    db_bind_i64(s, 6, o->modified_ms);
    db_bind_text(s, 7, o->content_type);
    for (int i = 0; i < 3; i++) db_bind_text(s, 8 + i, s3_json_text(a, documents[i]));
    for (int i = 0; i < 3; i++) db_bind_text(s, 11 + i, texts[i].p ? texts[i] : STR(""));
    return db_run(s, e) ? -1 : 0;
}

int s3_store(struct local_tx *tx, const struct s3_bucket *b, struct str key, struct s3_object *o,
             const struct s3_object *old, struct s3_bin *bin, struct err *e) {
    o->version = b->versioned ? new_version(bin->a) : STR("");
    if (give_way(tx, b, key, old, bin, e)) return -1;
    return upsert(tx, bin->a, b->name, key, o, e);
}

/* == removing =======================================================================================================
 */

static void tell(struct arena *a, struct json *ret, struct str version, bool marker) {
    if (marker) json_set(a, ret, "DeleteMarker", json_make_bool(true));
    json_set(a, ret, "VersionId", json_make_str(s3_shown_version(version)));
}

static int put_marker(struct local_tx *tx, struct str bucket, struct str key, struct str version, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "INSERT INTO object_versions(bucket,key,seq,marker," COLUMNS ") VALUES(?1,?2," NEXT_SEQ
                ",1,'',0,'',?3,'','{}','{}','{}',?4,'','')",
                &s, e))
        return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    db_bind_i64(s, 3, tx->now_ms);
    db_bind_text(s, 4, version);
    return db_run(s, e) ? -1 : 0;
}

static int remove_current(struct local_tx *tx, struct arena *a, const struct s3_bucket *b, struct str key,
                          struct s3_bin *bin, struct json *ret, struct err *e) {
    struct s3_object old;
    int found = s3_find(tx, a, b->name, key, &old, e);
    if (found < 0 || (!found && !b->versioned && !b->suspended)) return found; /* deleting nothing succeeds */
    if (give_way(tx, b, key, found ? &old : NULL, bin, e)) return -1;
    if (found && drop_current(tx, b->name, key, e)) return -1;
    if (!b->versioned && !b->suspended) return 0;
    struct str version = b->versioned ? new_version(a) : STR("");
    tell(a, ret, version, true);
    return put_marker(tx, b->name, key, version, e);
}

int s3_remove(struct local_tx *tx, struct arena *a, const struct s3_bucket *b, struct str key, struct str version,
              struct s3_bin *bin, struct json *ret, struct err *e) {
    struct s3_object o, current;
    if (!version.n) return remove_current(tx, a, b, key, bin, ret, e);
    int found = s3_find_version(tx, a, b->name, key, version, &o, e);
    if (found < 0) return -1;
    if (!found) {
        tell(a, ret, version, false);
        return 0;
    }
    s3_bin_add(bin, tx->local, b->name, o.id);
    tell(a, ret, o.version, o.marker);
    if (o.latest ? drop_current(tx, b->name, key, e) : drop_version(tx, b->name, key, o.version, e)) return -1;
    found = o.latest ? 0 : s3_find(tx, a, b->name, key, &current, e);
    return found ? (found < 0 ? -1 : 0) : promote(tx, b->name, key, e);
}
