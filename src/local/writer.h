/* writer (private to local/): the one thread that writes. Takes whatever is queued as one transaction. */
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

#endif
