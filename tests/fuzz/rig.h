/* rig: what targets that drive the whole engine share: an engine in memory with a bucket, a queue and a table, and what
 * must hold of every answer. */
#ifndef PERIGEE_FUZZ_RIG_H
#define PERIGEE_FUZZ_RIG_H
#include "base/http.h"
#include "local/local.h"

struct rig {
    struct log log;
    struct loop *loop;
    struct local *local;
    struct local_conn *conn;
    unsigned uses;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n); /* of each target */

/* Aborts: a finding. */
void must(bool good);

/* The process's rig. What inputs leave behind is thrown away with the engine: every few thousand of them, and at once
 * after `spoiled`. Control requests are taken from loopback. */
struct rig *rig_get(bool no_verify, bool spoiled);
/* Runs before the engine closes; for what was opened on its loop. */
void rig_on_close(void (*fn)(void));
/* Carries out a call as the engine's own user; fatal when it fails. */
void rig_call(struct rig *g, enum aws_op op, const char *params);

/* Gives r to the port and waits for its answer; a parked request is cancelled, and then *ret_status is 0. Aborts unless
 * there is exactly one answer, and a well-formed one. The body's first bytes are kept in ret_body (may be NULL). */
void rig_request(struct rig *g, struct http_request *r, int *ret_status, struct buf *ret_body);

/* An answer to a request of this method, as the engine gave it or as it came over the wire; head: "Name: value\n"
 * lines. Errors and documents are XML or JSON that parses, checksums are right. */
void check_answer(struct str method, int status, struct str head, struct str body);
/* Value of a line of head, or STR_NONE. */
struct str head_value(struct str head, const char *name);

/* "METHOD target\nName: value\n...\n\nbody": takes it apart; at most max headers. The request is one from loopback. */
void read_request(struct str text, struct arena *a, struct http_header *headers, size_t max, struct http_request *r);

#endif
