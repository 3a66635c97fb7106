/* UploadPart, UploadPartCopy, and CompleteMultipartUpload, which makes one file of the parts' files. */
#include "base/crypto.h"
#include "local/s3/make.h"
#include <string.h>

#define SUMS "ChecksumCRC32 ChecksumCRC32C ChecksumCRC64NVME ChecksumSHA1 ChecksumSHA256"

/* == parts ==========================================================================================================
 */

/* A part has the checksum that its upload was made with; of uploads made without, any. */
static int match_algorithm(struct s3_make *m, const struct s3_upload *u, struct err *e) {
    int algorithm;
    if (s3_make_claims(m, e) || s3_make_algorithm(u->algorithm, &algorithm, e)) return -1;
    if (algorithm < 0) return 0;
    const char *actual = NULL;
    for (int i = 0; i < S3_CHECKSUMS; i++)
        if (m->wanted[i]) actual = s3_checksums[i].member;
    bool needed = m->kind->op == AWS_S3_UploadPart && str_is(u->type, "COMPOSITE");
    if (actual ? !m->wanted[algorithm] : needed)
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
                       s3_checksums[algorithm].member + 8, actual ? actual + 8 : "null");
    m->wanted[algorithm] = true;
    return 0;
}

static int read_part(struct s3_make *m, struct local_tx *tx, const char *known, struct s3_upload *u, struct err *e) {
    const struct json *params = &m->call->params;
    if (params_only(params, known, m->call->row->action, ERR_S3_ARGUMENT, e)) return -1;
    if (!json_get(params, "PartNumber")) return err_set(e, ERR_S3_ARGUMENT, "the parameter PartNumber is missing");
    if (params_int(params, "PartNumber", 1, S3_PARTS_MAX, 1, ERR_S3_ARGUMENT, &m->number, e))
        return err_set(e, ERR_S3_ARGUMENT, "Part number must be an integer between 1 and %d, inclusive", S3_PARTS_MAX);
    if (s3_upload_of(tx, m->call, false, u, e)) return -1;
    m->upload = u->id;
    return match_algorithm(m, u, e);
}

static int check_part(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct s3_upload u;
    if (read_part(m, tx, "Bucket Key UploadId PartNumber ContentMD5 ContentLength ChecksumAlgorithm " SUMS, &u, e))
        return -1;
    return s3_make_body(m, e);
}

static int put_part(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct arena *a = &m->call->arena;
    struct s3_upload u;
    struct s3_part old;
    struct db_stmt *s = NULL;
    if (s3_upload_of(tx, m->call, false, &u, e)) return -1;
    int found = s3_part_find(tx, a, u.id, m->number, &old, e);
    if (found < 0) return -1;
    if (found) s3_bin_add(s3_bin_of(tx, a), tx->local, m->bucket, old.id);
    if (db_stmt(tx->db,
                "INSERT OR REPLACE INTO parts(upload_id,number,object_id,size,etag,modified_ms,checksums)"
                " VALUES(?1,?2,?3,?4,?5,?6,?7)",
                &s, e))
        return -1;
    db_bind_text(s, 1, u.id);
    db_bind_i64(s, 2, m->number);
    db_bind_text(s, 3, m->o.id);
    db_bind_i64(s, 4, m->o.size);
    db_bind_text(s, 5, m->o.etag);
    db_bind_i64(s, 6, tx->now_ms);
    db_bind_text(s, 7, s3_json_text(a, &m->o.checksums));
    return db_run(s, e) ? -1 : 0;
}

static int part_row(struct s3_make *m, struct local_tx *tx, struct err *e) {
    if (put_part(m, tx, e)) return -1;
    s3_make_sums(m, &m->call->result);
    return 0;
}

const struct s3_make_kind s3_make_part = {AWS_S3_UploadPart, check_part, part_row, NULL};

static int check_part_copy(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct s3_upload u;
    struct s3_object from;
    struct str name, range;
    int64_t off = 0;
    if (read_part(m, tx,
                  "Bucket Key UploadId PartNumber CopySource CopySourceRange CopySourceIfMatch CopySourceIfNoneMatch "
                  "CopySourceIfModifiedSince CopySourceIfUnmodifiedSince",
                  &u, e))
        return -1;
    if (params_str(&m->call->params, "CopySourceRange", ERR_S3_ARGUMENT, &range, e)) return -1;
    if (s3_make_source(m, &from, &name, e)) return -1;
    if (range.n && s3_source_range(range, from.size, &off, &m->o.size, e)) return -1;
    m->off = (uint64_t)off;
    if ((uint64_t)m->o.size <= S3_PUT_MAX) return 0;
    return err_set(e, ERR_S3_BAD_REQUEST,
                   "The specified copy source is larger than the maximum allowable size for a copy source: %llu",
                   (unsigned long long)S3_PUT_MAX);
}

