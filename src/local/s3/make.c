/* Files in the making, for every operation that has one. */
#include "local/s3/make.h"
#include "base/crypto.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* == parameters =====================================================================================================
 */

static int read_metadata(struct s3_make *p, struct err *e) {
    const struct json *m = json_get(&p->call->params, "Metadata");
    struct arena *a = &p->call->arena;
    size_t bytes = 0;
    p->o.metadata = json_make_obj();
    if (!m || json_is(m, JSON_NULL)) return 0;
    if (!json_is(m, JSON_OBJ))
        return err_set(e, ERR_S3_ARGUMENT, "Metadata is %s, not an object", json_type_name(m->type));
    for (uint32_t i = 0; i < m->n; i++) {
        struct str name = arena_str(a, m->members[i].key), value = json_str(&m->members[i].value);
        if (!json_is(&m->members[i].value, JSON_STR))
            return err_set(e, ERR_S3_ARGUMENT, "Metadata.%.*s is not a string", STR_ARG(str_take(name, 80)));
        for (size_t k = 0; k < name.n; k++) /* S3 keeps metadata names in lower case */
            if (name.p[k] >= 'A' && name.p[k] <= 'Z') ((char *)name.p)[k] += 32;
        if (!name.n || memchr(value.p, '\n', value.n) || memchr(value.p, '\r', value.n) || memchr(value.p, 0, value.n))
            return err_set(e, ERR_S3_ARGUMENT, "Metadata.%.*s cannot be sent as a header", STR_ARG(str_take(name, 80)));
        bytes += name.n + value.n;
        json_set_str(a, &p->o.metadata, name, json_make_str(value));
    }
    if (bytes <= S3_METADATA_MAX) return 0;
    return err_set(e, ERR_S3_METADATA_LENGTH,
                   "Your metadata headers exceed the maximum allowed metadata size: %zu of %d bytes", bytes,
                   S3_METADATA_MAX);
}

static int copy_strings(struct s3_make *m, const struct s3_header *names, int n, struct json *into, struct err *e) {
    *into = json_make_obj();
    for (int i = 0; i < n; i++) {
        struct str v;
        if (params_str(&m->call->params, names[i].member, ERR_S3_ARGUMENT, &v, e)) return -1;
        if (v.n) json_set(&m->call->arena, into, names[i].member, json_make_str(v));
    }
    return 0;
}

int s3_make_metadata(struct s3_make *m, struct err *e) {
    if (params_str(&m->call->params, "ContentType", ERR_S3_ARGUMENT, &m->o.content_type, e)) return -1;
    if (!m->o.content_type.n) m->o.content_type = STR("binary/octet-stream");
    return copy_strings(m, s3_headers, S3_HEADERS, &m->o.headers, e) || read_metadata(m, e) ? -1 : 0;
}

int s3_make_algorithm(struct str name, int *ret, struct err *e) {
    *ret = -1;
    for (int i = 0; name.n && i < S3_CHECKSUMS; i++)
        if (str_ieq(name, str_c(s3_checksums[i].member + 8))) *ret = i;
    if (!name.n || *ret >= 0) return 0;
    return err_set(e, ERR_S3_BAD_REQUEST,
                   "Checksum algorithm provided is unsupported: %.*s. Please try again with any of the valid types: "
                   "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
                   STR_ARG(str_take(name, 40)));
}

/* A digest in base64 of the right length. */
static bool is_sum(int i, struct str text) {
    static const size_t lengths[S3_CHECKSUMS] = {4, 4, 8, 20, 32};
    struct buf raw = BUF_MAX(64);
    bool ok = crypto_unbase64(&raw, text) && raw.n == lengths[i];
    buf_free(&raw);
    return ok;
}

