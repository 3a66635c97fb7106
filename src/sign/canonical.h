/* canonical: private to sign. */
#ifndef PERIGEE_SIGN_CANONICAL_H
#define PERIGEE_SIGN_CANONICAL_H
#include "sign/sign.h"

#define SIGN_ALGORITHM "AWS4-HMAC-SHA256"
#define SIGN_EXPIRES_MAX 604800 /* a week, in seconds */
#define SIGN_SCRATCH_MAX (4u << 20)

/* The canonical query string: parameters sorted by name, then value. '+' means a space. An empty piece ("a=1&&b=2")
 * stays in as "=", so that no byte of the query is free to change. */
void sign_canonical_query(struct str query, struct buf *out);

/* One of the seven parameters that carry a signature in a query, in any case. */
bool sign_is_auth_param(struct str name);

#endif
