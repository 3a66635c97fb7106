/* Directories of stores in memory: SQLite's readers and the cloud port's files want paths, so that they are in a file
 * system that is memory; and what dead processes left of theirs. */
#include "base/fs.h"
#include "local/store.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "perigee-mem-"

/* == leftovers ======================================================================================================
 */

/* Only what private_dir makes: nobody else can have put it there. */
static bool is_ours(const char *path) {
    struct stat st;
    return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0777) == 0700;
}

/* The lock goes with the process that holds it, however it ended; the mark is written under it. */
static bool is_left(const char *lock) {
    char text[64] = "";
    int fd = open(lock, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    bool left = !flock(fd, LOCK_EX | LOCK_NB) && pread(fd, text, sizeof text - 1, 0) > 0 && strstr(text, STORE_MARK);
    close(fd);
    return left;
}

static void remove_leftovers(struct local *l, const char *base) {
    struct arena a = {0};
    DIR *d = opendir(base);
    for (struct dirent *entry; d && (entry = readdir(d)) != NULL;) {
        struct err e = {0};
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) != 0) continue;
        const char *path = arena_printf(&a, "%s/%s", base, entry->d_name).p;
        if (!is_ours(path) || !is_left(arena_printf(&a, "%s/lock", path).p)) continue;
        if (fs_remove_tree(path, &e))
            log_event(l->log, LOG_WARN, "store: cannot remove what a dead process left", "ss", "dir", path, "error",
                      e.msg);
    }
    if (d) closedir(d);
    arena_free(&a);
}

/* == a new one ======================================================================================================
 */

int store_private_dir(struct local *l, struct err *e) {
    const char *tmp = getenv("TMPDIR");
    const char *bases[] = {"/dev/shm", tmp && *tmp ? tmp : "/tmp", "/tmp"};
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        remove_leftovers(l, bases[i]);
        if (asprintf(&l->dir, "%s/" PREFIX "XXXXXX", bases[i]) < 0) fatal("out of memory");
        if (mkdtemp(l->dir)) return 0;
        free(l->dir);
        l->dir = NULL;
    }
    return err_sys(e, ERR_IO, errno, "cannot make a private directory in /dev/shm or %s", bases[1]);
}