int s3_make_claims(struct s3_make *m, struct err *e) {
    struct str name;
    int asked;
    m->o.checksums = json_make_obj();
    if (params_str(&m->call->params, "ChecksumAlgorithm", ERR_S3_ARGUMENT, &name, e) ||
        s3_make_algorithm(name, &asked, e) || copy_strings(m, s3_checksums, S3_CHECKSUMS, &m->claimed, e))
        return -1;
    if (m->claimed.n > 1)
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "Expecting a single x-amz-checksum- header. Multiple checksum Types are "
                       "not allowed.");
    for (int i = 0; i < S3_CHECKSUMS; i++) {
        struct str claim = json_get_s(&m->claimed, s3_checksums[i].member);
        m->wanted[i] = i == asked || claim.p;
        if (claim.p && !is_sum(i, claim))
            return err_set(e, ERR_S3_BAD_REQUEST, "Value for %s header is invalid.", s3_checksums[i].header);
    }
    return 0;
}

static int check_size(struct s3_make *m, struct err *e) {
    if ((uint64_t)m->o.size <= S3_PUT_MAX) return 0;
    return err_set(e, ERR_S3_TOO_LARGE, "Your proposed upload of %lld bytes exceeds the maximum allowed object size",
                   (long long)m->o.size);
}

int s3_make_body(struct s3_make *m, struct err *e) {
    struct aws_call *c = m->call;
    m->fd = c->body_fd;
    m->o.size = (int64_t)(c->body_fd >= 0 ? c->body_len : c->body.n);
    return check_size(m, e);
}

int s3_make_source(struct s3_make *m, struct s3_object *ret, struct str *ret_name, struct err *e) {
    if (s3_open_source(m->conn, m->call, ret, ret_name, &m->fd, e)) return -1;
    m->o.size = ret->size;
    m->source_version = ret->version;
    m->version_named = str_find(json_get_s(&m->call->params, "CopySource"), STR("?versionId="), 0) >= 0;
    return 0;
}

int s3_make_writes(struct s3_make *m, struct err *e) {
    const struct json *params = &m->call->params;
    if (params_str(params, "IfMatch", ERR_S3_ARGUMENT, &m->if_match, e)) return -1;
    if (params_str(params, "IfNoneMatch", ERR_S3_ARGUMENT, &m->if_none_match, e)) return -1;
    bool fresh = str_is(m->if_none_match, "*"), both = m->if_match.n && m->if_none_match.n;
    if (!both && (!m->if_none_match.n || fresh) && !str_is(m->if_match, "*")) return 0;
    return err_set(e, ERR_NOT_IMPLEMENTED,
                   "A header you provided implies functionality that is not implemented: %s has either If-None-Match "
                   "with \"*\" or If-Match with an ETag",
                   m->call->row->action);
}

/* == the file, on the pool ===========================================================================================
 */

static int verify_sums(struct s3_make *m, struct arena *a, const struct str sums[S3_CHECKSUMS], struct err *e) {
    for (int i = 0; i < S3_CHECKSUMS; i++) {
        const char *member = s3_checksums[i].member;
        struct str want = json_get_s(&m->claimed, member);
        if (want.p && sums[i].p && !str_eq(want, sums[i]))
            return err_set(e, ERR_S3_BAD_DIGEST, "The %s you specified did not match what we received.", member);
        if (sums[i].p && !json_get(&m->o.checksums, member))
            json_set(a, &m->o.checksums, member, json_make_str(sums[i]));
    }
    if (m->o.checksums.n && m->kind->op != AWS_S3_UploadPart && m->kind->op != AWS_S3_UploadPartCopy &&
        !json_get(&m->o.checksums, "ChecksumType"))
        json_set(a, &m->o.checksums, "ChecksumType", json_make_c("FULL_OBJECT"));
    return 0;
}

static int verify(struct s3_make *m, struct arena *a, struct err *e) {
    struct str want, sums[S3_CHECKSUMS];
    struct buf raw = BUF_MAX(64);
    uint8_t md5[16];
    char hex[32];
    s3_sums_end(&m->sums, a, md5, sums);
    if (params_str(&m->call->params, "ContentMD5", ERR_S3_ARGUMENT, &want, e)) return -1;
    crypto_hex_to(hex, md5, 16);
    if (!m->o.etag.n) m->o.etag = arena_printf(a, "\"%.32s\"", hex);
    bool valid = !want.p || (crypto_unbase64(&raw, want) && raw.n == 16);
    bool same = !want.p || (valid && !memcmp(raw.p, md5, 16));
    buf_free(&raw);
    if (!valid) return err_set(e, ERR_S3_INVALID_DIGEST, "The Content-MD5 you specified is not valid.");
    if (!same) return err_set(e, ERR_S3_BAD_DIGEST, "The Content-MD5 you specified did not match what we received.");
    return verify_sums(m, a, sums, e);
}

