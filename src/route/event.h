/* event (private to route/): reading members of AWS event documents, with errors that name them. */
#ifndef PERIGEE_ROUTE_EVENT_H
#define PERIGEE_ROUTE_EVENT_H
#include "route/route.h"

/* All of these take an object (or NULL) and the path of it for messages ("requestContext.http." or ""). A member that
 * is null counts as missing; a wrong type is -1 and "requestContext.http.method: must be a string, not number". */
int event_text(const struct json *obj, const char *at, const char *key, struct str *ret, struct err *e);
int event_need_text(const struct json *obj, const char *at, const char *key, struct str *ret, struct err *e);
int event_member(const struct json *obj, const char *at, const char *key, enum json_type type, const struct json **ret,
                 struct err *e); /* *ret NULL: missing */
int event_need_object(const struct json *obj, const char *at, const char *key, const struct json **ret, struct err *e);
int event_flag(const struct json *obj, const char *at, const char *key, bool *ret, struct err *e);

/* May these bytes go into a document as text, and come out unchanged? By Content-Type and by being UTF-8. */
bool event_is_text(struct str content_type, struct str body);
/* First header of that name in "Name: value\n" lines. */
struct str event_head_get(struct str head, struct str name);

#endif
