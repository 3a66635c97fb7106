/* canonical: private to sign. The texts of one signature are written one behind the other into one piece of memory,
 * whose size is reckoned beforehand: writers take the place to write to, check nothing, and return the end. */
#ifndef PERIGEE_SIGN_CANONICAL_H
#define PERIGEE_SIGN_CANONICAL_H
#include "sign/sign.h"
#include <string.h>

#define SIGN_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGN_EXPIRES_MAX 604800 /* a week, in seconds */

/* Memory for texts: on the stack when they are short. */
struct sign_room {
    char *heap;
    _Alignas(8) char small[4096];
};
char *sign_room_take(struct sign_room *room, size_t bytes); /* once a room */
void sign_room_free(struct sign_room *room);

static inline char *sign_put(char *p, struct str s) {
    if (s.n) memcpy(p, s.p, s.n);
    return p + s.n;
}
#define SIGN_PUT(p, lit) ((char *)memcpy((p), (lit), sizeof(lit) - 1) + sizeof(lit) - 1)

/* Headers in the order of their lower-case names, those of one name in the order of appearance. */
struct sign_sorted {
    const struct http_header **h;
    size_t n;
    const struct http_header *small[32];
};
/* to_sign: leaves out those that no signer signs (sign_is_never_signed). */
void sign_sort_headers(const struct http_header *headers, size_t n, bool to_sign, struct sign_sorted *ret);
void sign_sorted_free(struct sign_sorted *s);
char *sign_put_names(char *p, const struct sign_sorted *s); /* "host;x-amz-date" */

/* The canonical query string: parameters sorted by name, then value. '+' means a space. An empty piece ("a=1&&b=2")
 * stays in as "=", so that no byte of the query is free to change. */
char *sign_put_query(char *p, struct str query);
size_t sign_query_bound(struct str query);
char *sign_put_encoded(char *p, struct str text); /* RFC 3986: all but unreserved characters; at most 3 * n bytes */

/* query: canonical already; it replaces r's. */
char *sign_put_canonical(char *p, const struct sign_request *r, struct str query, const struct sign_sorted *headers,
                         struct str names);
size_t sign_names_bound(const struct http_header *headers, size_t n);
/* Room for sign_put_canonical and for the query made canonical before it; query: bytes that one may take. */
size_t sign_canonical_bound(const struct sign_request *r, size_t query);

/* now_amz; the date is kept in the cache (may be NULL) from one call to the next. */
void sign_time(struct sign_key_cache *cache, int64_t unix_ms, char out[17]);
/* "20130524/us-east-1/s3/aws4_request"; time: of now_amz. */
char *sign_put_scope(char *p, const char *time, const struct sign_scope *s);
size_t sign_scope_bound(const struct sign_scope *s);
char *sign_put_text(char *p, const char *time, struct str scope, struct str canonical_request);
enum { SIGN_TEXT_MORE = 128 }; /* bound of sign_put_text besides the scope */

/* The key, from the cache or derived into *own; sign_unkey wipes what was derived. cache may be NULL. */
const struct crypto_hmac *sign_find_key(struct sign_key_cache *cache, struct str secret_key, const struct sign_scope *s,
                                        struct str scope_text, struct crypto_hmac *own);
void sign_unkey(const struct crypto_hmac *key, struct crypto_hmac *own);
void sign_mac(const struct crypto_hmac *key, struct str text, char out_hex[65]);

/* One of the seven parameters that carry a signature in a query, in any case. */
bool sign_is_auth_param(struct str name);

#endif
