/* Who signed a request, and whether its body is what was signed: Signature Version 4 in the header or the query, and
 * for S3 Version 2 in the query ("Signing and authenticating REST requests"), which is what boto3 and the AWS CLI make
 * links with on an endpoint of one's own. */
#include "base/fs.h"
#include "local/face/chunked.h"
#include "local/face/face.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* == keys ===========================================================================================================
 */

struct str face_secret(const struct local *l, struct str access_key) {
    struct str found = crypto_equal(access_key, str_c(l->access_key)) ? str_c(l->secret_key) : STR_NONE;
    for (size_t i = 0; i < l->n_keys; i++)
        if (crypto_equal(access_key, l->keys[i].id)) found = l->keys[i].secret;
    return found;
}

static struct str secret_of(void *ud, struct str access_key) {
    return face_secret(ud, access_key);
}

static struct str next_word(struct str *rest) {
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && !isspace((unsigned char)rest->p[n])) n++;
    struct str word = str_take(*rest, n);
    *rest = str_from(*rest, n);
    return word;
}

static int read_keys(struct local *l, struct str text, const char *path, struct err *e) {
    for (int line = 1; text.p; line++) {
        struct str rest = str_cut(&text, '\n'), id = next_word(&rest), secret = next_word(&rest);
        if (!id.n || id.p[0] == '#') continue;
        if (!secret.n || str_trim(rest).n)
            return err_set(e, ERR_CONFIG, "%s:%d: not an access key id and a secret access key", path, line);
        if (face_secret(l, id).p) return err_set(e, ERR_CONFIG, "%s:%d: this access key id is there twice", path, line);
        struct local_key *more = realloc(l->keys, (l->n_keys + 1) * sizeof *more);
        if (!more) fatal("out of memory for %zu keys", l->n_keys + 1);
        l->keys = more;
        l->keys[l->n_keys++] = (struct local_key){arena_str(&l->key_arena, id), arena_str(&l->key_arena, secret)};
    }
    return 0;
}

int face_keys_open(struct local *l, const char *path, struct err *e) {
    struct buf text = BUF_MAX(1 << 20);
    int rc = fs_read(path, &text, e);
    if (!rc) rc = read_keys(l, buf_view(&text), path, e);
    if (text.p) explicit_bzero(text.p, text.n);
    buf_free(&text);
    return rc;
}

void face_keys_close(struct local *l) {
    for (size_t i = 0; i < l->n_keys; i++) explicit_bzero((char *)l->keys[i].secret.p, l->keys[i].secret.n);
    free(l->keys);
    arena_free(&l->key_arena);
    l->keys = NULL;
    l->n_keys = 0;
}

static bool is_presigned(const struct face *f) {
    return face_param(f, "X-Amz-Algorithm").p || face_param(f, "X-Amz-Signature").p;
}

/* == errors in the words of each service ============================================================================
 */

static const struct wording {
    enum err_code code;
    const char *query; /* of Query services, and in x-amzn-query-error */
    int status;        /* but 400 for DynamoDB */
} wordings[] = {{ERR_AUTH_MISSING, "MissingAuthenticationToken", 403},
                {ERR_AUTH_CLIENT, "InvalidClientTokenId", 403},
                {ERR_AUTH_SIGNATURE, "SignatureDoesNotMatch", 403},
                {ERR_AUTH_INCOMPLETE, "IncompleteSignature", 400}};

const char *face_auth_query_name(enum err_code code) {
    for (size_t i = 0; i < sizeof wordings / sizeof *wordings; i++)
        if (wordings[i].code == code) return wordings[i].query;
    return NULL;
}

static const struct wording *wording_of(enum err_code s3) {
    switch (s3) {
    case ERR_S3_BAD_KEY_ID:
        return &wordings[1];
    case ERR_S3_ARGUMENT:
    case ERR_S3_AUTH_HEADER:
    case ERR_S3_QUERY_AUTH:
        return &wordings[3];
    case ERR_S3_DENIED:
    case ERR_S3_SIGNATURE:
    case ERR_S3_SKEW:
    case ERR_S3_SHA256:
        return &wordings[2];
    default:
        return NULL;
    }
}

