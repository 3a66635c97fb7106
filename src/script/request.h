/* request (private to script/): the fields of what a handler is called with, and who pushes them. */
#ifndef PERIGEE_SCRIPT_REQUEST_H
#define PERIGEE_SCRIPT_REQUEST_H
#include "script/state.h"

enum field {
    F_NONE,
    F_METHOD,
    F_PATH,
    F_PATH_PARAMS,
    F_QUERY,
    F_QUERY_ALL,
    F_HEADERS,
    F_BODY,
    F_REQUEST_ID,
    F_TRACE_ID,
    F_SOURCE_IP,
    F_HOST,
    F_JSON,
    F_ID,
    F_QUEUE,
    F_RECEIVE_COUNT,
    F_SENT_AT,
    F_ATTRIBUTES,
    F_CORRELATION_ID,
    F_FUNCTION_NAME,
    F_LOG,
    F_REMAINING,
    F_AFTER,
    F_EVENT,
    F_AWS_REQUEST_ID,
    F_INVOKED_FUNCTION_ARN,
    F_FUNCTION_VERSION,
    F_MEMORY_LIMIT_IN_MB,
    F_LOG_GROUP_NAME,
    F_LOG_STREAM_NAME,
    F_TENANT_ID,
    F_XRAY_TRACE_ID,
    F_CLIENT_CONTEXT,
    F_IDENTITY,
    F_DEADLINE_MS,
};

void request_push_str(lua_State *L, struct str s);

// ---- invocation.c ----

void invocation_push_event(lua_State *L, struct job *j);
/* Fields from F_AWS_REQUEST_ID on. Elsewhere than on Lambda most of them are nil. */
void invocation_push_field(lua_State *L, struct job *j, enum field f);
/* Copies what is borrowed. */
void invocation_keep(struct job *j);

#endif
