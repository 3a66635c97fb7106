/* params (private to local/): reading a call's parameters with AWS's complaints. */
#ifndef PERIGEE_LOCAL_PARAMS_H
#define PERIGEE_LOCAL_PARAMS_H
#include "local/store.h"

/* Refuses members of `obj` that are not among the space-separated `known`, unless it is open; `what` names it. */
int params_only(const struct json *obj, const char *known, const char *what, enum err_code code, struct err *e);
/* An optional integer (a JSON number, or a string of digits as attribute maps have it) within min..max; otherwise
 * `otherwise`. */
int params_int(const struct json *obj, const char *name, int64_t min, int64_t max, int64_t otherwise,
               enum err_code code, int64_t *ret, struct err *e);
/* An optional string: STR_NONE when absent, an error when of another type. */
int params_str(const struct json *obj, const char *name, enum err_code code, struct str *ret, struct err *e);

#endif