static int part_copy_row(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct arena *a = &m->call->arena;
    struct json result = json_make_obj();
    if (put_part(m, tx, e)) return -1;
    s3_make_sums(m, &result);
    json_set(a, &result, "LastModified", s3_time(a, tx->now_ms));
    json_set(a, &m->call->result, "CopyPartResult", result);
    if (m->source_version.n) json_set(a, &m->call->result, "CopySourceVersionId", json_make_str(m->source_version));
    return 0;
}

const struct s3_make_kind s3_make_part_copy = {AWS_S3_UploadPartCopy, check_part_copy, part_copy_row, NULL};

/* == completing =====================================================================================================
 */

static int no_part(int64_t number, struct err *e) {
    return err_set(e, ERR_S3_PART,
                   "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                   "specified entity tag may not match the part's entity tag: part %lld",
                   (long long)number);
}

static int check_listed(const struct json *row, const struct s3_part *part, struct err *e) {
    struct str etag;
    if (params_only(row, "PartNumber ETag " SUMS, "MultipartUpload.Parts", ERR_S3_ARGUMENT, e) ||
        params_str(row, "ETag", ERR_S3_ARGUMENT, &etag, e))
        return -1;
    if (!etag.n || str_is(etag, "*") || !s3_etag_listed(etag, part->etag)) return no_part(part->number, e);
    for (int i = 0; i < S3_CHECKSUMS; i++) {
        struct str claim = json_get_s(row, s3_checksums[i].member);
        struct str have = json_get_s(&part->checksums, s3_checksums[i].member);
        if (claim.n && !str_eq(claim, have)) return no_part(part->number, e);
    }
    return 0;
}

static int check_order(const struct json *list, struct err *e) {
    int64_t number, before = 0;
    for (uint32_t i = 0; i < list->n; i++, before = number) {
        if (params_int(&list->items[i], "PartNumber", 1, S3_PARTS_MAX, 0, ERR_S3_XML, &number, e)) return -1;
        if (!number) return aws_s3_malformed(e, "a Part has no PartNumber");
        if (number <= before)
            return err_set(e, ERR_S3_PART_ORDER,
                           "The list of parts was not in ascending order. Parts must be ordered by part number.");
    }
    return 0;
}

static int check_sizes(const struct s3_part *parts, size_t n, struct err *e) {
    for (size_t i = 0; i + 1 < n; i++)
        if ((uint64_t)parts[i].size < S3_PART_MIN)
            return err_set(e, ERR_S3_TOO_SMALL,
                           "Your proposed upload is smaller than the minimum allowed size: part %lld has %lld bytes, "
                           "all but the last need %llu",
                           (long long)parts[i].number, (long long)parts[i].size, (unsigned long long)S3_PART_MIN);
    return 0;
}

/* Sums of the parts' sums are told part by part once more. */
static int check_told(const struct json *list, const struct s3_part *parts, const struct s3_upload *u, struct err *e) {
    int algorithm;
    if (s3_make_algorithm(u->algorithm, &algorithm, e)) return -1;
    for (uint32_t i = 0; str_is(u->type, "COMPOSITE") && i < list->n; i++)
        if (!json_get_s(&list->items[i], s3_checksums[algorithm].member).n)
            return err_set(e, ERR_S3_BAD_REQUEST,
                           "The upload was created using a %.*s checksum. The complete request must include the "
                           "checksum for each part. It was missing for part %lld in the request.",
                           STR_ARG(u->algorithm), (long long)parts[i].number);
    return 0;
}

static int read_list(struct s3_make *m, struct local_tx *tx, struct s3_part *parts, const struct json *list,
                     struct err *e) {
    if (check_order(list, e)) return -1;
    for (uint32_t i = 0; i < list->n; i++) {
        int64_t number = 0;
        params_int(&list->items[i], "PartNumber", 1, S3_PARTS_MAX, 0, ERR_S3_ARGUMENT, &number, e);
        int found = s3_part_find(tx, &m->call->arena, m->upload, number, &parts[i], e);
        if (found < 0) return -1;
        if (!found) return no_part(number, e);
        if (check_listed(&list->items[i], &parts[i], e)) return -1;
        m->o.size += parts[i].size;
    }
    return check_sizes(parts, list->n, e);
}

