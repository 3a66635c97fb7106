#include "local/store.h"

/* STS API Reference, GetCallerIdentity: the account's root, whose keys the engine has. */
static int get_caller_identity(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    json_set(a, &c->result, "UserId", json_make_str(tx->id.account));
    json_set(a, &c->result, "Account", json_make_str(tx->id.account));
    json_set(
        a, &c->result, "Arn",
        json_make_str(arena_printf(a, "arn:%.*s:iam::%.*s:root", STR_ARG(tx->id.partition), STR_ARG(tx->id.account))));
    return 0;
}

const struct local_row sts_rows[] = {{AWS_STS_GetCallerIdentity, get_caller_identity}, {0, NULL}};