/* "Signature expired: 20130524T000000Z is now earlier than 20130524T010000Z (20130524T011500Z - 15 min.)" */
static void skew_message(const struct face *f, int64_t now, struct err *e) {
    enum { WINDOW_MS = 15 * 60 * 1000 };
    struct str date = str_take(http_header(f->r, "x-amz-date"), 32);
    char server[17], edge[17];
    int64_t sent = 0;
    if (!now_parse_amz(date, &sent)) return;
    bool late = sent < now;
    now_amz(now, server);
    now_amz(late ? now - WINDOW_MS : now + WINDOW_MS, edge);
    err_set(e, e->code, "Signature %s: %.*s is now %s than %s (%s %c 15 min.)", late ? "expired" : "not yet current",
            STR_ARG(date), late ? "earlier" : "later", edge, server, late ? '-' : '+');
}

/* All that an Authorization header lacks, in one message. */
static void incomplete_message(const struct face *f, struct err *e) {
    static const char *const parts[] = {"Credential", "Signature", "SignedHeaders"};
    struct str header = http_header(f->r, "authorization");
    struct buf b = BUF_MAX(900);
    if (!header.p || is_presigned(f)) return;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (str_find(header, arena_printf(f->r->arena, "%s=", parts[i]), 0) < 0)
            buf_printf(&b, "Authorization header requires '%s' parameter. ", parts[i]);
    if (!http_header(f->r, "x-amz-date").n && !http_header(f->r, "date").n)
        buf_c(&b, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
    if (b.n) {
        ptrdiff_t space = str_chr(header, ' ', 0);
        struct str scheme = str_take(space < 0 ? STR("") : header, space < 0 ? 0 : (size_t)space);
        err_set(e, e->code, "%.*sAuthorization=%.*s", STR_ARG(buf_view(&b)), STR_ARG(str_take(scheme, 32)));
    }
    buf_free(&b);
}

/* sign_verify speaks S3; the other services have names of their own for the same. */
static int translate(const struct face *f, int64_t now, struct err *e) {
    const struct wording *w = wording_of(e->code);
    if (f->protocol == FACE_S3 || !w) return -1;
    if (e->code == ERR_S3_SKEW) skew_message(f, now, e);
    if (w->code == ERR_AUTH_INCOMPLETE) incomplete_message(f, e);
    if (e->code == ERR_S3_BAD_KEY_ID) err_set(e, e->code, "The security token included in the request is invalid.");
    if (e->code == ERR_S3_SIGNATURE)
        err_set(e, e->code,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details.");
    bool query = f->protocol == FACE_QUERY;
    e->code = w->code;
    snprintf(e->name, sizeof e->name, "%s", query ? w->query : err_name(w->code));
    e->status = f->service == AWS_DYNAMODB ? 400 : w->status;
    e->retryable = false;
    return -1;
}

static int missing(const struct face *f, struct err *e) {
    if (f->protocol == FACE_S3) return err_set(e, ERR_S3_DENIED, "Access Denied");
    bool query = f->protocol == FACE_QUERY;
    err_set(e, ERR_AUTH_MISSING, "%s",
            query ? "Request is missing either a valid (registered) access key ID or X.509 certificate"
                  : "Request is missing Authentication Token");
    snprintf(e->name, sizeof e->name, "%s", query ? wordings[0].query : err_name(ERR_AUTH_MISSING));
    e->status = f->service == AWS_DYNAMODB ? 400 : 403;
    return -1;
}

/* == version 2, in the query ========================================================================================
 */

/* What of a query is part of the resource. Source: ibid., "Constructing the CanonicalizedResource element". */
static bool is_sub_resource(struct str name) {
    static const char *const all[] = {"accelerate", "acl",          "analytics",      "cors",      "defaultObjectAcl",
                                      "delete",     "inventory",    "lifecycle",      "location",  "logging",
                                      "metrics",    "notification", "partNumber",     "policy",    "replication",
                                      "restore",    "storageClass", "tagging",        "torrent",   "uploadId",
                                      "uploads",    "versionId",    "versioning",     "versions",  "website",
                                      "select",     "select-type",  "requestPayment", "encryption"};
    if (str_starts(name, STR("response-"))) return true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_is(name, all[i])) return true;
    return false;
}

static int by_name(const void *a, const void *b) {
    const struct http_header *x = a, *y = b;
    return str_cmp(x->name, y->name);
}

static struct str lower(struct arena *a, struct str s) {
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) p[i] = (char)tolower((unsigned char)p[i]);
    return str_n(p, s.n);
}

/* A header, or what stands for it in the query: "content-type", "x-amz-meta-a". */
static struct str v2_header(const struct face *f, const char *name) {
    struct str v = http_header(f->r, name);
    return v.p ? v : face_param(f, name);
}