static int unhex(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The MD5 of the parts' MD5s, and the number of parts. */
static void make_etag(struct s3_make *m) {
    struct crypto_digest *d = crypto_digest_new("md5");
    uint8_t md5[32];
    char hex[32];
    for (size_t i = 0; i < m->n_parts; i++) {
        char raw[16];
        for (int k = 0; k < 16; k++)
            raw[k] = (char)(unhex(m->parts[i].etag.p[1 + 2 * k]) << 4 | unhex(m->parts[i].etag.p[2 + 2 * k]));
        crypto_digest_add(d, str_n(raw, 16));
    }
    crypto_digest_end(d, md5);
    crypto_hex_to(hex, md5, 16);
    m->o.etag = arena_printf(&m->call->arena, "\"%.32s-%zu\"", hex, m->n_parts);
}

static void list_sizes(struct s3_make *m) {
    struct buf b = BUF_MAX(1 << 20);
    for (size_t i = 0; i < m->n_parts; i++) buf_printf(&b, "%s%lld", i ? "," : "", (long long)m->parts[i].size);
    m->o.parts = arena_str(&m->call->arena, buf_view(&b));
    buf_free(&b);
}

/* COMPOSITE: the checksum of the parts' checksums, and the number of parts. */
static int make_composite(struct s3_make *m, int algorithm, struct err *e) {
    struct arena *a = &m->call->arena;
    const char *member = s3_checksums[algorithm].member;
    bool wanted[S3_CHECKSUMS] = {false};
    struct s3_sums sums;
    struct str out[S3_CHECKSUMS];
    uint8_t md5[16];
    wanted[algorithm] = true;
    s3_sums_begin(&sums, wanted);
    for (size_t i = 0; i < m->n_parts; i++) {
        struct buf raw = BUF_MAX(64);
        bool ok = crypto_unbase64(&raw, json_get_s(&m->parts[i].checksums, member));
        s3_sums_add(&sums, buf_view(&raw));
        buf_free(&raw);
        if (ok) continue;
        s3_sums_drop(&sums);
        return no_part(m->parts[i].number, e);
    }
    s3_sums_end(&sums, a, md5, out);
    struct str sum = arena_printf(a, "%.*s-%zu", STR_ARG(out[algorithm]), m->n_parts);
    struct str claim = json_get_s(&m->call->params, member);
    if (claim.n && !str_eq(claim, sum) && !str_eq(claim, out[algorithm]))
        return err_set(e, ERR_S3_BAD_DIGEST, "The %s you specified did not match what we received.", member);
    json_set(a, &m->o.checksums, member, json_make_str(sum));
    json_set(a, &m->o.checksums, "ChecksumType", json_make_c("COMPOSITE"));
    return 0;
}

static int read_sums(struct s3_make *m, const struct s3_upload *u, struct err *e) {
    int algorithm;
    struct str type;
    m->claimed = m->o.checksums = json_make_obj();
    if (params_str(&m->call->params, "ChecksumType", ERR_S3_ARGUMENT, &type, e) ||
        s3_make_algorithm(u->algorithm, &algorithm, e))
        return -1;
    if (type.n && u->type.n && !str_eq(type, u->type))
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "The upload was created using the %.*s checksum mode. The complete request must use the same "
                       "checksum mode.",
                       STR_ARG(u->type));
    if (algorithm < 0) algorithm = S3_CRC64NVME; /* what S3 adds by itself */
    if (str_is(u->type, "COMPOSITE")) return make_composite(m, algorithm, e);
    struct str claim = json_get_s(&m->call->params, s3_checksums[algorithm].member);
    m->wanted[algorithm] = true;
    if (claim.n) json_set(&m->call->arena, &m->claimed, s3_checksums[algorithm].member, json_make_str(claim));
    return 0;
}

static int read_upload(struct s3_make *m, const struct s3_upload *u, struct err *e) {
    struct arena *a = &m->call->arena;
    m->upload = u->id;
    m->o.content_type = u->content_type;
    m->o.tags = u->tags;
    if (json_parse(a, u->headers, NULL, &m->o.headers, e) || json_parse(a, u->metadata, NULL, &m->o.metadata, e))
        return err_wrap(e, "an upload's row");
    return 0;
}

static int check_total(struct s3_make *m, struct err *e) {
    int64_t size;
    if (params_int(&m->call->params, "MpuObjectSize", 0, INT64_MAX, m->o.size, ERR_S3_ARGUMENT, &size, e)) return -1;
    if (size == m->o.size) return 0;
    return err_set(e, ERR_S3_BAD_REQUEST,
                   "The provided 'x-amz-mp-object-size' header does not match what was computed: "
                   "%lld",
                   (long long)m->o.size);
}

