#include "base/fs.h"
#include "base/crypto.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP = 64 * 1024, DEPTH_MAX = 32 };

/* ==== files ==== */

static enum err_code code_of(int errnum) {
    return errnum == ENOSPC || errnum == EDQUOT ? ERR_DISK_FULL : ERR_IO;
}

/* What can be read into the buffer as it is; its NUL byte has a place behind. */
static size_t reserved(const struct buf *b) {
    size_t end = b->cap ? b->cap - 1 : 0;
    if (end > b->max) end = b->max;
    return end > b->n ? end - b->n : 0;
}

static int read_all(int fd, const char *path, struct buf *b, struct err *e) {
    for (;;) {
        char chunk[STEP];
        size_t room = reserved(b);
        ssize_t n = room ? read(fd, b->p + b->n, room) : read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_sys(e, ERR_IO, errno, "cannot read %s", path);
        if (n == 0) return 0;
        if (room)
            b->p[b->n += (size_t)n] = 0;
        else
            buf_add(b, chunk, (size_t)n);
        if (buf_check(b, path, e)) return -1;
    }
}

int fs_read(const char *path, struct buf *b, struct err *e) {
    struct stat st;
    int rc = -1, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_sys(e, ERR_IO, errno, "cannot open %s", path);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) buf_reserve(b, (size_t)st.st_size);
    rc = read_all(fd, path, b, e);
    close(fd);
    return rc;
}

static int write_all(int fd, const char *path, struct str data, struct err *e) {
    while (data.n) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_sys(e, code_of(errno), errno, "cannot write %s", path);
        data = str_from(data, (size_t)n);
    }
    return 0;
}

int fs_sync_dir(const char *path, struct err *e) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_sys(e, ERR_IO, errno, "cannot open directory %s", path);
    int rc = fsync(fd) ? err_sys(e, code_of(errno), errno, "cannot sync directory %s", path) : 0;
    close(fd);
    return rc;
}

static int write_synced(const char *path, struct str data, struct err *e) {
    int rc = -1, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return err_sys(e, code_of(errno), errno, "cannot create %s", path);
    if (write_all(fd, path, data, e)) goto out;
    if (fsync(fd)) {
        err_sys(e, code_of(errno), errno, "cannot sync %s", path);
        goto out;
    }
    rc = 0;
out:
    if (close(fd) && !rc) rc = err_sys(e, code_of(errno), errno, "cannot close %s", path);
    return rc;
}

int fs_write_durable(const char *path, struct str data, struct err *e) {
    struct arena a = {0};
    uint8_t random[8];
    char suffix[17] = "";
    int rc = -1;
    crypto_random(random, sizeof random);
    crypto_hex_to(suffix, random, sizeof random);
    const char *temp = arena_printf(&a, "%s.%s.tmp", path, suffix).p;
    const char *dir = arena_cstr(&a, fs_dirname(str_c(path)));
    if (write_synced(temp, data, e)) {
        unlink(temp);
        goto out;
    }
    if (rename(temp, path)) {
        err_sys(e, code_of(errno), errno, "cannot rename %s to %s", temp, path);
        unlink(temp);
        goto out;
    }
    rc = fs_sync_dir(dir, e);
out:
    arena_free(&a);
    return rc;
}

/* ==== directories ==== */

bool fs_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool fs_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int fs_mkdirs(const char *path, struct err *e) {
    struct arena a = {0};
    char *p = arena_cstr(&a, str_c(path));
    int rc = 0;
    for (char *slash = p; !rc && slash;) {
        slash = strchr(slash + 1, '/');
        if (slash) *slash = '\0';
        if (mkdir(p, 0755) && (errno != EEXIST || !fs_is_dir(p)))
            rc = err_sys(e, code_of(errno), errno, "cannot create directory %s", p);
        if (slash) *slash = '/';
    }
    arena_free(&a);
    return rc;
}

static int remove_at(int dir, const char *name, const char *shown, int depth, struct err *e);

static int remove_entries(int fd, const char *shown, int depth, struct err *e) {
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_sys(e, ERR_IO, errno, "cannot list %s", shown);
    }
    int rc = 0;
    for (struct dirent *f; !rc && (f = readdir(d));)
        if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0)
            rc = remove_at(dirfd(d), f->d_name, shown, depth + 1, e);
    closedir(d);
    return rc;
}

