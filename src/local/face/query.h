/* query (private to face/): what the files of the Query protocol share. Parameters arrive as flat names with dots
 * ("Destination.ToAddresses.member.1"), answers leave as XML. */
#ifndef PERIGEE_LOCAL_FACE_QUERY_H
#define PERIGEE_LOCAL_FACE_QUERY_H
#include "local/face/face.h"

/* The request's parameters as nested objects, in a: "A.B.1" becomes {"A":{"B":{"1":..}}}; those of the protocol itself
 * (Action, Version, signatures) are left out. Errors: ERR_SERIALIZATION. */
int query_tree(const struct face *f, struct arena *a, struct json *ret, struct err *e);
/* {"2": x, "10": y} -> [x, y]; {"member": {..}} likewise. Errors name `what`. */
int query_list(struct arena *a, const struct json *v, const char *what, struct json *ret, struct err *e);

/* Whether it has an action of that name. */
bool query_sqs_knows(struct str action);
bool query_ses_knows(struct str action);

/* SQS's flat lists to what its JSON protocol has. */
int query_sqs_params(struct arena *a, struct str action, const struct json *tree, struct json *ret, struct err *e);
void query_sqs_result(struct buf *b, struct str action, const struct json *result);

/* SES version 1 by way of version 2: the operation that does it, with its parameters. */
struct aws_call *query_ses_call(const struct face *f, const struct json *tree, struct err *e);
/* <tree> is what query_ses_call got. May turn a failure into a success and back. */
void query_ses_result(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c);

#endif
