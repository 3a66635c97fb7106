/* trace: the ids by which a request is followed from service to service, as headers carry them. Pure functions. */
#ifndef PERIGEE_BASE_TRACE_H
#define PERIGEE_BASE_TRACE_H
#include "base/str.h"

/* May a caller's X-Request-Id be taken over: [A-Za-z0-9_.:-]{1,128} */
bool trace_request_id_ok(struct str s);
/* The trace-id of a traceparent header (W3C Trace Context 3.2), a view; STR_NONE for a bad one. */
struct str trace_of_parent(struct str traceparent);
/* "Root=1-5759e988-bd862e3fe1be46a994272793;..." -> "5759e988bd862e3fe1be46a994272793" and NUL; false: there is none.
 */
bool trace_of_xray(struct str header, char ret[33]);

#endif
