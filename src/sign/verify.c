/* Verification of a request signed in its header or its query. */
#include "base/crypto.h"
#include "base/now.h"
#include "base/url.h"
#include "sign/canonical.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKEW_MS (15 * 60 * 1000)
#define HEADER "The authorization header is malformed; "

/* What a request says about its signature, from either place. */
struct claim {
    struct str credential, date, expires, signed_headers, signature; /* decoded; expires only when presigned */
    struct str access_key, day, region, service;                     /* the parts of credential */
    struct str query;                                                /* that was signed */
    struct str payload_hash;
    int64_t unix_ms;
    bool presigned;
};

static const char *const auth_params[] = {"X-Amz-Algorithm",    "X-Amz-Credential", "X-Amz-Date",
                                          "X-Amz-Expires",      "X-Amz-Signature",  "X-Amz-Security-Token",
                                          "X-Amz-SignedHeaders"};

bool sign_is_auth_param(struct str name) {
    for (size_t i = 0; i < sizeof auth_params / sizeof *auth_params; i++)
        if (str_ieq(name, str_c(auth_params[i]))) return true;
    return false;
}

/* ---- query parameters ---- */

/* The raw value of a parameter (STR_NONE when absent). *ret_n counts how often it appears. */
static struct str raw_param(struct str query, const char *name, size_t *ret_n) {
    struct str found = STR_NONE;
    *ret_n = 0;
    for (struct str rest = query; rest.n;) {
        struct str value = str_cut(&rest, '&'), key = str_cut(&value, '=');
        if (!str_is(key, name)) continue;
        found = value.p ? value : STR("");
        ++*ret_n;
    }
    return found;
}

static int param(const struct http_request *r, const char *name, struct str *ret, struct err *e) {
    size_t n;
    struct str raw = raw_param(r->raw_query, name, &n);
    if (n > 1) return err_set(e, ERR_S3_QUERY_AUTH, "The query parameter %s appears %zu times.", name, n);
    if (!raw.n)
        return err_set(e, ERR_S3_QUERY_AUTH,
                       "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
                       "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters: %s is missing.",
                       name);
    if (url_decode(r->arena, raw, true, ret, NULL))
        return err_set(e, ERR_S3_QUERY_AUTH, "The query parameter %s has a bad percent-escape.", name);
    return 0;
}

static bool has_param(const struct http_request *r, const char *name) {
    size_t n;
    raw_param(r->raw_query, name, &n);
    return n > 0;
}

/* The query without its signature. */
static struct str unsigned_query(const struct http_request *r) {
    struct str rest = r->raw_query;
    char *p = arena_alloc(r->arena, rest.n + 1);
    size_t n = 0;
    for (bool first = true; rest.p;) {
        struct str piece = str_cut(&rest, '&');
        if (str_starts(piece, STR("X-Amz-Signature="))) continue;
        if (!first) p[n++] = '&';
        first = false;
        memcpy(p + n, piece.p, piece.n);
        n += piece.n;
    }
    return str_n(p, n);
}

static int read_query(const struct http_request *r, struct claim *c, struct err *e) {
    struct str algorithm;
    if (param(r, "X-Amz-Algorithm", &algorithm, e) || param(r, "X-Amz-Credential", &c->credential, e) ||
        param(r, "X-Amz-Date", &c->date, e) || param(r, "X-Amz-Expires", &c->expires, e) ||
        param(r, "X-Amz-SignedHeaders", &c->signed_headers, e) || param(r, "X-Amz-Signature", &c->signature, e))
        return -1;
    if (!str_is(algorithm, SIGN_ALGORITHM))
        return err_set(e, ERR_S3_QUERY_AUTH, "X-Amz-Algorithm only supports \"" SIGN_ALGORITHM "\"");
    c->query = unsigned_query(r);
    c->presigned = true;
    return 0;
}

/* ---- header ---- */

