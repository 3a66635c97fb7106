/* access (private to aws/): what a call needs permission for. */
#ifndef PERIGEE_AWS_ACCESS_H
#define PERIGEE_AWS_ACCESS_H
#include "aws/aws.h"

struct access {
    struct str action; /* IAM's: "dynamodb:PutItem", "s3:ListBucket" */
    struct str arn;    /* "*" where IAM has no resource for the action */
    struct str or_arn; /* being allowed on this one is as good (the domain of a mail address); may be empty */
};
/* A parameter that is missing yields no row: the backend cannot act without it and says so itself. */
void access_list(const struct aws_identity *id, struct arena *a, const struct aws_call *c, struct access **ret,
                 size_t *ret_n);
/* S3 does not tell who may not list a bucket that an object is missing (API reference, GetObject, "Permissions"): the
 * ARN of the bucket that c looked for an object in, or empty. */
struct str access_listing(const struct aws_identity *id, const struct aws_call *c, struct arena *a);
/* An operation without a row (AWS_OTHER): which resources it touches is not known here. -1 and the IAM action in *ret
 * when no statement allows that action on any resource, or one denies it on all. */
int access_other(const struct policy *p, struct arena *a, const struct aws_call *c, struct str *ret);

#endif