static void put_amz_headers(const struct face *f, struct buf *b) {
    struct arena *a = f->r->arena;
    struct http_header *rows = ARENA_ARRAY(a, struct http_header, f->r->n_headers + f->n_query + 1);
    size_t n = 0;
    for (size_t i = 0; i < f->r->n_headers; i++) {
        struct str name = lower(a, f->r->headers[i].name);
        if (str_starts(name, STR("x-amz-"))) rows[n++] = (struct http_header){name, f->r->headers[i].value};
    }
    for (size_t i = 0; i < f->n_query; i++) {
        struct str name = lower(a, f->query[i].name);
        if (!str_starts(name, STR("x-amz-")) || http_header(f->r, arena_cstr(a, name)).p) continue;
        rows[n++] = (struct http_header){name, f->query[i].value};
    }
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 0; i < n; i++) {
        bool more = i && str_eq(rows[i].name, rows[i - 1].name);
        if (i && !more) buf_byte(b, '\n');
        if (more)
            buf_byte(b, ',');
        else
            buf_printf(b, "%.*s:", STR_ARG(rows[i].name));
        buf_str(b, str_trim(rows[i].value));
    }
    if (n) buf_byte(b, '\n');
}

static void put_sub_resources(const struct face *f, struct buf *b) {
    struct http_header *rows = ARENA_ARRAY(f->r->arena, struct http_header, f->n_query + 1);
    size_t n = 0;
    for (size_t i = 0; i < f->n_query; i++)
        if (is_sub_resource(f->query[i].name)) rows[n++] = (struct http_header){f->query[i].name, f->query[i].value};
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 0; i < n; i++) {
        buf_byte(b, i ? '&' : '?');
        buf_str(b, rows[i].name);
        if (rows[i].value.n) buf_printf(b, "=%.*s", STR_ARG(rows[i].value));
    }
}

static void v2_string(const struct face *f, struct str expires, struct buf *b) {
    buf_printf(b, "%.*s\n%.*s\n%.*s\n%.*s\n", STR_ARG(f->r->method), STR_ARG(v2_header(f, "content-md5")),
               STR_ARG(v2_header(f, "content-type")), STR_ARG(expires));
    put_amz_headers(f, b);
    if (f->host_bucket.n) buf_printf(b, "/%.*s", STR_ARG(f->host_bucket));
    buf_str(b, f->r->path);
    put_sub_resources(f, b);
}

static int v2_signature(const struct face *f, struct str secret, struct str expires, struct err *e) {
    struct buf text = BUF_MAX(1 << 20), mac = BUF_MAX(64);
    uint8_t sha[20];
    v2_string(f, expires, &text);
    crypto_hmac_sha1(secret, buf_view(&text), sha);
    crypto_base64(&mac, str_n((char *)sha, sizeof sha));
    bool same = !text.over && crypto_equal(buf_view(&mac), face_param(f, "Signature"));
    buf_free(&text);
    buf_free(&mac);
    if (same) return 0;
    return err_set(e, ERR_S3_SIGNATURE,
                   "The request signature we calculated does not match the signature you provided. "
                   "Check your key and signing method.");
}

static int verify_v2(struct face *f, struct err *e) {
    struct local *l = f->conn->local;
    struct str id = face_param(f, "AWSAccessKeyId"), expires = face_param(f, "Expires");
    int64_t until;
    char end[25], server[25];
    if (!face_param(f, "Signature").n || !expires.n)
        return err_set(e, ERR_S3_DENIED,
                       "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters");
    if (!str_i64(expires, &until) || until < 0 || until > INT64_MAX / 1000 || until > 253402300799)
        return err_set(e, ERR_S3_DENIED, "Invalid date (should be seconds since epoch): %.*s",
                       STR_ARG(str_take(expires, 40)));
    f->who = (struct sign_verified){
        .access_key = id, .service = STR("s3"), .presigned = true, .payload_hash = STR("UNSIGNED-PAYLOAD")};
    if (l->no_verify) return 0;
    struct str secret = face_secret(l, id);
    if (!secret.p)
        return err_set(e, ERR_S3_BAD_KEY_ID, "The AWS Access Key Id you provided does not exist in our records: %.*s",
                       STR_ARG(str_take(id, 128)));
    now_iso(until * 1000, end);
    now_iso(clock_ms(l->clock), server);
    if (clock_ms(l->clock) >= until * 1000)
        return err_set(e, ERR_S3_DENIED, "Request has expired: Expires %s, ServerTime %s", end, server);
    return v2_signature(f, secret, expires, e);
}

