/* The table of SQS operations, the tables in the store, housekeeping. */
#include "local/sqs/sqs.h"

const struct local_row sqs_rows[] = {{AWS_SQS_CreateQueue, sqs_create},
                                     {AWS_SQS_DeleteQueue, sqs_delete_queue},
                                     {AWS_SQS_GetQueueUrl, sqs_get_url},
                                     {AWS_SQS_ListQueues, sqs_list},
                                     {AWS_SQS_ListDeadLetterSourceQueues, sqs_list_sources},
                                     {AWS_SQS_GetQueueAttributes, sqs_get_attributes},
                                     {AWS_SQS_SetQueueAttributes, sqs_set_attributes},
                                     {AWS_SQS_PurgeQueue, sqs_purge},
                                     {AWS_SQS_TagQueue, sqs_tag},
                                     {AWS_SQS_UntagQueue, sqs_untag},
                                     {AWS_SQS_ListQueueTags, sqs_list_tags},
                                     {AWS_SQS_AddPermission, sqs_add_permission},
                                     {AWS_SQS_RemovePermission, sqs_remove_permission},
                                     {AWS_SQS_SendMessage, sqs_send},
                                     {AWS_SQS_SendMessageBatch, sqs_send_batch},
                                     {AWS_SQS_ReceiveMessage, sqs_receive},
                                     {AWS_SQS_DeleteMessage, sqs_delete},
                                     {AWS_SQS_DeleteMessageBatch, sqs_delete_batch},
                                     {AWS_SQS_ChangeMessageVisibility, sqs_change},
                                     {AWS_SQS_ChangeMessageVisibilityBatch, sqs_change_batch},
                                     {AWS_SQS_StartMessageMoveTask, sqs_move_start},
                                     {AWS_SQS_ListMessageMoveTasks, sqs_move_list},
                                     {AWS_SQS_CancelMessageMoveTask, sqs_move_cancel},
                                     {0, NULL}};

/* == tables =========================================================================================================
 */

/* A message is one row: small bodies stay on the page that the receive rewrites anyway. Times in Unix ms. */
static const char tables[] =
    "CREATE TABLE IF NOT EXISTS queues(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " visibility INTEGER NOT NULL, delay INTEGER NOT NULL, retention INTEGER NOT NULL,"
    " max_size INTEGER NOT NULL, wait INTEGER NOT NULL, redrive TEXT NOT NULL, dlq INTEGER NOT NULL,"
    " max_receives INTEGER NOT NULL, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,"
    " purged_ms INTEGER NOT NULL, fifo INTEGER NOT NULL DEFAULT 0, extra TEXT NOT NULL DEFAULT '{}',"
    " tags TEXT NOT NULL DEFAULT '{}', sequence INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0,"
    " purge_to INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS messages(id INTEGER PRIMARY KEY, queue INTEGER NOT NULL,"
    " visible_at INTEGER NOT NULL, sent_at INTEGER NOT NULL, receives INTEGER NOT NULL, first_at INTEGER,"
    " message_id TEXT NOT NULL, body TEXT NOT NULL, body_md5 TEXT NOT NULL, attributes TEXT, trace TEXT,"
    " source TEXT, grp TEXT, dedup TEXT, seq INTEGER);";

/* What stores of earlier builds do not have. */
static const struct db_column columns[] = {
    {"queues", "fifo", "INTEGER NOT NULL DEFAULT 0"},
    {"queues", "extra", "TEXT NOT NULL DEFAULT '{}'"},
    {"queues", "tags", "TEXT NOT NULL DEFAULT '{}'"},
    {"queues", "sequence", "INTEGER NOT NULL DEFAULT 0"},
    {"queues", "gone", "INTEGER NOT NULL DEFAULT 0"},
    {"queues", "purge_to", "INTEGER NOT NULL DEFAULT 0"}, /* messages up to this id are to go */
    {"messages", "grp", "TEXT"},
    {"messages", "dedup", "TEXT"},
    {"messages", "seq", "INTEGER"}};

