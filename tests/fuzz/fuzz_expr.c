/* DynamoDB's expressions. A line each: the expression, after a byte that says what it is (c condition, k key
 * condition, u update, p projection); names "#n name"; values ":v {JSON of a value}"; attributes of an item "a {JSON}".
 *
 * What parses is written anew with other names and must come back as the same tree that says the same of the item. Key
 * conditions select an item by its key bytes exactly when they hold for it. Updates leave the old item and what they
 * do not name alone. Projections are a part of the item. Errors are sentences in UTF-8. */
#include "local/dynamo/dynamo.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    struct arena *a;
    char kind;
    struct str text;
    struct json params; /* ExpressionAttributeNames, ExpressionAttributeValues */
    struct av item;
};

static void must(bool good) {
    if (!good) abort();
}

static void check_err(const struct err *e) {
    must(e->code == ERR_VALIDATION || e->code == ERR_SERIALIZATION);
    must(e->msg[0] && str_bad_utf8(str_c(e->msg)) < 0);
}

/* ==== input ==== */

static bool add_member(struct input *in, const char *map, struct str key, struct json v) {
    const struct json *there = json_get(&in->params, map);
    struct json *m = there ? (struct json *)there : json_set(in->a, &in->params, map, json_make_obj());
    if (json_get_str(m, key)) return false;
    json_set_str(in->a, m, key, v);
    return true;
}

static bool read_line(struct input *in, struct str line) {
    struct str rest = line, key = str_cut(&rest, ' ');
    struct json v;
    if (!rest.p) return false;
    if (key.n && key.p[0] == '#') return add_member(in, "ExpressionAttributeNames", key, json_make_str(rest));
    if (!key.n || json_parse(in->a, rest, NULL, &v, NULL)) return false;
    if (key.p[0] == ':') return add_member(in, "ExpressionAttributeValues", key, v);
    struct av attribute;
    if (av_from_json(in->a, &v, 0, &attribute, NULL)) return false;
    av_put(in->a, &in->item, key, attribute);
    return true;
}

/* Texts reach the engine in JSON, whose reader refuses what is no UTF-8. */
static bool read_input(struct arena *a, struct str all, struct input *in) {
    *in = (struct input){.a = a, .params = json_make_obj(), .item = {.type = AV_M}};
    if (!all.n || str_bad_utf8(all) >= 0) return false;
    in->kind = all.p[0];
    struct str rest = str_from(all, 1);
    in->text = str_cut(&rest, '\n');
    while (rest.p) {
        struct str line = str_cut(&rest, '\n');
        if (line.n && !read_line(in, line)) return false;
    }
    return true;
}

static bool same_json(struct json x, struct json y) {
    return json_equal(&x, &y);
}

static bool same_value(struct arena *a, const struct av *x, const struct av *y) {
    return same_json(av_to_json(a, x), av_to_json(a, y));
}

static bool same_item(struct arena *a, const struct av *x, const struct av *y) {
    return same_json(av_item_to_json(a, x), av_item_to_json(a, y));
}

/* ==== written anew ==== */

struct writer {
    struct arena *a;
    struct buf b;
    struct json params;
    int n;
};

static void put_new(struct writer *w, const char *map, char mark, struct json v) {
    const struct json *there = json_get(&w->params, map);
    struct json *m = there ? (struct json *)there : json_set(w->a, &w->params, map, json_make_obj());
    struct str key = arena_printf(w->a, "%cx%d", mark, w->n++);
    json_set_str(w->a, m, key, v);
    buf_str(&w->b, key);
}

static void write_path(struct writer *w, const struct path *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        const struct path_step *s = &p->steps[i];
        if (s->is_index) {
            buf_printf(&w->b, "[%u]", s->index);
            continue;
        }
        if (i) buf_c(&w->b, " . ");
        put_new(w, "ExpressionAttributeNames", '#', json_make_str(s->name));
    }
}

static void write_expr(struct writer *w, const struct expr *x);

static void write_args(struct writer *w, const struct expr *x, uint32_t from, const char *between) {
    for (uint32_t i = from; i < x->n; i++) {
        if (i > from) buf_printf(&w->b, " %s ", between);
        write_expr(w, x->args[i]);
    }
}

static void write_node(struct writer *w, const struct expr *x) {
    const char *name = expr_op_name(x->op);
    if (x->op == EX_PATH)
        write_path(w, &x->path);
    else if (x->op == EX_VALUE)
        put_new(w, "ExpressionAttributeValues", ':', av_to_json(w->a, x->value));
    else if (x->op == EX_NOT || x->op == EX_BETWEEN || x->op == EX_IN) {
        if (x->op != EX_NOT) write_expr(w, x->args[0]);
        buf_printf(&w->b, "\n%s\t", name);
        if (x->op == EX_IN) buf_c(&w->b, "(");
        write_args(w, x, x->op != EX_NOT, x->op == EX_IN ? "," : "and");
        if (x->op == EX_IN) buf_c(&w->b, ")");
    } else if (x->op == EX_PLUS || x->op == EX_MINUS || (x->op > EX_CONDITIONS && x->op <= EX_GE))
        write_args(w, x, 0, name);
    else {
        buf_printf(&w->b, "%s (", name);
        write_args(w, x, 0, ",");
        buf_c(&w->b, ")");
    }
}

