/* Objects from and to files: BodyFile and ToFile of perigee.aws. Handlers see only what is below the scratch directory;
 * trusted scripts see everything. */
#include "script/lib/lib.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ==== opening ==== */

static int refused(const char *path, int errnum, struct err *e) {
    if (errnum == EXDEV || errnum == ELOOP)
        return err_set(e, ERR_ACCESS_DENIED, "%s leads out of the scratch directory, or through a symbolic link", path);
    return err_sys(e, ERR_IO, errnum, "cannot open %s", path);
}

static int open_below(const char *root, const char *path, uint64_t flags, int *ret, struct err *e) {
    struct open_how how = {.flags = flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return err_sys(e, ERR_IO, errno, "cannot open the scratch directory %s", root);
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    int errnum = errno;
    close(dir);
    *ret = (int)fd;
    return fd < 0 ? refused(path, errnum, e) : 0;
}

static int open_path(lua_State *L, const char *path, int flags, int *ret, struct err *e) {
    const struct script_config *c = script_config(script_of(L));
    flags |= O_CLOEXEC;
    if (c->trusted) {
        *ret = open(path, flags);
        return *ret < 0 ? err_sys(e, ERR_IO, errno, "cannot open %s", path) : 0;
    }
    if (c->scratch_dir && *c->scratch_dir) return open_below(c->scratch_dir, path, (uint64_t)flags, ret, e);
    return err_set(
        e, ERR_CONFIG,
        "handlers can use files (%s) only when the host has a scratch directory: start it with --scratch DIR", path);
}

static int check_path(struct str path, const char *member, struct err *e) {
    if (path.n && path.n < 4096 && !memchr(path.p, 0, path.n)) return 0;
    return err_set(e, ERR_VALIDATION, "%s is no path", member);
}

/* ==== BodyFile ==== */

int aws_file_body(lua_State *L, struct str path, struct aws_call *c, struct err *e) {
    struct stat st;
    int fd;
    if (check_path(path, "BodyFile", e)) return -1;
    const char *name = arena_cstr(&c->arena, path);
    if (open_path(L, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd, e)) return -1; /* a pipe must not be waited for */
    c->body_fd = fd;
    if (fstat(fd, &st)) return err_sys(e, ERR_IO, errno, "cannot look at %s", name);
    if (!S_ISREG(st.st_mode)) return err_set(e, ERR_IO, "%s is no regular file", name);
    c->body_len = (uint64_t)st.st_size;
    return 0;
}

/* ==== ToFile ==== */

static struct str parent_of(struct str path) {
    for (size_t i = path.n; i-- > 0;)
        if (path.p[i] == '/') return i ? str_take(path, i) : STR("/");
    return STR(".");
}

static int split(struct str path, struct arena *a, const char **ret_dir, struct aws_sink *s, struct err *e) {
    struct str dir = parent_of(path), name = path;
    for (size_t i = path.n; i-- > 0;)
        if (path.p[i] == '/') {
            name = str_from(path, i + 1);
            break;
        }
    if (!name.n || name.n >= sizeof s->name || str_is(name, ".") || str_is(name, ".."))
        return err_set(e, ERR_VALIDATION, "ToFile does not name a file: %.*s", STR_ARG(str_take(path, 200)));
    memcpy(s->name, name.p, name.n);
    s->name[name.n] = 0;
    *ret_dir = arena_cstr(a, dir);
    return 0;
}

int aws_file_sink(lua_State *L, struct str path, struct aws_call *c, struct aws_sink *s, struct err *e) {
    const char *dir = NULL;
    struct stat st;
    char id[37];
    if (check_path(path, "ToFile", e) || split(path, &c->arena, &dir, s, e)) return -1;
    if (open_path(L, dir, O_PATH | O_DIRECTORY, &s->dir, e)) return -1;
    s->open = true;
    if (!fstatat(s->dir, s->name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode))
        return err_set(e, ERR_IO, "%.*s is a directory", STR_ARG(str_take(path, 200)));
    crypto_uuid4(id);
    snprintf(s->temp, sizeof s->temp, ".perigee-%s.part", id);
    c->result_fd = openat(s->dir, s->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (c->result_fd < 0) return err_sys(e, ERR_IO, errno, "cannot make a file in %s", dir);
    return 0;
}

int aws_file_keep(struct aws_sink *s, struct err *e) {
    if (renameat(s->dir, s->temp, s->dir, s->name))
        return err_sys(e, ERR_IO, errno, "cannot give the file its name %s", s->name);
    s->temp[0] = 0;
    return 0;
}

void aws_file_close(struct aws_sink *s) {
    if (!s->open) return;
    if (s->temp[0]) unlinkat(s->dir, s->temp, 0);
    close(s->dir);
    s->open = false;
}