/* == version 4 ======================================================================================================
 */

/* A link lives by the engine's clock, which tests move; a header is fresh by the system's, when its head arrived:
 * clients sign with the clock of their machine, and a slow body is not their fault. */
static int64_t time_of(const struct face *f) {
    if (is_presigned(f)) return clock_ms(f->conn->local->clock);
    int64_t now = clock_ms(NULL);
    return f->r->start_ns ? now - (int64_t)((now_mono_ns() - f->r->start_ns) / 1000000) : now;
}

static struct str signature_in_header(const struct face *f) {
    struct str header = http_header(f->r, "authorization");
    ptrdiff_t at = str_find(header, STR("Signature="), 0);
    struct str rest = at < 0 ? STR_NONE : str_from(header, (size_t)at + 10);
    return str_trim(str_cut(&rest, ','));
}

/* Any signature and none: who the request says it is. */
static void believe(struct face *f) {
    struct str hash = http_header(f->r, "x-amz-content-sha256");
    f->who = (struct sign_verified){.access_key = str_c(f->conn->local->access_key),
                                    .region = f->conn->backend.id.region,
                                    .service = f->claimed,
                                    .presigned = is_presigned(f),
                                    .payload_hash = hash.p ? str_trim(hash) : STR("UNSIGNED-PAYLOAD")};
}

static int verify_v4(struct face *f, struct err *e) {
    struct local *l = f->conn->local;
    int64_t now = time_of(f);
    if (sign_verify_with(f->r, now, secret_of, l, &f->conn->signing, SIGN_DOTS_DEFAULT, &f->who, e))
        return translate(f, now, e);
    return 0;
}

static int check_scope(const struct face *f, struct err *e) {
    static const char *const names[] = {"s3", "sqs", "dynamodb", "ses", "sts"};
    struct str s = f->who.service;
    if (f->protocol == FACE_S3 && !sign_is_s3(s))
        return sign_malformed(f->who.presigned, e, "incorrect service \"%.*s\". This endpoint belongs to \"s3\".",
                              STR_ARG(str_take(s, 64)));
    const struct aws_service_row *row = aws_service_row(f->service);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(s, names[i]) && !str_is(s, row->signing)) {
            err_set(e, ERR_S3_DENIED, "Credential should be scoped to correct service: '%s'.", row->signing);
            return translate(f, 0, e);
        }
    return 0;
}

/* == the body =======================================================================================================
 */

static int check_hash(struct face *f, struct str hash, struct err *e) {
    char hex[64];
    bool stated = http_header(f->r, "x-amz-content-sha256").p || f->who.presigned;
    if (str_is(hash, "UNSIGNED-PAYLOAD") || (!stated && f->protocol != FACE_S3)) return 0;
    sign_payload_hash(f->r->body, hex);
    if (str_eq(hash, str_n(hex, 64))) return 0;
    err_set(e, ERR_S3_SHA256, "The provided 'x-amz-content-sha256' header does not match what was computed.");
    return translate(f, 0, e);
}

/* "aws-chunked,gzip" -> "gzip" */
static struct str without_chunked(struct arena *a, struct str encoding) {
    struct buf b = BUF_MAX(8192);
    for (struct str rest = encoding; rest.p;) {
        struct str word = str_trim(str_cut(&rest, ','));
        if (!word.n || str_ieq(word, STR("aws-chunked"))) continue;
        if (b.n) buf_byte(&b, ',');
        buf_str(&b, word);
    }
    struct str left = b.n ? arena_str(a, buf_view(&b)) : STR_NONE;
    buf_free(&b);
    return left;
}

/* The seed of a signed stream is the request's own signature: it is there, for the request was verified. */
static int begin_stream(struct face *f, struct sign_stream *s, struct err *e) {
    struct sign_credentials c = {f->who.access_key, face_secret(f->conn->local, f->who.access_key), STR_NONE};
    struct sign_scope scope = {f->who.region, f->who.service, 0};
    struct str seed = signature_in_header(f);
    if (seed.n != 64 || !now_parse_amz(http_header(f->r, "x-amz-date"), &scope.unix_ms))
        return err_set(e, ERR_S3_ARGUMENT, "A signed stream requires the Authorization and x-amz-date headers.");
    sign_stream_begin(s, &c, &scope, &f->conn->signing, seed.p);
    return 0;
}