static void write_expr(struct writer *w, const struct expr *x) {
    if (x->paren) buf_c(&w->b, "(");
    write_node(w, x);
    if (x->paren) buf_c(&w->b, ")");
}

/* What is written is longer than what was read, and may be too long. */
static bool write_ready(struct writer *w, struct expr_names *ret) {
    struct err e = {0};
    if (w->b.over) return false;
    must(!expr_names(w->a, &w->params, ret, &e));
    return true;
}

static void check_same_tree(struct arena *a, const struct expr *x, const struct expr *y) {
    must(x->op == y->op && x->n == y->n && x->paren == y->paren);
    if (x->op == EX_PATH) must(path_equal(&x->path, &y->path) && path_equal(&y->path, &x->path));
    if (x->op == EX_VALUE) must(x->value && y->value && same_value(a, x->value, y->value));
    for (uint32_t i = 0; i < x->n; i++) check_same_tree(a, x->args[i], y->args[i]);
}

/* ==== conditions ==== */

/* One of <, =, > holds of two values that have an order, none of < and > of others. */
static void check_order(struct arena *a, const struct expr *x, const struct av *item) {
    for (uint32_t i = 0; i < x->n; i++) check_order(a, x->args[i], item);
    if (x->op < EX_EQ || x->op > EX_GE) return;
    bool holds[EX_GE + 1];
    for (enum expr_op op = EX_EQ; op <= EX_GE; op++) {
        struct expr other = *x;
        other.op = op;
        holds[op] = expr_test(a, &other, item);
    }
    must(holds[EX_EQ] != holds[EX_NE] && holds[EX_EQ] + holds[EX_LT] + holds[EX_GT] <= 1);
    if (holds[EX_LT]) must(holds[EX_LE] && !holds[EX_GE]);
    if (holds[EX_GT]) must(holds[EX_GE] && !holds[EX_LE]);
    must((holds[EX_LE] && holds[EX_GE]) <= holds[EX_EQ]);
}

static bool read_condition(struct input *in, const char *what, struct expr **ret) {
    struct expr_names names;
    struct err e = {0};
    if (expr_names(in->a, &in->params, &names, &e) || expr_condition(in->a, &names, what, in->text, ret, &e)) {
        check_err(&e);
        return false;
    }
    if (expr_unused(&names, &e)) check_err(&e);
    return true;
}

static void try_condition(struct input *in) {
    struct expr *x, *again;
    if (!read_condition(in, "ConditionExpression", &x)) return;
    bool holds = expr_test(in->a, x, &in->item);
    check_order(in->a, x, &in->item);
    struct writer w = {.a = in->a, .b = BUF_MAX(4096), .params = json_make_obj()};
    struct expr_names names;
    struct err e = {0};
    write_expr(&w, x);
    if (write_ready(&w, &names)) {
        must(!expr_condition(in->a, &names, "ConditionExpression", buf_view(&w.b), &again, &e));
        check_same_tree(in->a, x, again);
        must(!expr_unused(&names, &e) && expr_test(in->a, again, &in->item) == holds);
    }
    buf_free(&w.b);
}

/* ==== key conditions ==== */

static bool is_within(const struct key_range *b, struct str v) {
    int lo = b->lo.p ? str_cmp(v, b->lo) : 1, hi = b->hi.p ? str_cmp(v, b->hi) : -1;
    return (b->lo_open ? lo > 0 : lo >= 0) && (b->hi_open ? hi < 0 : hi <= 0);
}

/* Of a table whose keys are h, a string, and r, of the item's type. */
static void try_keys(struct input *in) {
    struct expr *x;
    struct err e = {0};
    const struct av *r = av_get(&in->item, STR("r"));
    struct ddb_table t = {.hash = {STR("h"), AV_S}, .range = {STR("r"), r && r->type <= AV_B ? r->type : AV_S}};
    struct ddb_plan q = {.table = &t, .hash = &t.hash, .range = &t.range};
    struct ddb_key k;
    if (!read_condition(in, "KeyConditionExpression", &x)) return;
    if (plan_keys(in->a, &q, x, &e)) {
        check_err(&e);
        return;
    }
    if (key_of_item(in->a, &t, &in->item, &k, &e)) return;
    bool selected = str_eq(k.pk, q.pk) && is_within(&q.bounds, k.sk);
    must(selected == expr_test(in->a, x, &in->item));
}

/* ==== updates ==== */

static void write_update(struct writer *w, const struct update *u) {
    static const char *const words[] = {
        [UP_SET] = "set", [UP_REMOVE] = "Remove", [UP_ADD] = "ADD", [UP_DELETE] = "DELETE"};
    for (int kind = UP_SET; kind <= UP_DELETE; kind++) {
        bool more = false;
        for (uint32_t i = 0; i < u->n; i++) {
            const struct update_action *act = &u->actions[i];
            if ((int)act->kind != kind) continue;
            buf_printf(&w->b, " %s ", more ? "," : words[kind]);
            more = true;
            write_path(w, &act->path);
            buf_c(&w->b, kind == UP_SET ? " = " : " ");
            if (act->value) write_expr(w, act->value);
        }
    }
}

