/* policy: what a function may do, as IAM-like statements; enforced locally as the cloud would. */
#ifndef PERIGEE_BASE_POLICY_H
#define PERIGEE_BASE_POLICY_H
#include "base/str.h"

struct policy_statement {
    bool deny;
    const struct str *actions; /* "dynamodb:PutItem", "s3:*"; '*' and '?' match as in IAM, actions case-insensitively */
    size_t n_actions;
    const struct str *resources; /* ARNs with '*' and '?' */
    size_t n_resources;
    bool not_actions, not_resources; /* all but these */
};
struct policy {
    const struct policy_statement *statements;
    size_t n;
    bool allow_all; /* no enforcement: scripts, tests */
};
bool policy_names_action(const struct policy_statement *s, struct str action);
bool policy_names_resource(const struct policy_statement *s, struct str arn);
/* IAM's evaluation: an explicit deny wins, else one allow is needed. */
bool policy_allows(const struct policy *p, struct str action, struct str arn);
bool policy_match(struct str pattern, struct str text, bool ignore_case);

#endif
