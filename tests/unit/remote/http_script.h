/* http_script: an HTTP/1.1 server on loopback with a thread of its own that answers by rules of the test's.
 * server() in Lua; methods: port(), reply(prefix, {status, body, headers, hold, times}), release(), requests(),
 * close(). A request "GET /a?b" takes the first rule whose prefix it begins with and that has times left (default:
 * always). hold: the answer waits for release(). No rule: the connection is closed. Each answer ends its connection. */
#ifndef PERIGEE_HTTP_SCRIPT_H
#define PERIGEE_HTTP_SCRIPT_H
#include <lua.h>

int script_open(lua_State *L);

#endif
