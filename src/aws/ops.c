/* The table of operations: names to rows and back. */
#include "aws/aws.h"
#include "base/buf.h"

static const struct aws_op_row rows[AWS_OPS] = {
#define AWS_OP(svc, act, bits) {AWS_##svc, #act, bits},
#include "aws/ops.def"
#undef AWS_OP
};

static const struct aws_service_row services[AWS_SERVICES] = {
#define AWS_SERVICE(id, name, protocol, prefix, signing, endpoint_id, target)                                          \
    {name, AWS_##protocol, prefix, signing, endpoint_id, target},
#include "aws/services.def"
#undef AWS_SERVICE
};

const struct aws_op_row *aws_op_row(enum aws_op op) {
    if ((unsigned)op >= AWS_OPS) fatal("aws: no operation %d", (int)op);
    return &rows[op];
}

bool aws_op_has_items(enum aws_op op) {
    switch (op) {
    case AWS_DYNAMODB_PutItem:
    case AWS_DYNAMODB_GetItem:
    case AWS_DYNAMODB_UpdateItem:
    case AWS_DYNAMODB_DeleteItem:
    case AWS_DYNAMODB_Query:
    case AWS_DYNAMODB_Scan:
    case AWS_DYNAMODB_BatchGetItem:
    case AWS_DYNAMODB_BatchWriteItem:
    case AWS_DYNAMODB_TransactGetItems:
    case AWS_DYNAMODB_TransactWriteItems:
        return true;
    default:
        return false;
    }
}

const struct aws_service_row *aws_service_row(enum aws_service s) {
    if ((unsigned)s >= AWS_SERVICES) fatal("aws: no service %d", (int)s);
    return &services[s];
}

const char *aws_service_name(enum aws_service s) {
    return aws_service_row(s)->name;
}

int aws_service_find(struct str name, enum aws_service *ret, struct err *e) {
    struct buf known = BUF_MAX(400);
    for (int i = 0; i < AWS_SERVICES; i++) {
        if (str_is(name, services[i].name)) {
            *ret = i;
            buf_free(&known);
            return 0;
        }
        buf_printf(&known, "%s%s", known.n ? ", " : "", services[i].name);
    }
    err_set(e, ERR_VALIDATION, "there is no service \"%.*s\" here; there are %s", STR_ARG(str_take(name, 64)),
            buf_cstr(&known));
    buf_free(&known);
    return -1;
}

static void list_ops(enum aws_service service, struct buf *out) {
    for (int i = 0; i < AWS_OPS; i++)
        if (rows[i].service == service) buf_printf(out, "%s%s", out->n ? ", " : "", rows[i].action);
}

int aws_op_find(enum aws_service service, struct str action, enum aws_op *ret, struct err *e) {
    struct buf known = BUF_MAX(900);
    for (int i = 0; i < AWS_OPS; i++) {
        if (rows[i].service != service || !str_is(action, rows[i].action)) continue;
        *ret = i;
        return 0;
    }
    list_ops(service, &known);
    err_set(e, ERR_UNKNOWN_OPERATION, "%s has no operation \"%.*s\" here; it has %s", services[service].name,
            STR_ARG(str_take(action, 64)), buf_cstr(&known));
    buf_free(&known);
    return -1;
}