static int check_complete(struct s3_make *m, struct local_tx *tx, struct err *e) {
    const struct json *given = json_get(&m->call->params, "MultipartUpload"), *list = json_get(given, "Parts");
    struct s3_upload u;
    if (params_only(&m->call->params,
                    "Bucket Key UploadId MultipartUpload IfMatch IfNoneMatch ChecksumType MpuObjectSize " SUMS,
                    m->call->row->action, ERR_S3_ARGUMENT, e))
        return -1;
    if (s3_upload_of(tx, m->call, true, &u, e) || s3_make_writes(m, e)) return -1;
    if (u.done.n) return json_parse(&m->call->arena, u.done, NULL, &m->call->result, e) ? -1 : 1;
    if (params_only(given, "Parts", "MultipartUpload", ERR_S3_ARGUMENT, e)) return -1;
    if (!json_is(list, JSON_ARR) || !list->n || list->n > S3_PARTS_MAX)
        return aws_s3_malformed(e, "MultipartUpload has 1 to 10000 Parts");
    struct s3_part *parts = ARENA_ARRAY(&m->call->arena, struct s3_part, list->n);
    if (read_upload(m, &u, e) || read_list(m, tx, parts, list, e) || check_told(list, parts, &u, e)) return -1;
    m->parts = parts;
    m->n_parts = list->n;
    make_etag(m);
    list_sizes(m);
    return read_sums(m, &u, e) || check_total(m, e) ? -1 : 0;
}

/* The parts must be those that were read. */
static int recheck(struct s3_make *m, struct local_tx *tx, struct err *e) {
    for (size_t i = 0; i < m->n_parts; i++) {
        struct arena a = {0};
        struct s3_part now;
        int found = s3_part_find(tx, &a, m->upload, m->parts[i].number, &now, e);
        bool same = found == 1 && str_eq(now.id, m->parts[i].id);
        arena_free(&a);
        if (found < 0) return -1;
        if (!same) return no_part(m->parts[i].number, e);
    }
    return 0;
}

static int mark_done(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "UPDATE uploads SET done=?4,created_ms=?5 WHERE bucket=?1 AND key=?2 AND upload_id=?3", &s, e))
        return -1;
    db_bind_text(s, 1, m->bucket);
    db_bind_text(s, 2, m->key);
    db_bind_text(s, 3, m->upload);
    db_bind_text(s, 4, s3_json_text(&m->call->arena, &m->call->result));
    db_bind_i64(s, 5, tx->now_ms);
    return db_run(s, e) ? -1 : 0;
}

static struct str location_of(struct s3_make *m, struct local_tx *tx) {
    struct arena *a = &m->call->arena;
    return arena_printf(a, "%.*s/%.*s/%.*s", STR_ARG(s3_base(tx->local, a, STR_NONE)), STR_ARG(m->bucket),
                        STR_ARG(m->key));
}

static int complete_row(struct s3_make *m, struct local_tx *tx, struct err *e) {
    struct arena *a = &m->call->arena;
    struct json *r = &m->call->result;
    struct s3_upload u;
    struct s3_bucket b;
    struct s3_object old;
    if (s3_bucket_row(tx, a, m->bucket, &b, e) || s3_upload_of(tx, m->call, true, &u, e)) return -1;
    if (u.done.n) { /* by somebody else meanwhile: what was made here goes */
        s3_bin_add(s3_bin_of(tx, a), tx->local, m->bucket, m->o.id);
        return json_parse(a, u.done, NULL, r, e);
    }
    int found = s3_find(tx, a, m->bucket, m->key, &old, e);
    if (found < 0 || s3_make_conditions(m, found, &old, e) || recheck(m, tx, e)) return -1;
    struct s3_bin *bin = s3_bin_of(tx, a);
    if (s3_store(tx, &b, m->key, &m->o, found ? &old : NULL, bin, e)) return -1;
    json_set(a, r, "Location", json_make_str(location_of(m, tx)));
    json_set(a, r, "Bucket", json_make_str(m->bucket));
    json_set(a, r, "Key", json_make_str(m->key));
    s3_make_sums(m, r);
    s3_make_version(m, &b);
    return s3_parts_forget(tx, a, m->bucket, m->upload, bin, e) ? -1 : mark_done(m, tx, e);
}

/* Parts are gone when somebody else completed the upload meanwhile. */
static int complete_failed(struct s3_make *m, struct local_tx *tx) {
    struct s3_upload u;
    struct err ignored = {0};
    if (m->err.code != ERR_S3_PART || s3_upload_of(tx, m->call, true, &u, &ignored) || !u.done.n) return -1;
    return json_parse(&m->call->arena, u.done, NULL, &m->call->result, &ignored);
}

const struct s3_make_kind s3_make_complete = {AWS_S3_CompleteMultipartUpload, check_complete, complete_row,
                                              complete_failed};
