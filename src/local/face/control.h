/* control (private to local/): /_perigee/cloud/ on the cloud port, for tests: the clock, mail that was sent, injected
 * faults, a fresh start. Off unless asked for. JSON in and out; docs/cloud.md is its manual. */
#ifndef PERIGEE_LOCAL_FACE_CONTROL_H
#define PERIGEE_LOCAL_FACE_CONTROL_H
#include "local/face/face.h"

/* true when the path is the control's: then it is answered, or refused. */
bool face_control(struct face *f);

/* Faults that a test asked for, shared by all connections of a store; see also store.h. Any thread. */
/* Replaces all rules. doc: {"faults": [{match, rate, times, error, message, status}], "seed": n}. */
int faults_set(struct faults *x, const struct json *doc, struct err *e);
void faults_get(struct faults *x, struct arena *a, struct json *ret);

#endif