static int begin_file(struct s3_make *m, struct err *e) {
    struct arena *a = &m->call->arena;
    m->begun = true;
    if (m->fd >= 0 || m->n_parts) m->room = arena_alloc(a, S3_STEP);
    m->file = (struct s3_writer){.l = m->conn->local, .a = a, .bucket = m->bucket, .id = m->o.id, .fd = -1};
    if (s3_write_begin(&m->file, e)) return -1;
    s3_sums_begin(&m->sums, m->wanted);
    return 0;
}

/* Reads at most n bytes of fd. */
static int read_some(struct s3_make *m, int fd, uint64_t off, uint64_t n, struct str *ret, struct err *e) {
    ssize_t got;
    do got = pread(fd, m->room, n < S3_STEP ? (size_t)n : S3_STEP, (off_t)off);
    while (got < 0 && errno == EINTR);
    if (got < 0) return err_sys(e, ERR_IO, errno, "cannot read the file to be stored");
    if (!got) return err_set(e, ERR_IO, "the file to be stored became shorter while it was read");
    *ret = str_n(m->room, (size_t)got);
    return 0;
}

static void close_part(struct s3_make *m) {
    if (m->part_fd >= 0) close(m->part_fd);
    m->part_fd = -1;
}

static int next_of_parts(struct s3_make *m, struct str *ret, struct err *e) {
    const struct s3_part *part = &m->parts[m->at];
    while (m->part_written == (uint64_t)part->size) { /* parts may be empty */
        close_part(m);
        m->part_written = 0;
        part = &m->parts[++m->at];
    }
    if (m->part_fd < 0)
        m->part_fd = open(s3_path(m->conn->local, &m->call->arena, m->bucket, part->id), O_RDONLY | O_CLOEXEC);
    if (m->part_fd < 0)
        return err_set(e, ERR_S3_PART, "One or more of the specified parts could not be found: part %lld is gone",
                       (long long)part->number);
    if (read_some(m, m->part_fd, m->part_written, (uint64_t)part->size - m->part_written, ret, e)) return -1;
    m->part_written += ret->n;
    return 0;
}

static int next_bytes(struct s3_make *m, struct str *ret, struct err *e) {
    if (m->n_parts) return next_of_parts(m, ret, e);
    if (m->fd >= 0) return read_some(m, m->fd, m->off + m->written, (uint64_t)m->o.size - m->written, ret, e);
    *ret = m->call->body;
    return 0;
}

static int write_piece(struct s3_make *m, struct err *e) {
    uint64_t size = (uint64_t)m->o.size, until = m->written + S3_PIECE;
    struct str data;
    while (m->written < size && m->written < until) {
        if (next_bytes(m, &data, e)) {
            s3_write_drop(&m->file);
            return -1;
        }
        s3_sums_add(&m->sums, data);
        if (s3_write_add(&m->file, data, e)) return -1;
        m->written += data.n;
    }
    return 0;
}

static int end_file(struct s3_make *m, struct err *e) {
    if (!verify(m, &m->call->arena, e)) return s3_write_end(&m->file, e);
    s3_write_drop(&m->file);
    return -1;
}

static void on_pool(void *ud) {
    struct s3_make *m = ud;
    if (!m->begun && begin_file(m, &m->err)) return;
    if (write_piece(m, &m->err)) {
        s3_sums_drop(&m->sums);
        return;
    }
    if (m->written == (uint64_t)m->o.size) end_file(m, &m->err);
}

/* == the row ========================================================================================================
 */