static bool names_attribute(const struct update *u, struct str name) {
    for (uint32_t i = 0; i < u->n; i++)
        if (str_eq(u->actions[i].path.steps[0].name, name)) return true;
    return false;
}

/* Only plain values at plain places: then a second time changes nothing. */
static bool is_repeatable(const struct update *u) {
    for (uint32_t i = 0; i < u->n; i++) {
        const struct update_action *act = &u->actions[i];
        if (act->kind == UP_ADD || (act->value && act->value->op != EX_VALUE)) return false;
        for (uint32_t k = 0; k < act->path.n; k++)
            if (act->path.steps[k].is_index) return false;
    }
    return true;
}

static struct av copy_item(struct arena *a, const struct av *item) {
    struct json j = av_item_to_json(a, item), own = json_copy(a, &j);
    struct av copy = {.type = AV_M};
    if (own.n) must(!av_item_from_json(a, &own, "Item", &copy, NULL));
    return copy;
}

static bool apply(struct input *in, const struct update *u, const struct av *old, struct av *ret) {
    struct err e = {0};
    struct av touched_new, touched_old, back;
    struct av before = copy_item(in->a, old);
    *ret = copy_item(in->a, old);
    int rc = update_apply(in->a, u, old, ret, &touched_new, &touched_old, &e);
    must(same_item(in->a, old, &before));
    if (rc) {
        check_err(&e);
        return false;
    }
    must(!av_decode(in->a, av_encode(in->a, ret), &back, &e) && same_item(in->a, ret, &back));
    return true;
}

static void check_others(const struct input *in, const struct update *u, const struct av *next) {
    for (uint32_t i = 0; i < in->item.n; i++) {
        const struct av_member *m = &in->item.members[i];
        if (names_attribute(u, m->name)) continue;
        const struct av *v = av_get(next, m->name);
        must(v && same_value(in->a, v, &m->value));
    }
    for (uint32_t i = 0; i < next->n; i++)
        must(names_attribute(u, next->members[i].name) || av_get(&in->item, next->members[i].name));
}

static void try_update(struct input *in) {
    struct expr_names names;
    struct update u, again;
    struct av next, twice;
    struct err e = {0};
    if (expr_names(in->a, &in->params, &names, &e) || expr_update(in->a, &names, in->text, &u, &e)) {
        check_err(&e);
        return;
    }
    bool done = apply(in, &u, &in->item, &next);
    if (done) check_others(in, &u, &next);
    if (done && is_repeatable(&u)) must(apply(in, &u, &next, &twice) && same_item(in->a, &next, &twice));
    struct writer w = {.a = in->a, .b = BUF_MAX(4096), .params = json_make_obj()};
    write_update(&w, &u);
    if (write_ready(&w, &names)) {
        must(!expr_update(in->a, &names, buf_view(&w.b), &again, &e) && again.n == u.n);
        must(apply(in, &again, &in->item, &twice) == done);
        if (done) must(same_item(in->a, &next, &twice));
    }
    buf_free(&w.b);
}

/* ==== projections ==== */

static bool is_plain(const struct projection *p) {
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->paths[i].n; k++)
            if (p->paths[i].steps[k].is_index) return false;
    return true;
}

/* Every leaf that is in `part` is in `whole`, below the same names; lists may have lost elements. */
static void check_part(struct arena *a, const struct av *part, const struct av *whole) {
    must(whole && part->type == whole->type && part->n <= whole->n);
    if (part->type == AV_M)
        for (uint32_t i = 0; i < part->n; i++)
            check_part(a, &part->members[i].value, av_get(whole, part->members[i].name));
    else if (part->type != AV_L)
        must(same_value(a, part, whole));
}

static void try_projection(struct input *in) {
    struct expr_names names;
    struct projection p;
    struct err e = {0};
    if (expr_names(in->a, &in->params, &names, &e) || expr_projection(in->a, &names, in->text, &p, &e)) {
        check_err(&e);
        return;
    }
    struct av part = project(in->a, &p, &in->item);
    check_part(in->a, &part, &in->item);
    for (uint32_t i = 0; is_plain(&p) && i < p.n; i++) {
        const struct av *v = path_get(&p.paths[i], &in->item), *w = path_get(&p.paths[i], &part);
        must(!v == !w && (!v || same_value(in->a, v, w)));
    }
    if (!is_plain(&p)) return;
    struct av again = project(in->a, &p, &part);
    must(same_item(in->a, &part, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct input in;
    if (read_input(&a, str_n((const char *)data, n), &in)) {
        if (in.kind == 'c') try_condition(&in);
        if (in.kind == 'k') try_keys(&in);
        if (in.kind == 'u') try_update(&in);
        if (in.kind == 'p') try_projection(&in);
    }
    arena_free(&a);
    return 0;
}
