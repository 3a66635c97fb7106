/* The table of SQS operations and the tables in the store. */
#include "local/sqs/sqs.h"

const struct local_row sqs_rows[] = {{AWS_SQS_CreateQueue, sqs_create},
                                     {AWS_SQS_GetQueueUrl, sqs_get_url},
                                     {AWS_SQS_ListQueues, sqs_list},
                                     {AWS_SQS_GetQueueAttributes, sqs_get_attributes},
                                     {AWS_SQS_SetQueueAttributes, sqs_set_attributes},
                                     {AWS_SQS_PurgeQueue, sqs_purge},
                                     {AWS_SQS_SendMessage, sqs_send},
                                     {AWS_SQS_SendMessageBatch, sqs_send_batch},
                                     {AWS_SQS_ReceiveMessage, sqs_receive},
                                     {AWS_SQS_DeleteMessage, sqs_delete},
                                     {AWS_SQS_DeleteMessageBatch, sqs_delete_batch},
                                     {AWS_SQS_ChangeMessageVisibility, sqs_change},
                                     {AWS_SQS_ChangeMessageVisibilityBatch, sqs_change_batch},
                                     {0, NULL}};

/* A message is one row: small bodies stay on the page that the receive rewrites anyway. Times in Unix ms. */
int sqs_schema(struct db *db, struct err *e) {
    return db_exec(
        db,
        "CREATE TABLE IF NOT EXISTS queues(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
        " visibility INTEGER NOT NULL, delay INTEGER NOT NULL, retention INTEGER NOT NULL,"
        " max_size INTEGER NOT NULL, wait INTEGER NOT NULL, redrive TEXT NOT NULL, dlq INTEGER NOT NULL,"
        " max_receives INTEGER NOT NULL, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,"
        " purged_ms INTEGER NOT NULL);"
        "CREATE TABLE IF NOT EXISTS messages(id INTEGER PRIMARY KEY, queue INTEGER NOT NULL,"
        " visible_at INTEGER NOT NULL, sent_at INTEGER NOT NULL, receives INTEGER NOT NULL, first_at INTEGER,"
        " message_id TEXT NOT NULL, body TEXT NOT NULL, body_md5 TEXT NOT NULL, attributes TEXT, trace TEXT,"
        " source TEXT);"
        "CREATE INDEX IF NOT EXISTS messages_visible ON messages(queue, visible_at)",
        e);
}

/* A message lives `retention` from its sending. What became visible longer ago than that was sent even earlier, so the
 * index finds it; what was received meanwhile is dropped when it is next received, or here later. */
int sqs_sweep(struct local_tx *tx, int max, bool *ret_more, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "DELETE FROM messages WHERE id IN (SELECT m.id FROM queues q CROSS JOIN messages m ON m.queue=q.id"
                " AND m.visible_at < ?1 - q.retention*1000 LIMIT ?2)",
                &s, e))
        return -1;
    db_bind_i64(s, 1, tx->now_ms);
    db_bind_i64(s, 2, max);
    if (db_run(s, e)) return -1;
    *ret_more = db_changes(tx->db) >= max;
    return 0;
}
