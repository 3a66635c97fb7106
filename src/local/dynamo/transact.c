/* TransactWriteItems, TransactGetItems. Everything is checked and every condition tested before anything is written. */
#include "local/dynamo/dynamo.h"

enum { TRANSACTION_BYTES = 4 << 20 };

/* ==== cancellation ==== */

struct reason {
    const char *code; /* NULL: None */
    struct str message;
    const struct av *item;
};

/* Notes what went wrong with one action; -1 when it is no matter of that action (disk, ...). */
static int note(struct arena *a, const struct err *e, const struct av *item, struct reason *ret) {
    if (e->code != ERR_DDB_CONDITION && e->code != ERR_VALIDATION) return -1;
    bool condition = e->code == ERR_DDB_CONDITION;
    *ret = (struct reason){condition ? "ConditionalCheckFailed" : "ValidationError", arena_str(a, str_c(e->msg)),
                           condition ? item : NULL};
    return 0;
}

static struct json reason_json(struct arena *a, const struct reason *r) {
    struct json o = json_make_obj();
    json_set(a, &o, "Code", json_make_c(r->code ? r->code : "None"));
    if (r->code) json_set(a, &o, "Message", json_make_str(r->message));
    if (r->item) json_set(a, &o, "Item", av_item_to_json(a, r->item));
    return o;
}

static bool any_failed(const struct reason *reasons, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (reasons[i].code) return true;
    return false;
}

/* 0 when no action failed. */
static int cancel(struct aws_call *c, const struct reason *reasons, uint32_t n) {
    struct json list = json_make_arr();
    struct buf codes = BUF_MAX(900);
    if (!any_failed(reasons, n)) return 0;
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&codes, "%s%s", i ? ", " : "", reasons[i].code ? reasons[i].code : "None");
        json_push(&c->arena, &list, reason_json(&c->arena, &reasons[i]));
    }
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "CancellationReasons", list);
    err_set(&c->err, ERR_DDB_CANCELLED,
            "Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", buf_cstr(&codes));
    buf_free(&codes);
    return -1;
}

static bool same_item(const struct ddb_table *t, const struct ddb_key *k, const struct ddb_table *u,
                      const struct ddb_key *l) {
    return t == u && str_eq(k->pk, l->pk) && str_eq(k->sk, l->sk);
}

static int twice(struct err *e) {
    return err_set(e, ERR_VALIDATION, "Transaction request cannot include multiple operations on one item");
}

static int too_large(struct err *e) {
    return err_set(e, ERR_VALIDATION, "The items of the transaction are larger than 4 MB together");
}

/* ==== TransactWriteItems ==== */

static const struct action {
    const char *name;
    enum write_kind kind;
} actions[] = {{"Put", W_PUT}, {"Update", W_UPDATE}, {"Delete", W_DELETE}, {"ConditionCheck", W_CHECK}};

static int parse_action(struct arena *a, const struct json *j, struct ddb_write *w, struct err *e) {
    const struct action *found = NULL;
    int n = 0;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (!param(j, actions[i].name)) continue;
        found = &actions[i];
        n++;
    }
    if (n != 1)
        return err_set(e, ERR_VALIDATION,
                       "TransactItems can only contain one of ConditionCheck, Put, Update or Delete");
    return write_parse(a, param(j, found->name), found->kind, w, e);
}

/* The tables, and the keys as far as they are good. */
static int bind_actions(struct local_tx *tx, struct aws_call *c, struct ddb_write *w, struct reason *reasons,
                        uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        struct err e = {0};
        if ((i ? ddb_table_more : ddb_table)(tx, w[i].table_name, &w[i].table, &c->err)) return -1;
        if (write_bind(&c->arena, &w[i], &e)) {
            if (!note(&c->arena, &e, NULL, &reasons[i])) continue;
            c->err = e;
            return -1;
        }
        for (uint32_t k = 0; k < i; k++)
            if (!reasons[k].code && same_item(w[k].table, &w[k].key, w[i].table, &w[i].key)) return twice(&c->err);
    }
    return 0;
}

