/* host_lua (private to host_lua.c and the files that add methods to its handles): argument 1 of a method. */
#ifndef PERIGEE_HOST_LUA_H
#define PERIGEE_HOST_LUA_H
#include "host.h"

/* First of all in a method: raises unless argument 1 is a host that is open; frees what its last call kept. */
struct perigee *host_lua_host(struct lua_State *L);
struct arena *host_lua_arena(struct lua_State *L); /* of the call being made, freed by the next one */
/* {method, target, headers, body, remote_ip}; in that arena. */
struct http_request *host_lua_request(struct lua_State *L, int idx);
struct http_response *host_lua_response(struct lua_State *L); /* of the call being made, likewise */
/* Pushes it; nil, err when the file of its body cannot be read. */
int host_lua_push_response(struct lua_State *L);

/* Arguments 2 to 5 of a method (service, action, parameters, body) -> *slot, which its owner frees whatever happens;
 * raises for what is no call. */
void host_lua_read_call(struct lua_State *L, struct aws_call **slot);
/* Its result, or nil, err. */
int host_lua_push_call(struct lua_State *L, const struct aws_call *call);

/* host_lua_simulate.c */
void host_simulate_methods(struct lua_State *L);

/* host_documents.c */
int host_lua_event(struct lua_State *L);
int host_lua_answer(struct lua_State *L);
int host_lua_schedule(struct lua_State *L);
int host_lua_environment(struct lua_State *L);

/* host_replay.c */
void host_replay_methods(struct lua_State *L); /* adds them to the table on top */
int host_lua_segments(struct lua_State *L);

/* host_probe.c: adds its methods to the table on top. */
void host_probe_methods(struct lua_State *L);

#endif
