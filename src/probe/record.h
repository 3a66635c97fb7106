/* record: what jobs did, kept so that it can be done again: the calls they made, with what they were told, and what the
 * items were before. One recorder a worker; one file of all workers.
 *
 *   record.c         calls and jobs -> one JSON document a job
 *   record_before.c  items and objects before a call changes them
 *   record_redact.c  what a document is not to hold goes
 *   record_file.c    documents -> segments on a disk, on a thread of its own
 *
 * Who calls it: host_record.c, which knows what a job is. Threads: a recorder belongs to its loop's; record_file_add
 * may be called from any. Failure: recording fails nobody: what cannot be kept is dropped, and how much is said in the
 * log. */
#ifndef PERIGEE_PROBE_RECORD_H
#define PERIGEE_PROBE_RECORD_H
#include "base/log.h"
#include "probe/probe.h" /* which includes this file at its end */

/* == a worker's recorder ============================================================================================
 */

struct record_table { /* of the template: how its items are named */
    struct str name, hash, range;
};
/* A finished document, one JSON object, taken over. version: of the handlers. */
typedef void record_sink_fn(void *ud, const char *version, struct buf *document);
struct recorder_config {
    struct probe *probe;
    struct aws_backend *look; /* answers GetItem at once: what items were before; NULL: nobody does */
    struct loop *loop;
    const struct record_table *tables;
    size_t n_tables;
    size_t object_max;   /* bytes of one object that are kept; 0: 256 KiB */
    size_t document_max; /* a job that comes to more is dropped; 0: 8 MiB */
    record_sink_fn *sink;
    void *ud;
};
struct recorder;
struct recording; /* of one job */
int recorder_open(const struct recorder_config *c, struct recorder **ret, struct err *e);
/* Jobs that have not ended are forgotten. */
void recorder_close(struct recorder *r);
struct recording *recorder_begin(struct recorder *r, uint64_t job, const char *version);
struct recording *recorder_find(struct recorder *r, uint64_t job); /* NULL: not begun here */
/* Where the caller writes members of the document, each as `"name":value,`. */
struct buf *recording_members(struct recording *x);
uint64_t recording_ns(const struct recording *x); /* since its beginning */
/* {<members>"calls":[...]} goes to the sink. A call that has no answer by now gets none. */
void recorder_end(struct recorder *r, struct recording *x);
uint64_t recorder_dropped(const struct recorder *r); /* too large */

/* "name":"text" or, of bytes that are no text, "name_base64":"..."; of more than max bytes "name_omitted": their
 * number. Without a comma behind it. */
void record_bytes(struct buf *b, const char *name, struct str bytes, size_t max);
/* "name":value, */
void record_text(struct buf *b, const char *name, struct str value);
void record_number(struct buf *b, const char *name, int64_t value);

/* -- record_before.c -- */
/* `"before":[{"TableName","Key","Item"|null},...]` and `"objects":[{"Bucket","Key","exists"},...]`, each with a comma
 * behind it: what the call is going to change, and what it reads without telling all of it. Nothing when there is
 * none. */
void record_before(const struct recorder_config *c, const struct aws_call *call, struct buf *b);

/* == redaction ======================================================================================================
 */

struct record_rules {
    const struct str *headers; /* in any case */
    size_t n_headers;
    /* "email": members of that name, wherever they are, and parameters of a query; "customer.email": those within a
     * member `customer`. Arrays are looked through; of an object everything goes. */
    const struct str *fields;
    size_t n_fields;
    const struct str *secrets; /* values: go wherever they stand */
    size_t n_secrets;
    struct str key; /* of the placeholders: equal values have equal ones; a record_file has its own */
};
/* The headers that are never kept: Authorization, Cookie, ... */
extern const struct str record_headers[];
extern const size_t record_n_headers;
/* In place; new texts are in a. A value that a rule has named in one place goes in all others too, also within longer
 * texts, and within JSON that is text. Placeholders: "redacted-0123456789", of an address
 * "redacted-0123456789@redacted.invalid", of a number one of as many digits. */
void record_redact(const struct record_rules *rules, struct arena *a, struct json *document);

/* == the file =======================================================================================================
 */

struct record_file_config {
    const char *dir;    /* made when missing, for its owner only */
    uint64_t max_bytes; /* of all segments; the oldest go first */
    struct record_rules rules;
    const struct log *log;
};
struct record_file;
int record_file_open(const struct record_file_config *c, struct record_file **ret, struct err *e);
/* Writes what waits. */
void record_file_close(struct record_file *f);
/* Takes the document over. Any thread; waits for nothing but a short lock. */
void record_file_add(struct record_file *f, const char *version, struct buf *document);
/* The sources of a version, a document too: kept as long as a recording of it. */
bool record_file_knows(struct record_file *f, const char *version);
void record_file_version(struct record_file *f, const char *version, struct buf *document);
uint64_t record_file_dropped(const struct record_file *f); /* any thread */

#endif
