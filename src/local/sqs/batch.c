/* What the batch forms share: checks of the whole, entries one by one, partial failure. */
#include "local/sqs/sqs.h"
#include <string.h>

static int check_ids(const struct json *entries, struct err *e) {
    for (uint32_t i = 0; i < entries->n; i++) {
        struct str id = json_get_s(&entries->items[i], "Id");
        if (id.n > 80 || !sqs_is_word(id))
            return err_set(e, ERR_SQS_BAD_ID,
                           "A batch entry id can only contain alphanumeric characters, hyphens and "
                           "underscores. It can be at most 80 letters long. Entry %u has \"%.*s\".",
                           i, STR_ARG(str_take(id, 100)));
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(id, json_get_s(&entries->items[k], "Id")))
                return err_set(e, ERR_SQS_IDS, "Id %.*s repeated", STR_ARG(id));
    }
    return 0;
}

static int check_batch(const struct json *entries, struct err *e) {
    if (entries && !json_is(entries, JSON_ARR) && !json_is(entries, JSON_NULL))
        return err_set(e, ERR_SQS_PARAMETER, "parameter Entries is %s, not an array", json_type_name(entries->type));
    if (!json_is(entries, JSON_ARR) || !entries->n)
        return err_set(e, ERR_SQS_EMPTY_BATCH, "There should be at least one entry in the request: Entries is empty.");
    if (entries->n > SQS_BATCH)
        return err_set(e, ERR_SQS_TOO_MANY, "Maximum number of entries per request are 10. You have sent %u.",
                       entries->n);
    return check_ids(entries, e);
}

/* The world's failures (the store's) fail the whole; an entry's own are told in its row. */
static bool is_entrys_own(const struct err *e) {
    return err_status(e->code) < 500;
}

static void add_failed(struct arena *a, struct json *failed, struct str id, const struct err *e) {
    struct json row = json_make_obj();
    json_set(a, &row, "Id", json_make_str(id));
    json_set(a, &row, "SenderFault", json_make_bool(true));
    json_set(a, &row, "Code", json_make_c(err_name(e->code)));
    json_set(a, &row, "Message", json_make_str(arena_str(a, str_c(e->msg))));
    json_push(a, failed, row);
}

int sqs_batch(struct local_tx *tx, struct aws_call *c, const struct sqs_queue *q, sqs_entry_fn *fn) {
    const struct json *entries = json_get(&c->params, "Entries");
    struct arena *a = &c->arena;
    struct json good = json_make_arr(), failed = json_make_arr();
    if (check_batch(entries, &c->err)) return -1;
    for (uint32_t i = 0; i < entries->n; i++) {
        struct json row = json_make_obj();
        struct err e = {0};
        struct str id = json_get_s(&entries->items[i], "Id");
        json_set(a, &row, "Id", json_make_str(id));
        if (!fn(tx, c, q, &entries->items[i], &row, &e)) {
            json_push(a, &good, row);
        } else if (is_entrys_own(&e)) {
            add_failed(a, &failed, id, &e);
        } else {
            c->err = e;
            return -1;
        }
    }
    json_set(a, &c->result, "Successful", good);
    if (failed.n) json_set(a, &c->result, "Failed", failed);
    return 0;
}

int sqs_single(struct local_tx *tx, struct aws_call *c, sqs_entry_fn *fn) {
    struct sqs_queue q;
    if (sqs_find(tx, c, &q, &c->err)) return -1;
    return fn(tx, c, &q, &c->params, &c->result, &c->err);
}
