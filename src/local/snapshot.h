/* snapshot (private to local/): a store as it was, under a name.
 *
 *   <dir>/snapshots/<name>/store.db     all tables, by SQLite's backup: without a write-ahead log
 *                         /s3/<id>      hard links to the object files that its rows name
 *                         /about.json   {"created_ms", "offset_ms", "frozen_ms"}
 *
 * Taken and deleted under ".<name>", renamed in between: what begins with a dot is removed at the next opening.
 * Restored in this order, so that a crash leaves the old state or the new: links to the files that are missing; all
 * tables, as one transaction; then the files go that only the old state had. Strays of either kind go at the next
 * opening.
 *
 * snapshot.c: names, directories, tables   snapshot_files.c: object files */
#ifndef PERIGEE_LOCAL_SNAPSHOT_H
#define PERIGEE_LOCAL_SNAPSHOT_H
#include "base/map.h"
#include "local/store.h"

/* At opening: removes what was not finished. */
int snapshot_prepare(struct local *l, struct err *e);
void snapshot_close(struct local *l);

/* -- snapshot_files.c: the files that rows name, id -> bucket, in `a` ------------------------------------------------
 */
struct snapshot_ids {
    struct arena a;
    struct map ids;
};
int snapshot_ids(struct db *db, struct snapshot_ids *ret, struct err *e);
void snapshot_ids_free(struct snapshot_ids *x);
/* Hard links, or copies where there are none, into dir/<id>. */
int snapshot_files_keep(struct local *l, const struct snapshot_ids *ids, const char *dir, struct err *e);
/* Back from dir: what `then` has and `now` has not. Durable; on failure some may be there. */
int snapshot_files_bring(struct local *l, const struct snapshot_ids *now, const struct snapshot_ids *then,
                         const char *dir, struct err *e);
/* Removes the files that `now` has and `then` has not. */
void snapshot_files_drop(struct local *l, const struct snapshot_ids *now, const struct snapshot_ids *then);

#endif
