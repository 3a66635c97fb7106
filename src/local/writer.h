/* writer (private to local/): the one thread that writes. Takes whatever is queued as one transaction. Of a threadless
 * store it is the loop's thread, at the end of a turn. */
#ifndef PERIGEE_LOCAL_WRITER_H
#define PERIGEE_LOCAL_WRITER_H
#include "local/store.h"

/* Owns db from here on. */
int writer_open(struct local *l, struct db *db, struct writer **ret, struct err *e);
/* Ends the thread after what is queued was done; checkpoints; closes the connection. */
void writer_close(struct writer *w);
/* Any thread; moves the nodes of `ops`. */
void writer_push(struct writer *w, struct list *ops);
/* Any thread: a parked operation was marked cancelled. */
void writer_notice_cancel(struct writer *w);
uint64_t writer_work(struct writer *w); /* db_work of its connection */
/* Any thread: the wall clock was moved; look for what became due. */
void writer_poke(struct writer *w);

/* The writer's own connection, for readers too, when it is in memory; else NULL. */
struct db *writer_shared(struct writer *w, void ***ret_service);

/* Of threadless stores; harmless with others. */
int writer_attach(struct writer *w, struct loop *loop, struct err *e);
void writer_detach(struct writer *w, struct loop *loop);
/* At the end of a turn of its loop: what is queued is committed, and those who wait get a timer. */
void writer_turn_end(struct writer *w);
/* Before anything is looked at: what was to go by now has gone. Not inside an operation. */
void writer_look(struct writer *w);

#endif
