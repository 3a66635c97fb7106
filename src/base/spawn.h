/* spawn: starts a program as the leader of a process group of its own, with no signal blocked or ignored. */
#ifndef PERIGEE_BASE_SPAWN_H
#define PERIGEE_BASE_SPAWN_H
#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

/* 0, or an errno. on_path: a name without '/' is looked for on PATH. */
int spawn_group(const char *const *argv, const char *const *env, bool on_path,
                const posix_spawn_file_actions_t *actions, pid_t *ret);

#endif
