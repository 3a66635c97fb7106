/* fs: whole files and directories. Paths are C strings. */
#ifndef PERIGEE_BASE_FS_H
#define PERIGEE_BASE_FS_H
#include "base/arena.h"
#include "base/buf.h"

int fs_read(const char *path, struct buf *b, struct err *e); /* capped by b->max */
/* temp file in the same directory + fsync + rename + fsync of the directory: after 0 the content survives a power cut.
 */
int fs_write_durable(const char *path, struct str data, struct err *e);
int fs_sync_dir(const char *path, struct err *e); /* after it, names made or removed in it survive a power cut */
int fs_mkdirs(const char *path, struct err *e);
int fs_remove_tree(const char *path, struct err *e);
bool fs_is_dir(const char *path);
bool fs_is_file(const char *path);
/* Names of regular files below dir (relative, '/'-separated, sorted) that end in suffix. A missing dir is empty. */
int fs_list(struct arena *a, const char *dir, const char *suffix, struct str **ret, size_t *ret_n, struct err *e);
/* Names of the directories below dir, likewise. */
int fs_list_dirs(struct arena *a, const char *dir, struct str **ret, size_t *ret_n, struct err *e);
struct str fs_join(struct arena *a, struct str dir, struct str name); /* absolute name wins */
struct str fs_dirname(struct str path);

#endif