int sign_malformed(bool presigned, struct err *e, const char *fmt, ...) {
    char why[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_set(e, presigned ? ERR_S3_QUERY_AUTH : ERR_S3_AUTH_HEADER, "%s%s",
                   presigned ? "Error parsing the X-Amz-Credential parameter; " : HEADER, why);
}

static int read_header(struct str authorization, const struct http_request *r, struct claim *c, struct err *e) {
    struct str rest = str_trim(authorization), algorithm = str_cut(&rest, ' ');
    if (!str_is(algorithm, SIGN_ALGORITHM)) return err_set(e, ERR_S3_ARGUMENT, "Unsupported Authorization Type");
    bool known = true;
    while (rest.n && known) {
        struct str value = str_trim(str_cut(&rest, ',')), name = str_cut(&value, '=');
        struct str *slot = str_is(name, "Credential")      ? &c->credential
                           : str_is(name, "SignedHeaders") ? &c->signed_headers
                           : str_is(name, "Signature")     ? &c->signature
                                                           : NULL;
        known = slot && !slot->n;
        if (known) *slot = value;
    }
    if (!known || !c->credential.n || !c->signed_headers.n || !c->signature.n)
        return sign_malformed(false, e,
                              "the authorization header requires three components: Credential, SignedHeaders, and "
                              "Signature.");
    c->date = http_header(r, "x-amz-date");
    c->query = r->raw_query;
    return 0;
}

/* ---- checks ---- */

static bool is_day(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n == 8;
}

/* "key/20130524/us-east-1/s3/aws4_request", cut from the right: a key may hold '/'. */
static int split_credential(struct claim *c, struct err *e) {
    struct str parts[4], rest = c->credential;
    for (int i = 3; i >= 0; i--) {
        size_t at = rest.n;
        while (at && rest.p[at - 1] != '/') at--;
        if (!at)
            return sign_malformed(
                c->presigned, e,
                "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
        parts[i] = str_from(rest, at);
        rest = str_take(rest, at - 1);
    }
    if (!rest.n)
        return sign_malformed(c->presigned, e, "a non-empty Access Key (AKID) must be provided in the credential.");
    if (!is_day(parts[0]))
        return sign_malformed(c->presigned, e,
                              "incorrect date format \"%.*s\". This date in the credential must be in the format "
                              "\"yyyyMMdd\".",
                              STR_ARG(str_take(parts[0], 128)));
    if (!str_is(parts[3], "aws4_request"))
        return sign_malformed(c->presigned, e, "incorrect terminal \"%.*s\". This endpoint uses \"aws4_request\".",
                              STR_ARG(str_take(parts[3], 128)));
    c->access_key = rest;
    c->day = parts[0];
    c->region = parts[1];
    c->service = parts[2];
    return 0;
}

static int read_date(const struct http_request *r, struct claim *c, struct err *e) {
    struct str plain = http_header(r, "date");
    bool known = c->date.p ? now_parse_amz(c->date, &c->unix_ms)
                           : plain.p && (now_parse_http(plain, &c->unix_ms) || now_parse_amz(plain, &c->unix_ms));
    if (!known)
        return err_set(e, c->presigned ? ERR_S3_QUERY_AUTH : ERR_S3_DENIED,
                       "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\".");
    char time[17];
    now_amz(c->unix_ms, time);
    if (!str_eq(c->day, str_n(time, 8)))
        return err_set(e, c->presigned ? ERR_S3_QUERY_AUTH : ERR_S3_AUTH_HEADER,
                       "%sInvalid credential date \"%.*s\". This date is not the same as X-Amz-Date: \"%s\".",
                       c->presigned ? "" : HEADER, STR_ARG(c->day), time);
    return 0;
}

static int check_lifetime(const struct claim *c, int64_t now, struct err *e) {
    int64_t seconds;
    char from[25], until[25], server[25];
    if (!str_i64(c->expires, &seconds)) return err_set(e, ERR_S3_QUERY_AUTH, "X-Amz-Expires should be a number");
    if (seconds < 1) return err_set(e, ERR_S3_QUERY_AUTH, "X-Amz-Expires must be positive");
    if (seconds > SIGN_EXPIRES_MAX)
        return err_set(e, ERR_S3_QUERY_AUTH, "X-Amz-Expires must be less than a week (in seconds); that is, %d",
                       SIGN_EXPIRES_MAX);
    int64_t end = c->unix_ms + seconds * 1000;
    now_iso(c->unix_ms, from);
    now_iso(end, until);
    now_iso(now, server);
    if (now >= end)
        return err_set(e, ERR_S3_DENIED, "Request has expired: X-Amz-Expires %lld, Expires %s, ServerTime %s",
                       (long long)seconds, until, server);
    if (c->unix_ms - now > SKEW_MS)
        return err_set(e, ERR_S3_DENIED, "Request is not valid yet: X-Amz-Date %s, ServerTime %s", from, server);
    return 0;
}

static int check_time(const struct claim *c, int64_t now, struct err *e) {
    if (c->presigned) return check_lifetime(c, now, e);
    if (c->unix_ms - now <= SKEW_MS && now - c->unix_ms <= SKEW_MS) return 0;
    char request[25], server[25];
    now_iso(c->unix_ms, request);
    now_iso(now, server);
    return err_set(e, ERR_S3_SKEW,
                   "The difference between the request time and the current time is too large: RequestTime %s, "
                   "ServerTime %s, MaxAllowedSkewMilliseconds %d",
                   request, server, SKEW_MS);
}

/* ---- signed headers ---- */

static bool is_listed(struct str list, struct str name) {
    while (list.n)
        if (str_ieq(str_cut(&list, ';'), name)) return true;
    return false;
}

/* S3 lets no x-amz-* header influence a request unsigned. */
static bool must_be_signed(const struct claim *c, struct str name) {
    if (str_ieq(name, STR("host"))) return true;
    if (!sign_is_s3(c->service) || !str_ieq(str_take(name, 6), STR("x-amz-"))) return false;
    return !str_ieq(name, STR("x-amz-user-agent")) && !(c->presigned && str_ieq(name, STR("x-amz-content-sha256")));
}

static int collect_headers(const struct http_request *r, const struct claim *c, struct http_header **ret, size_t *ret_n,
                           struct err *e) {
    struct http_header *h = ARENA_ARRAY(r->arena, struct http_header, r->n_headers + 1);
    size_t n = 0;
    for (size_t i = 0; i < r->n_headers; i++) {
        struct str name = r->headers[i].name;
        if (is_listed(c->signed_headers, name))
            h[n++] = r->headers[i];
        else if (must_be_signed(c, name))
            return err_set(e, ERR_S3_DENIED, "There were headers present in the request which were not signed: %.*s",
                           STR_ARG(str_take(name, 200)));
    }
    if (!is_listed(c->signed_headers, STR("host")))
        return err_set(e, ERR_S3_DENIED, "The signed headers \"%.*s\" lack host",
                       STR_ARG(str_take(c->signed_headers, 200)));
    *ret = h;
    *ret_n = n;
    return 0;
}

/* ---- payload ---- */

static struct str hash_of_body(const struct http_request *r) {
    char *hex = arena_alloc(r->arena, 64);
    sign_payload_hash(r->body, hex);
    return str_n(hex, 64);
}

static bool is_payload_hash(struct str s) {
    if (str_is(s, "UNSIGNED-PAYLOAD") || str_starts(s, STR("STREAMING-"))) return true;
    if (s.n != 64) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789abcdef", s.p[i]) || !s.p[i]) return false;
    return true;
}

static int read_payload_hash(const struct http_request *r, struct claim *c, struct err *e) {
    struct str header = http_header(r, "x-amz-content-sha256");
    bool s3 = sign_is_s3(c->service);
    if (c->presigned && has_param(r, "X-Amz-Content-Sha256")) {
        if (param(r, "X-Amz-Content-Sha256", &c->payload_hash, e)) return -1;
    } else if (header.p && (!c->presigned || is_listed(c->signed_headers, STR("x-amz-content-sha256")))) {
        c->payload_hash = str_trim(header);
    } else if (s3 && c->presigned) {
        c->payload_hash = STR("UNSIGNED-PAYLOAD");
    } else if (s3) {
        return err_set(e, ERR_S3_ARGUMENT, "Missing required header for this request: x-amz-content-sha256");
    } else {
        c->payload_hash = hash_of_body(r);
    }
    if (is_payload_hash(c->payload_hash)) return 0;
    return err_set(e, ERR_S3_ARGUMENT,
                   "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-..., or a valid sha256 value.");
}

/* ---- the signature ---- */

enum { SIGNED_MAX = 4 << 20 };

/* What the signature must be; false when the list of signed headers is not the one that belongs to these headers. */
static bool expected_signature(const struct sign_request *q, const struct claim *c, struct str secret,
                               struct sign_key_cache *cache, char out_hex[65]) {
    struct sign_scope s = {c->region, c->service, c->unix_ms};
    struct sign_room room;
    struct sign_sorted sorted;
    struct crypto_hmac own;
    char time[17];
    char *p = sign_room_take(&room, 2 * sign_scope_bound(&s) + SIGN_TEXT_MORE +
                                        sign_canonical_bound(q, sign_query_bound(q->raw_query)) +
                                        sign_names_bound(q->headers, q->n_headers));
    sign_time(cache, s.unix_ms, time);
    sign_sort_headers(q->headers, q->n_headers, false, &sorted);
    struct str scope = {p, 0}, names, query, text;
    names.p = p = sign_put_scope(p, time, &s);
    scope.n = (size_t)(p - scope.p);
    query.p = p = sign_put_names(p, &sorted);
    names.n = (size_t)(p - names.p);
    text.p = p = sign_put_query(p, q->raw_query);
    query.n = (size_t)(p - query.p);
    char *end = sign_put_canonical(p, q, query, &sorted, names);
    text.n = (size_t)(end - text.p);
    p = sign_put_text(end, time, scope, text);
    const struct crypto_hmac *key = sign_find_key(cache, secret, &s, scope, &own);
    sign_mac(key, str_n(end, (size_t)(p - end)), out_hex);
    sign_unkey(key, &own);
    bool same = str_eq(names, c->signed_headers);
    sign_sorted_free(&sorted);
    sign_room_free(&room);
    return same;
}

static int check_signature(const struct http_request *r, const struct claim *c, struct str secret,
                           struct sign_key_cache *cache, enum sign_dots dots, struct err *e) {
    struct http_header *headers = NULL;
    size_t n = 0;
    char hex[65];
    if (collect_headers(r, c, &headers, &n, e)) return -1;
    struct sign_request q = {.method = r->method,
                             .path = r->path,
                             .raw_query = c->query,
                             .headers = headers,
                             .n_headers = n,
                             .payload_hash = c->payload_hash,
                             .double_encode = !sign_is_s3(c->service),
                             .dots = dots};
    if (sign_canonical_bound(&q, 0) + q.raw_query.n > SIGNED_MAX)
        return err_set(e, ERR_TOO_LARGE, "The signed part of the request is larger than %d bytes", SIGNED_MAX);
    bool same = expected_signature(&q, c, secret, cache, hex);
    if (crypto_equal(str_n(hex, 64), c->signature) && same) return 0;
    return err_set(e, ERR_S3_SIGNATURE,
                   "The request signature we calculated does not match the signature you provided. "
                   "Check your key and signing method.");
}

static int read_claim(const struct http_request *r, struct claim *c, struct err *e) {
    struct str authorization = http_header(r, "authorization");
    bool query = has_param(r, "X-Amz-Algorithm") || has_param(r, "X-Amz-Signature");
    if (query && authorization.p)
        return err_set(e, ERR_S3_ARGUMENT,
                       "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization "
                       "header should be specified");
    if (query) return read_query(r, c, e);
    if (authorization.n) return read_header(authorization, r, c, e);
    if (has_param(r, "AWSAccessKeyId"))
        return err_set(e, ERR_S3_ARGUMENT,
                       "The authorization mechanism you have provided is not supported. "
                       "Please use " SIGN_ALGORITHM ".");
    return err_set(e, ERR_S3_DENIED, "Access Denied: the request is not signed");
}

int sign_verify_with(const struct http_request *r, int64_t now_unix_ms, sign_secret_fn *secret, void *ud,
                     struct sign_key_cache *cache, enum sign_dots dots, struct sign_verified *ret, struct err *e) {
    struct claim c = {0};
    if (read_claim(r, &c, e) || split_credential(&c, e) || read_date(r, &c, e) || check_time(&c, now_unix_ms, e) ||
        read_payload_hash(r, &c, e))
        return -1;
    struct str key = secret(ud, c.access_key);
    if (!key.p)
        return err_set(e, ERR_S3_BAD_KEY_ID, "The AWS Access Key Id you provided does not exist in our records: %.*s",
                       STR_ARG(str_take(c.access_key, 128)));
    if (check_signature(r, &c, key, cache, dots, e)) return -1;
    *ret = (struct sign_verified){c.access_key, c.region, c.service, c.presigned, c.payload_hash};
    return 0;
}

int sign_verify(const struct http_request *r, int64_t now_unix_ms, sign_secret_fn *secret, void *ud,
                struct sign_verified *ret, struct err *e) {
    return sign_verify_with(r, now_unix_ms, secret, ud, NULL, SIGN_DOTS_DEFAULT, ret, e);
}
