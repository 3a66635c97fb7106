/* sign: Signature Version 4 as pure functions: one buffer a stage, no I/O, no clock of its own.
 *
 * Who calls it: local (presign, verify), remote (sign, presign), script/lib/sigv4.c. Source: AWS General Reference
 * "Create a signed AWS API request", "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)". The
 * path is taken as it stands on the wire for S3 (encoded once, never normalised); other services sign the normalised,
 * twice encoded path: `double_encode`. */
#ifndef PERIGEE_SIGN_H
#define PERIGEE_SIGN_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/http.h"
#include "base/json.h"

struct sign_credentials {
    struct str access_key, secret_key, session_token; /* token empty when there is none */
};

struct sign_scope {
    struct str region, service;
    int64_t unix_ms;
};

/* Dot segments and empty segments of a path. Default: normalised when double_encode. */
enum sign_dots { SIGN_DOTS_DEFAULT, SIGN_DOTS_NORMALISED, SIGN_DOTS_KEPT };

struct sign_request {
    struct str method, path, raw_query; /* path raw as sent */
    const struct http_header *headers;  /* those to be signed, "host" among them */
    size_t n_headers;
    struct str payload_hash; /* hex sha256, "UNSIGNED-PAYLOAD", "STREAMING-..." */
    bool double_encode;
    enum sign_dots dots;
};

/* "s3", "s3-outposts", "s3-object-lambda", "s3express": paths as they stand, not double_encode; the rest:
 * double_encode.
 */
bool sign_is_s3(struct str service);
/* Hex SHA-256 of a body; that of no bytes is a constant. */
void sign_payload_hash(struct str body, char out_hex[64]);
/* Headers that proxies and clients change on the way: user-agent, x-amzn-trace-id, connection, expect, ... and
 * authorization. sign_authorization and sign_presign leave them out. */
bool sign_is_never_signed(struct str name);

/* Stages, each testable against vectors. */
void sign_canonical_request(const struct sign_request *r, struct buf *out, struct buf *signed_headers);
void sign_string_to_sign(const struct sign_scope *s, struct str canonical_request, struct buf *out);
void sign_key(struct str secret_key, const struct sign_scope *s, uint8_t out[32]);
void sign_signature(const uint8_t key[32], struct str string_to_sign, char out_hex[65]);

/* A cache of signing keys (per secret, day, region, service), as keyed HMAC states; zero-initialise. One a thread. It
 * holds secrets: wipe it when they change hands and at the end. Keys whose id is longer are derived each time. */
enum { SIGN_KEY_ID_MAX = 192 };
struct sign_key_cache {
    struct sign_key_entry {
        char id[SIGN_KEY_ID_MAX]; /* "20130524/us-east-1/s3/aws4_request", and the secret key behind it */
        size_t scope_n, id_n;     /* 0: free */
        struct crypto_hmac key;
    } entries[8];
    unsigned next; /* to be replaced */
    int64_t day;   /* since 1970 */
    char date[8];  /* of that day, "20130524"; NUL at first */
};
void sign_key_cached(struct sign_key_cache *c, struct str secret_key, const struct sign_scope *s,
                     struct crypto_hmac *ret);
void sign_key_cache_wipe(struct sign_key_cache *c); /* empty and usable afterwards */

/* Value of the Authorization header for r (whose headers hold host and x-amz-date; with a session token also
 * x-amz-security-token). ret_signature (may be NULL): its 64 hex digits, the seed of a signed stream. */
void sign_authorization(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                        struct sign_key_cache *cache, struct buf *out, char ret_signature[65]);

/* Presigning by query. base: "https://host[:port]"; path raw and encoded; extra_query: further raw parameters to be
 * signed; headers: those that the user of the link must send besides host; payload_hash: empty means UNSIGNED-PAYLOAD.
 * expires_s: 1..604800. out: the whole URL, X-Amz-Signature last. cache may be NULL. */
struct sign_link {
    struct str method, base, path, extra_query;
    const struct http_header *headers;
    size_t n_headers;
    struct str payload_hash;
    bool double_encode;
    int64_t expires_s;
    enum sign_dots dots;
};
int sign_presign(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_link *l,
                 struct sign_key_cache *cache, struct buf *out, struct err *e);

/* Signed streams (Amazon S3, "Transferring Payload in Multiple Chunks (Chunked Upload)", and with trailing headers):
 * payload hash STREAMING-AWS4-HMAC-SHA256-PAYLOAD or STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER. */
struct sign_stream {
    struct crypto_hmac key;
    struct buf prefix; /* date and scope lines; freed by sign_stream_end */
    char previous[65];
};
void sign_stream_begin(struct sign_stream *s, const struct sign_credentials *c, const struct sign_scope *scope,
                       struct sign_key_cache *cache, const char seed_signature[65]);
/* The signature of the next chunk (empty data: the last one). */
void sign_stream_chunk(struct sign_stream *s, struct str data, char ret_signature[65]);
/* trailer: the canonical trailing header lines, "x-amz-checksum-crc32:sOO8/Q==\n". */
void sign_stream_trailer(struct sign_stream *s, struct str trailer, char ret_signature[65]);
void sign_stream_end(struct sign_stream *s);

/* POST policies ("Authenticating Requests: Browser-Based Uploads Using POST"): the signature of the base64 policy, and
 * "KEY/20130524/us-east-1/s3/aws4_request". */
void sign_post_policy(const struct sign_credentials *c, const struct sign_scope *s, struct str policy_base64,
                      struct sign_key_cache *cache, char ret_signature[65]);
void sign_credential(const struct sign_credentials *c, const struct sign_scope *s, struct buf *out);
/* The whole form. params: {Bucket, Key, ExpiresIn (300), Fields: {..}, Conditions: [..]}; a Key or field may end in
 * "${filename}". Fields without a condition of the caller's get one. *ret: {url, fields: {key, .., policy,
 * x-amz-signature}} in a. cache may be NULL. Errors: VALIDATION naming the parameter. */
int sign_post_form(const struct sign_credentials *c, const struct sign_scope *s, struct str url,
                   const struct json *params, struct sign_key_cache *cache, struct arena *a, struct json *ret,
                   int64_t *ret_expires_ms, struct err *e);

/* Looks up the secret of an access key; STR_NONE when unknown. */
typedef struct str sign_secret_fn(void *ud, struct str access_key);

/* S3's error for a credential that is none, or not for here; of a link, or of a header. -1 */
int sign_malformed(bool presigned, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

struct sign_verified {
    struct str access_key, region, service;
    bool presigned;
    struct str payload_hash; /* what the body must match: hex sha256, UNSIGNED-PAYLOAD, STREAMING-... */
};
/* Verifies a request signed in its header or its query, in constant time. `host` is the Host header as received.
 * Errors: S3_DENIED (unsigned; "Request has expired" with the times), S3_BAD_KEY_ID, S3_SIGNATURE, S3_QUERY_AUTH,
 * S3_SKEW (header form only, 15 minutes; a presigned start may lie up to 15 minutes ahead). */
int sign_verify(const struct http_request *r, int64_t now_unix_ms, sign_secret_fn *secret, void *ud,
                struct sign_verified *ret, struct err *e);
/* The same with a cache of keys (may be NULL) and a say about dot segments. */
int sign_verify_with(const struct http_request *r, int64_t now_unix_ms, sign_secret_fn *secret, void *ud,
                     struct sign_key_cache *cache, enum sign_dots dots, struct sign_verified *ret, struct err *e);

#endif