static int check_length(const struct face *f, struct str data, struct err *e) {
    struct str stated = http_header(f->r, "x-amz-decoded-content-length");
    int64_t n;
    if (!stated.n) return err_set(e, ERR_S3_NO_LENGTH, "You must provide the Content-Length HTTP header.");
    if (!str_i64(str_trim(stated), &n) || n < 0)
        return err_set(e, ERR_S3_ARGUMENT, "x-amz-decoded-content-length must be a number of bytes");
    if ((uint64_t)n == data.n) return 0;
    return err_set(e, ERR_S3_INCOMPLETE,
                   "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header");
}

static int decode_body(struct face *f, struct str kind, struct err *e) {
    struct chunked_in in = {.body = f->r->body, .names = http_header(f->r, "x-amz-trailer")};
    struct chunked_out out;
    struct sign_stream stream;
    in.is_signed = str_starts(kind, STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
    in.trailer = str_ends(kind, STR("-TRAILER"));
    if (!str_is(kind, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") && !str_is(kind, "STREAMING-UNSIGNED-PAYLOAD-TRAILER") &&
        !str_is(kind, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"))
        return err_set(e, ERR_NOT_IMPLEMENTED, "x-amz-content-sha256: %.*s is not implemented",
                       STR_ARG(str_take(kind, 80)));
    bool verified = in.is_signed && !f->conn->local->no_verify;
    if (verified && begin_stream(f, &stream, e)) return -1;
    if (verified) in.stream = &stream;
    int rc = chunked_decode(&in, f->r->arena, &out, e);
    if (verified) sign_stream_end(&stream);
    if (rc || check_length(f, out.data, e)) return -1;
    f->body = out.data;
    f->trailers = out.trailers;
    f->n_trailers = out.n_trailers;
    f->content_encoding = without_chunked(f->r->arena, f->content_encoding);
    return 0;
}

/* == all ============================================================================================================
 */

/* S3 looks at any Authorization header; the others see only those of Signature Version 4. */
static bool is_signed(const struct face *f) {
    struct str header = str_trim(http_header(f->r, "authorization"));
    bool seen = f->protocol == FACE_S3 ? header.n > 0 : str_starts(header, STR("AWS4-"));
    return seen || is_presigned(f) || face_param(f, "X-Amz-Credential").p;
}

static int verify(struct face *f, struct err *e) {
    bool v2 = f->protocol == FACE_S3 && face_param(f, "AWSAccessKeyId").p && !http_header(f->r, "authorization").p;
    if (v2) return verify_v2(f, e);
    if (f->conn->local->no_verify) {
        believe(f);
        return 0;
    }
    if (!is_signed(f)) return missing(f, e);
    if (f->protocol == FACE_S3 && str_starts(http_header(f->r, "authorization"), STR("AWS ")))
        return err_set(e, ERR_S3_BAD_REQUEST,
                       "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
    return verify_v4(f, e) || check_scope(f, e) ? -1 : 0;
}

/* What only signs says nothing to the services. */
static void drop_auth_params(struct face *f) {
    static const char *const names[] = {"X-Amz-Algorithm", "X-Amz-Credential",     "X-Amz-Date",
                                        "X-Amz-Expires",   "X-Amz-SignedHeaders",  "X-Amz-Signature",
                                        "AWSAccessKeyId",  "X-Amz-Security-Token", "X-Amz-Content-Sha256"};
    static const char *const v2[] = {"Signature", "Expires", "content-type", "content-md5"};
    bool is_v2 = face_param(f, "AWSAccessKeyId").p != NULL;
    size_t n = 0;
    for (size_t i = 0; i < f->n_query; i++) {
        bool drop = false;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) drop |= str_ieq(f->query[i].name, str_c(names[k]));
        for (size_t k = 0; is_v2 && k < sizeof v2 / sizeof *v2; k++) drop |= str_is(f->query[i].name, v2[k]);
        if (!drop) f->query[n++] = f->query[i];
    }
    f->n_query = n;
}

int face_authenticate(struct face *f, struct err *e) {
    if (verify(f, e)) return -1;
    drop_auth_params(f);
    struct str hash = f->who.payload_hash;
    if (str_starts(hash, STR("STREAMING-"))) return decode_body(f, hash, e);
    return check_hash(f, hash, e);
}