static int prepare_actions(struct local_tx *tx, struct aws_call *c, struct ddb_write *w, struct reason *reasons,
                           uint32_t n) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct err e = {0};
        if (reasons[i].code) continue;
        if (write_prepare(tx, &c->arena, &w[i], &e) &&
            note(&c->arena, &e, w[i].old_on_failure ? w[i].old : NULL, &reasons[i])) {
            c->err = e;
            return -1;
        }
        bytes += w[i].size;
    }
    return bytes > TRANSACTION_BYTES ? too_large(&c->err) : cancel(c, reasons, n);
}

int ddb_transact_write(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    struct ddb_token token;
    struct usage used;
    c->result = json_make_obj();
    if (ddb_params(tx, c)) return -1;
    usage_open(a, &c->params, &used);
    bool sized = metrics_wanted(&c->params);
    const struct json *items = param(&c->params, "TransactItems");
    used.transaction = used.writes = true;
    if (token_check(tx, a, &c->params, &token, e)) return -1;
    if (token.replay) return 0;
    struct ddb_write *w = ARENA_ARRAY(a, struct ddb_write, items->n);
    struct reason *reasons = ARENA_ARRAY(a, struct reason, items->n);
    for (uint32_t i = 0; i < items->n; i++)
        if (parse_action(a, &items->items[i], &w[i], e)) return -1;
    for (uint32_t i = 0; i < items->n; i++) w[i].want_old = used.wanted;
    if (bind_actions(tx, c, w, reasons, items->n) || prepare_actions(tx, c, w, reasons, items->n)) return -1;
    for (uint32_t i = 0; i < items->n; i++) {
        if (write_apply(tx, a, &w[i], e)) return -1;
        usage_write(&used, &w[i]);
    }
    usage_report(&used, true, &c->result);
    if (sized && metrics_of_all(tx, a, w, items->n, &c->result, e)) return -1;
    return token_keep(tx, &token, e);
}

/* ==== TransactGetItems ==== */

static int bind_gets(struct local_tx *tx, struct aws_call *c, struct ddb_get *g, uint32_t n) {
    struct reason *reasons = ARENA_ARRAY(&c->arena, struct reason, n);
    for (uint32_t i = 0; i < n; i++) {
        struct err e = {0};
        if ((i ? ddb_table_more : ddb_table)(tx, g[i].table_name, &g[i].table, &c->err)) return -1;
        if (key_of_key(&c->arena, g[i].table, &g[i].given, &g[i].key, &e)) {
            note(&c->arena, &e, NULL, &reasons[i]);
            continue;
        }
        for (uint32_t k = 0; k < i; k++)
            if (!reasons[k].code && same_item(g[k].table, &g[k].key, g[i].table, &g[i].key)) return twice(&c->err);
    }
    return cancel(c, reasons, n);
}

int ddb_transact_get(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    struct json responses = json_make_arr();
    size_t bytes = 0;
    struct usage used;
    if (ddb_params(tx, c)) return -1;
    usage_open(a, &c->params, &used);
    const struct json *items = param(&c->params, "TransactItems");
    used.transaction = true;
    struct ddb_get *g = ARENA_ARRAY(a, struct ddb_get, items->n);
    for (uint32_t i = 0; i < items->n; i++)
        if (get_parse(a, param(&items->items[i], "Get"), &g[i], e)) return -1;
    if (bind_gets(tx, c, g, items->n)) return -1;
    for (uint32_t i = 0; i < items->n; i++) {
        struct json one = json_make_obj();
        struct av *item;
        size_t size;
        if (get_one(tx, a, &g[i], &item, &size, e)) return -1;
        if ((bytes += size) > TRANSACTION_BYTES) return too_large(e);
        usage_read(&used, g[i].table, NULL, size, true);
        if (item) json_set(a, &one, "Item", av_item_to_json(a, item));
        json_push(a, &responses, one);
    }
    c->result = json_make_obj();
    json_set(a, &c->result, "Responses", responses);
    usage_report(&used, true, &c->result);
    return 0;
}
