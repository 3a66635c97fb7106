/* What a clean end leaves for the next opening: the times of the object files' directories, in the file s3.clean. As
 * long as they are the same, no file was made or removed since, and none needs to be looked at. */
#include "base/fs.h"
#include "local/s3/s3.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MAX = 64 << 20 };

static const char *list_path(const struct local *l, struct arena *a) {
    return arena_printf(a, "%s/s3.clean", l->dir).p;
}

/* "": there is none. */
static const char *time_of(struct arena *a, const char *path) {
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) return "";
    return arena_printf(a, "%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec).p;
}

/* A line: time, space, path below s3 (empty: s3 itself). */
static bool still_true(const struct local *l, struct str line) {
    struct arena a = {0};
    struct str then = str_cut(&line, ' ');
    bool same = then.n && str_is(then, time_of(&a, arena_printf(&a, "%s/s3/%.*s", l->dir, STR_ARG(line)).p));
    arena_free(&a);
    return same;
}

bool s3_is_clean(const struct local *l) {
    struct arena a = {0};
    struct buf text = BUF_MAX(LIST_MAX);
    struct err e = {0};
    bool same = !fs_read(list_path(l, &a), &text, &e) && text.n;
    for (struct str rest = buf_view(&text); same && rest.n;) same = still_true(l, str_cut(&rest, '\n'));
    unlink(list_path(l, &a)); /* should this process die between a commit and the removal of a file: no time tells */
    buf_free(&text);
    arena_free(&a);
    return same;
}

static int is_name(const struct dirent *d) {
    return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

static void add_line(struct arena *a, struct buf *b, const struct local *l, const char *path) {
    buf_printf(b, "%s %s\n", time_of(a, arena_printf(a, "%s/s3/%s", l->dir, path).p), path);
}

/* The buckets' directories, and theirs, which hold files only. */
static void list_all(struct arena *a, struct buf *b, const struct local *l) {
    add_line(a, b, l, "");
    const char *root = arena_printf(a, "%s/s3", l->dir).p;
    struct dirent **homes = NULL, **shards = NULL;
    int n = scandir(root, &homes, is_name, alphasort);
    for (int i = 0; i < n; i++) {
        const char *home = homes[i]->d_name;
        add_line(a, b, l, home);
        int k = scandir(arena_printf(a, "%s/%s", root, home).p, &shards, is_name, alphasort);
        for (int j = 0; j < k; j++) {
            add_line(a, b, l, arena_printf(a, "%s/%s", home, shards[j]->d_name).p);
            free(shards[j]);
        }
        if (k >= 0) free(shards);
        free(homes[i]);
    }
    if (n >= 0) free(homes);
}

/* After a restore, files may be left for the next opening to remove. */
void s3_keep_clean(const struct local *l) {
    struct arena a = {0};
    struct buf now = BUF_MAX(LIST_MAX), then = BUF_MAX(LIST_MAX);
    struct err e = {0};
    if (l->in_memory) return;
    const char *path = list_path(l, &a);
    list_all(&a, &now, l);
    if (l->era || now.over)
        unlink(path);
    else if (fs_read(path, &then, &e) || !str_eq(buf_view(&then), buf_view(&now)))
        fs_write_durable(path, buf_view(&now), &e);
    buf_free(&now);
    buf_free(&then);
    arena_free(&a);
}