/* seq: of messages in FIFO queues only. The indexes hold all that finding and counting ask for. */
static const char indexes[] =
    "DROP INDEX IF EXISTS messages_visible;"
    "CREATE INDEX IF NOT EXISTS messages_ready ON messages(queue, visible_at, receives);"
    "CREATE INDEX IF NOT EXISTS messages_in_group ON messages(queue, grp, seq, visible_at) WHERE seq IS NOT NULL;"
    "CREATE INDEX IF NOT EXISTS messages_group ON messages(queue, grp, visible_at, receives) WHERE seq IS NOT NULL;"
    "CREATE TABLE IF NOT EXISTS sqs_groups(queue INTEGER NOT NULL, grp TEXT NOT NULL, ready_at INTEGER NOT NULL,"
    " PRIMARY KEY(queue, grp)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS sqs_groups_ready ON sqs_groups(queue, ready_at);"
    "CREATE TABLE IF NOT EXISTS sqs_dedup(queue INTEGER NOT NULL, grp TEXT NOT NULL, dedup TEXT NOT NULL,"
    " message_id TEXT NOT NULL, seq INTEGER NOT NULL, until_ms INTEGER NOT NULL, UNIQUE(queue, grp, dedup));"
    "CREATE INDEX IF NOT EXISTS sqs_dedup_until ON sqs_dedup(until_ms);"
    "CREATE TABLE IF NOT EXISTS sqs_attempts(queue INTEGER NOT NULL, attempt TEXT NOT NULL, messages TEXT NOT NULL,"
    " until_ms INTEGER NOT NULL, UNIQUE(queue, attempt));"
    "CREATE INDEX IF NOT EXISTS sqs_attempts_until ON sqs_attempts(until_ms);"
    "CREATE TABLE IF NOT EXISTS sqs_moves(id INTEGER PRIMARY KEY, task TEXT NOT NULL UNIQUE, source INTEGER NOT NULL,"
    " source_arn TEXT NOT NULL, destination TEXT NOT NULL, rate INTEGER NOT NULL, moved INTEGER NOT NULL,"
    " to_move INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, started_ms INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS sqs_moves_source ON sqs_moves(source, id);"
    "CREATE INDEX IF NOT EXISTS sqs_moves_running ON sqs_moves(id) WHERE status='RUNNING'";

int sqs_schema(struct db *db, struct err *e) {
    if (db_exec(db, tables, e)) return -1;
    if (db_add_columns(db, columns, sizeof columns / sizeof *columns, e)) return -1;
    return db_exec(db, indexes, e);
}

/* == housekeeping ===================================================================================================
 */

/* Runs a statement that deletes at most ?2 rows by the time ?1. */
static int delete_some(struct local_tx *tx, const char *sql, int max, bool *ret_more, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, tx->now_ms);
    db_bind_i64(s, 2, max);
    if (db_run(s, e)) return -1;
    *ret_more |= db_changes(tx->db) >= max;
    return 0;
}

/* A message lives `retention` from its sending. What became visible longer ago than that was sent even earlier, so the
 * index finds it; what was received meanwhile is dropped when it is next received, or here later. */
static const char expired[] = "DELETE FROM messages WHERE id IN (SELECT m.id FROM queues q CROSS JOIN messages m ON "
                              "m.queue=q.id AND m.visible_at < ?1 - q.retention*1000 LIMIT ?2)";
static const char orphans[] =
    "DELETE FROM messages WHERE ?1 AND id IN (SELECT m.id FROM queues q CROSS JOIN messages m "
    "ON m.queue=q.id WHERE q.gone=1 LIMIT ?2)";
static const char purged[] = "DELETE FROM messages WHERE ?1 AND id IN (SELECT m.id FROM queues q CROSS JOIN messages m "
                             "ON m.queue=q.id WHERE q.purge_to>0 AND m.id<=q.purge_to LIMIT ?2)";
static const char purge_ended[] =
    "UPDATE queues SET purge_to=0 WHERE ?1 AND ?2 AND purge_to>0 AND NOT EXISTS (SELECT 1 "
    "FROM messages m WHERE m.queue=queues.id AND m.id<=queues.purge_to)";
static const char groups[] = "DELETE FROM sqs_groups WHERE (queue, grp) IN (SELECT g.queue, g.grp FROM queues q CROSS "
                             "JOIN sqs_groups g ON g.queue=q.id WHERE ?1 AND q.gone=1 LIMIT ?2)";
static const char forgotten[] =
    "DELETE FROM sqs_dedup WHERE rowid IN (SELECT rowid FROM sqs_dedup WHERE until_ms<=?1 LIMIT ?2)";
static const char tried[] =
    "DELETE FROM sqs_attempts WHERE rowid IN (SELECT rowid FROM sqs_attempts WHERE until_ms<=?1 LIMIT ?2)";
static const char gone[] = "DELETE FROM queues WHERE ?1 AND ?2 AND gone=1 AND NOT EXISTS (SELECT 1 FROM messages WHERE "
                           "queue=queues.id) AND id<(SELECT max(id) FROM queues)";

int sqs_sweep(struct local_tx *tx, int max, bool *ret_more, struct err *e) {
    *ret_more = false;
    if (delete_some(tx, expired, max, ret_more, e) || delete_some(tx, orphans, max, ret_more, e)) return -1;
    if (delete_some(tx, groups, max, ret_more, e) || delete_some(tx, purged, max, ret_more, e)) return -1;
    if (delete_some(tx, purge_ended, max, ret_more, e) || delete_some(tx, tried, max, ret_more, e)) return -1;
    if (delete_some(tx, forgotten, max, ret_more, e) || delete_some(tx, gone, max, ret_more, e)) return -1;
    return sqs_move_step(tx, max, ret_more, e);
}
