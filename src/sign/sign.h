/* sign: Signature Version 4 as pure functions: one buffer a stage, no I/O, no clock of its own.
 *
 * Who calls it: local (presign, verify), later remote. Source: AWS General Reference "Create a signed AWS API request",
 * "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
 * The path is taken as it stands on the wire for S3 (encoded once, never normalised); other services sign the
 * normalised, twice encoded path: `double_encode`. */
#ifndef PERIGEE_SIGN_H
#define PERIGEE_SIGN_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/http.h"

struct sign_credentials {
    struct str access_key, secret_key, session_token; /* token empty when there is none */
};

struct sign_scope {
    struct str region, service;
    int64_t unix_ms;
};

struct sign_request {
    struct str method, path, raw_query; /* path raw as sent */
    const struct http_header *headers;  /* those to be signed, "host" among them */
    size_t n_headers;
    struct str payload_hash; /* hex sha256, "UNSIGNED-PAYLOAD", "STREAMING-..." */
    bool double_encode;
};

/* Stages, each testable against vectors. */
void sign_canonical_request(const struct sign_request *r, struct buf *out, struct buf *signed_headers);
void sign_string_to_sign(const struct sign_scope *s, struct str canonical_request, struct buf *out);
void sign_key(struct str secret_key, const struct sign_scope *s, uint8_t out[32]);
void sign_signature(const uint8_t key[32], struct str string_to_sign, char out_hex[65]);

/* A cache of one signing key (per credentials, day, region, service); zero-initialise. */
struct sign_key_cache {
    uint8_t key[32], id[32];
    bool set;
};
void sign_key_cached(struct sign_key_cache *c, struct str secret_key, const struct sign_scope *s, uint8_t out[32]);

/* Value of the Authorization header for r (whose headers hold host and x-amz-date). */
void sign_authorization(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                        struct sign_key_cache *cache, struct buf *out);

/* Presigning by query (S3: payload UNSIGNED-PAYLOAD). base: "http://host:port"; path raw and encoded;
 * extra_query: further raw parameters to be signed, may be empty. expires_s: 1..604800.
 * out: the whole URL, X-Amz-Signature last. */
int sign_presign(const struct sign_credentials *c, const struct sign_scope *s, struct str method, struct str base,
                 struct str path, struct str extra_query, int64_t expires_s, struct buf *out, struct err *e);

/* Looks up the secret of an access key; STR_NONE when unknown. */
typedef struct str sign_secret_fn(void *ud, struct str access_key);

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

#endif
