/* Parameters that shape.c has seen. */
#include "local/dynamo/shape.h"
#include <string.h>

struct str clip(struct str s) {
    if (s.n <= 200) return s;
    size_t n = 200;
    while (n > 190 && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    return str_take(s, n);
}

/* Those, and no others, consume capacity. */
static bool is_on_items(const struct shape *s) {
    const struct shape_member *m = s->members;
    while (m->name && strcmp(m->name, "ReturnConsumedCapacity") != 0) m++;
    return m->name;
}

int ddb_params(struct local_tx *tx, struct aws_call *c) {
    struct ddb_state *st = tx->service[AWS_DYNAMODB];
    const struct shape *s = shape_of(c->op);
    st->terse = c->params.open && is_on_items(s);
    struct str message = STR_NONE;
    if (!shape_check(&c->arena, &c->params, s, c->row->action, &message, &c->err)) return 0;
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
