#include "base/spawn.h"
#include <signal.h>

int spawn_group(const char *const *argv, const char *const *env, bool on_path,
                const posix_spawn_file_actions_t *actions, pid_t *ret) {
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc =
        (on_path ? posix_spawnp : posix_spawn)(ret, argv[0], actions, &attr, (char *const *)argv, (char *const *)env);
    posix_spawnattr_destroy(&attr);
    return rc;
}
