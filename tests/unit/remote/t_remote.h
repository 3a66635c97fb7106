/* t_remote: the rig of t.remote, and its scripted server. */
#ifndef PERIGEE_TESTS_T_REMOTE_H
#define PERIGEE_TESTS_T_REMOTE_H
#include "remote/remote.h"
#include <lauxlib.h>
#include <lua.h>

struct rig {
    lua_State *L; /* of the call from Lua that is running */
    struct loop *loop;
    struct remote *remote;
    struct remote_conn *conn;
    struct clock clock;
    struct metrics metrics;
    struct log log;
    struct arena arena;
    char endpoint[64];
    int env, handler; /* references */
    int fd, port;
    struct loop_fd *accepting;
    struct list peers;
    char secret[128];
    int64_t clock_ms;
    char failure[512]; /* of a handler */
};

/* Listens on a port of its own; requests go to the handler in Lua. */
int rig_server_open(struct rig *g, struct err *e);
void rig_server_close(struct rig *g);
struct str rig_secret_of(void *rig, struct str access_key);
void rig_set_str(lua_State *L, const char *name, struct str s); /* of the table on top */
int rig_hammer(lua_State *L, struct rig *g);

#endif