int s3_make_conditions(struct s3_make *m, int found, const struct s3_object *old, struct err *e) {
    if (found && m->if_none_match.n)
        return err_set(e, ERR_S3_PRECONDITION,
                       "At least one of the pre-conditions you specified did not hold: If-None-Match");
    if (m->if_match.n && !found)
        return err_set(e, ERR_S3_NO_KEY, "The specified key does not exist: %.*s", STR_ARG(m->key));
    if (m->if_match.n && !s3_etag_listed(m->if_match, old->etag))
        return err_set(e, ERR_S3_PRECONDITION,
                       "At least one of the pre-conditions you specified did not hold: If-Match");
    return 0;
}

void s3_make_sums(struct s3_make *m, struct json *into) {
    struct arena *a = &m->call->arena;
    json_set(a, into, "ETag", json_make_str(m->o.etag));
    for (uint32_t i = 0; i < m->o.checksums.n; i++)
        json_set_str(a, into, m->o.checksums.members[i].key, m->o.checksums.members[i].value);
}

void s3_make_version(struct s3_make *m, const struct s3_bucket *b) {
    if (b->versioned || b->suspended)
        json_set(&m->call->arena, &m->call->result, "VersionId", json_make_str(s3_shown_version(m->o.version)));
}

static int run_row(struct local_op *op, struct local_tx *tx, struct err *e) {
    struct s3_make *m = op->ud;
    m->call->result = json_make_obj();
    m->o.modified_ms = tx->now_ms;
    return m->kind->row(m, tx, e);
}

/* == the way there and back =========================================================================================
 */

static void close_source(struct s3_make *m) {
    if (m->fd >= 0 && m->fd != m->call->body_fd) close(m->fd);
    m->fd = -1;
    close_part(m);
}

static void row_done(struct local_op *op) {
    struct s3_make *m = op->ud;
    m->call->err = op->err;
    if (op->err.code) s3_file_remove(m->file.path);
    aws_complete(m->call);
}

static void run_on_pool(struct s3_make *m);

static void piece_written(void *ud) {
    struct s3_make *m = ud;
    m->conn->in_flight--;
    if (!m->err.code && m->written < (uint64_t)m->o.size) {
        run_on_pool(m);
        return;
    }
    close_source(m);
    if (m->err.code) {
        struct local_tx tx = {.db = m->conn->db, .local = m->conn->local, .id = m->conn->local->id};
        if (!m->kind->failed || m->kind->failed(m, &tx)) m->call->err = m->err;
        aws_complete(m->call);
        return;
    }
    m->op.run = run_row;
    m->op.done = row_done;
    m->op.ud = m;
    local_submit(m->conn, &m->op);
}

static void run_on_pool(struct s3_make *m) {
    m->conn->in_flight++;
    pool_run(m->conn->local->pool, m->conn->loop, &m->work, on_pool, piece_written, m);
}

static const struct s3_make_kind *kind_of(enum aws_op op) {
    static const struct s3_make_kind *const kinds[] = {&s3_make_put, &s3_make_copy, &s3_make_part, &s3_make_part_copy,
                                                       &s3_make_complete};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i]->op == op) return kinds[i];
    return NULL;
}

bool s3_makes_file(enum aws_op op) {
    return kind_of(op);
}

enum aws_started s3_put_start(struct local_conn *conn, struct aws_call *c) {
    struct s3_make *m = ARENA_NEW(&c->arena, struct s3_make);
    struct local_tx tx = {
        .db = conn->db, .now_ms = clock_ms(conn->local->clock), .local = conn->local, .id = conn->local->id};
    *m = (struct s3_make){.kind = kind_of(c->op), .call = c, .conn = conn, .fd = -1, .part_fd = -1};
    m->claimed = m->o.checksums = m->o.headers = m->o.metadata = json_make_obj();
    int rc = s3_bucket_of(&tx, c, &m->bucket, &c->err) || s3_key_of(c, &m->key, &c->err)
                 ? -1
                 : m->kind->check(m, &tx, &c->err);
    if (rc) {
        close_source(m);
        return AWS_DONE;
    }
    char *id = arena_alloc(&c->arena, 37);
    crypto_uuid7(tx.now_ms, id);
    m->o.id = str_n(id, S3_ID);
    run_on_pool(m);
    return AWS_PENDING;
}