/* Does not follow symbolic links. */
static int remove_at(int dir, const char *name, const char *shown, int depth, struct err *e) {
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return err_sys(e, ERR_IO, errno, "cannot remove %s below %s", name, shown);
    if (depth > DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "%s holds more than %d levels of directories", shown, DEPTH_MAX);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_sys(e, ERR_IO, errno, "cannot open %s below %s", name, shown);
    if (remove_entries(fd, shown, depth, e)) return -1;
    if (unlinkat(dir, name, AT_REMOVEDIR)) return err_sys(e, ERR_IO, errno, "cannot remove %s below %s", name, shown);
    return 0;
}

int fs_remove_tree(const char *path, struct err *e) {
    return remove_at(AT_FDCWD, path, path, 0, e);
}

/* ==== listing ==== */

struct listing {
    struct arena *a;
    const char *root;
    struct str suffix;
    struct str *names;
    size_t n, cap;
    bool dirs; /* directories instead of regular files */
    struct err *e;
};

static void add_name(struct listing *l, struct str name) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        struct str *grown = ARENA_ARRAY(l->a, struct str, cap);
        if (l->n) memcpy(grown, l->names, l->n * sizeof *grown);
        l->names = grown;
        l->cap = cap;
    }
    l->names[l->n++] = name;
}

static int list_dir(struct listing *l, struct str below, int depth);

/* type: of struct dirent, which not every file system knows. */
static int list_entry(struct listing *l, struct str name, int type, int depth) {
    struct stat st = {.st_mode = DTTOIF((mode_t)type)};
    const char *path = fs_join(l->a, str_c(l->root), name).p;
    if ((type == DT_UNKNOWN || type == DT_LNK) && stat(path, &st))
        return errno == ENOENT ? 0 : err_sys(l->e, ERR_IO, errno, "cannot look at %s", path);
    if (S_ISDIR(st.st_mode)) {
        if (l->dirs) add_name(l, name);
        return list_dir(l, name, depth + 1);
    }
    if (!l->dirs && S_ISREG(st.st_mode) && str_ends(name, l->suffix)) add_name(l, name);
    return 0;
}

static int list_dir(struct listing *l, struct str below, int depth) {
    const char *path = below.n ? fs_join(l->a, str_c(l->root), below).p : l->root;
    if (depth > DEPTH_MAX) return err_set(l->e, ERR_LIMIT, "%s is nested deeper than %d levels", path, DEPTH_MAX);
    DIR *d = opendir(path);
    if (!d) return errno == ENOENT ? 0 : err_sys(l->e, ERR_IO, errno, "cannot list %s", path);
    int rc = 0;
    for (struct dirent *f; !rc && (f = readdir(d));) {
        if (strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0) continue;
        struct str name = below.n ? fs_join(l->a, below, str_c(f->d_name)) : arena_str(l->a, str_c(f->d_name));
        rc = list_entry(l, name, f->d_type, depth);
    }
    closedir(d);
    return rc;
}

static int by_name(const void *x, const void *y) {
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static int list(struct listing *l, struct str **ret, size_t *ret_n) {
    if (list_dir(l, STR(""), 0)) return -1;
    if (l->n) qsort(l->names, l->n, sizeof *l->names, by_name);
    *ret = l->names;
    *ret_n = l->n;
    return 0;
}

int fs_list(struct arena *a, const char *dir, const char *suffix, struct str **ret, size_t *ret_n, struct err *e) {
    struct listing l = {.a = a, .root = dir, .suffix = str_c(suffix), .e = e};
    return list(&l, ret, ret_n);
}

int fs_list_dirs(struct arena *a, const char *dir, struct str **ret, size_t *ret_n, struct err *e) {
    struct listing l = {.a = a, .root = dir, .dirs = true, .e = e};
    return list(&l, ret, ret_n);
}

/* ==== paths ==== */

struct str fs_join(struct arena *a, struct str dir, struct str name) {
    if (!dir.n || str_starts(name, STR("/"))) return arena_str(a, name);
    if (!name.n) return arena_str(a, dir);
    const char *between = dir.p[dir.n - 1] == '/' ? "" : "/";
    return arena_printf(a, "%.*s%s%.*s", STR_ARG(dir), between, STR_ARG(name));
}

struct str fs_dirname(struct str path) {
    while (path.n > 1 && path.p[path.n - 1] == '/') path.n--;
    while (path.n && path.p[path.n - 1] != '/') path.n--;
    while (path.n > 1 && path.p[path.n - 1] == '/') path.n--;
    return path.n ? path : STR(".");
}
