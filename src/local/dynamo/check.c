/* Parameters that shape.c has seen. */
#include "local/dynamo/shape.h"

struct str clip(struct str s) {
    if (s.n <= 200) return s;
    size_t n = 200;
    while (n > 190 && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    return str_take(s, n);
}

static bool is_on_items(enum aws_op op) {
    switch (op) {
    case AWS_DYNAMODB_PutItem:
    case AWS_DYNAMODB_GetItem:
    case AWS_DYNAMODB_UpdateItem:
    case AWS_DYNAMODB_DeleteItem:
    case AWS_DYNAMODB_Query:
    case AWS_DYNAMODB_Scan:
    case AWS_DYNAMODB_BatchGetItem:
    case AWS_DYNAMODB_BatchWriteItem:
    case AWS_DYNAMODB_TransactWriteItems:
    case AWS_DYNAMODB_TransactGetItems:
        return true;
    default:
        return false;
    }
}

int ddb_params(struct local_tx *tx, struct aws_call *c) {
    struct ddb_state *st = tx->service[AWS_DYNAMODB];
    st->terse = c->params.open && is_on_items(c->op);
    struct str message = STR_NONE;
    if (!shape_check(&c->arena, &c->params, shape_of(c->op), c->row->action, &message, &c->err)) return 0;
    c->result = json_make_obj();
    if (message.p) json_set(&c->arena, &c->result, "message", json_make_str(message));
    return -1;
}

const struct json *param(const struct json *obj, const char *name) {
    const struct json *v = json_get(obj, name);
    return json_is(v, JSON_NULL) ? NULL : v;
}

struct str param_table(const struct json *p) {
    return ddb_arn_name(json_get_s(p, "TableName"));
}

int param_enum(const struct json *p, const char *name, const char *const *set, int dflt) {
    const struct json *v = param(p, name);
    for (int i = 0; v && set[i]; i++)
        if (str_is(v->s, set[i])) return i;
    return dflt;
}

bool param_flag(const struct json *p, const char *name) {
    return json_is(json_get(p, name), JSON_TRUE);
}
