/* Faults: what strikes, whom, and how often. */
#include "probe/state.h"
#include <stdlib.h>

struct fault {
    struct list node;
    uint64_t id, matched, struck;
    struct probe_fault f; /* its texts are in the arena */
    bool any_service, any_op;
    enum aws_service service;
    struct err err;
    struct arena arena;
};

static const char *const kinds[PROBE_KINDS] = {"refused", "lost",   "hangs", "stalls", "before",
                                               "after",   "commit", "twice", "late"};

const char *probe_kind_name(enum probe_fault_kind k) {
    return (unsigned)k < PROBE_KINDS ? kinds[k] : "?";
}

int probe_kind_find(struct str name, enum probe_fault_kind *ret, struct err *e) {
    for (int k = 0; k < PROBE_KINDS; k++) {
        if (!str_is(name, kinds[k])) continue;
        *ret = (enum probe_fault_kind)k;
        return 0;
    }
    return err_set(
        e, ERR_VALIDATION,
        "there is no fault \"%.*s\"; there are refused, lost, hangs, stalls, before, after, commit, twice, late",
        STR_ARG(str_take(name, 64)));
}

/* == what it is about ===============================================================================================
 */

/* Services without rows have whatever operations AWS has. */
static int check_action(struct fault *x, struct str action, struct err *e) {
    enum aws_op op = AWS_OTHER;
    if (x->any_op || x->service >= AWS_ENGINE_SERVICES) return 0;
    if (aws_op_find(x->service, action, &op, e)) return -1;
    bool writes = aws_op_row(op)->flags & AWS_WRITE;
    if (x->f.kind == PROBE_COMMIT && !writes)
        return err_set(e, ERR_VALIDATION, "%.*s commits nothing: the fault \"commit\" is of calls that write",
                       STR_ARG(x->f.match));
    if (x->f.kind == PROBE_TWICE && op != AWS_SQS_ReceiveMessage)
        return err_set(e, ERR_VALIDATION, "the fault \"twice\" is of sqs:ReceiveMessage, not of %.*s",
                       STR_ARG(x->f.match));
    return 0;
}

static int read_match(struct fault *x, struct err *e) {
    struct str action = x->f.match;
    x->any_service = x->any_op = !action.n || str_is(action, "*");
    if (x->any_service) return 0;
    struct str service = str_cut(&action, ':');
    if (!action.n)
        return err_set(e, ERR_VALIDATION,
                       "\"%.*s\" is not service:Operation, as in \"sqs:SendMessage\", \"dynamodb:*\"",
                       STR_ARG(str_take(x->f.match, 64)));
    if (aws_service_find(service, &x->service, e)) return -1;
    x->any_op = str_is(action, "*");
    return check_action(x, action, e);
}

/* == its error ======================================================================================================
 */

static int check_error(const struct probe_fault *f, struct err *e) {
    bool has = f->error.n || f->message.n || f->status || f->retryable;
    if (f->kind == PROBE_REFUSED || f->kind == PROBE_LOST) {
        if (f->status && (f->status < 300 || f->status > 599))
            return err_set(e, ERR_VALIDATION, "the status of an error is 300 to 599, not %d", f->status);
        return 0;
    }
    if (!has) return 0;
    return err_set(e, ERR_VALIDATION,
                   "the fault \"%s\" tells no error of its own: code, message and status are of "
                   "\"refused\" and \"lost\"",
                   kinds[f->kind]);
}

static void make_error(struct fault *x) {
    const struct probe_fault *f = &x->f;
    bool refused = f->kind == PROBE_REFUSED;
    struct str name = f->error.n ? f->error
                      : refused  ? STR("ThrottlingException")
                                 : STR("RequestTimeout"),
               text = f->message;
    if (!text.n) text = refused ? STR("refused, as the test asked for") : STR("no answer came, as the test asked for");
    err_service(&x->err, arena_cstr(&x->arena, name), f->status, f->retryable, "%.*s", STR_ARG(text));
    enum err_code known = x->err.code;
    if (known == ERR_SERVICE) {
        x->err.status = f->status ? f->status : 400;
        return;
    }
    x->err.status = f->status ? f->status : err_status(known);
    x->err.retryable = f->retryable || err_retryable(known);
}

/* == adding, removing ===============================================================================================
 */

static void fault_free(struct fault *x) {
    list_del(&x->node);
    arena_free(&x->arena);
    free(x);
}

static void own_texts(struct fault *x) {
    struct str *const texts[] = {&x->f.match, &x->f.function, &x->f.resource, &x->f.error, &x->f.message};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i]->n) *texts[i] = arena_str(&x->arena, *texts[i]);
}

static int check_kind(const struct probe *p, const struct probe_fault *f, struct err *e) {
    if ((unsigned)f->kind >= PROBE_KINDS) return err_set(e, ERR_VALIDATION, "no kind of fault");
    if (f->kind != PROBE_COMMIT || p->cfg.fail_commit) return 0;
    return err_set(e, ERR_VALIDATION, "the fault \"commit\" is the embedded engine's");
}

int probe_fail(struct probe *p, const struct probe_fault *f, uint64_t *ret_id, struct err *e) {
    if (check_kind(p, f, e) || check_error(f, e)) return -1;
    struct fault *x = calloc(1, sizeof *x);
    if (!x) fatal("out of memory for a fault");
    list_init(&x->node);
    x->f = *f;
    if (!x->f.nth) x->f.nth = 1;
    if (!x->f.times) x->f.times = 1;
    if (read_match(x, e)) {
        fault_free(x);
        return -1;
    }
    own_texts(x);
    make_error(x);
    x->id = ++p->last_fault;
    list_add(&p->faults, &x->node);
    probe_look_busy(p);
    if (ret_id) *ret_id = x->id;
    return 0;
}

uint64_t probe_struck(const struct probe *p, uint64_t id) {
    for (struct list *n = p->faults.next; n != &p->faults; n = n->next)
        if (CONTAINER(n, struct fault, node)->id == id) return CONTAINER(n, struct fault, node)->struck;
    return 0;
}

void probe_forgive(struct probe *p, uint64_t id) {
    for (struct list *n = p->faults.next, *next; n != &p->faults; n = next) {
        struct fault *x = CONTAINER(n, struct fault, node);
        next = n->next;
        if (!id || x->id == id) fault_free(x);
    }
    probe_look_busy(p);
}

/* == striking =======================================================================================================
 */

static bool matches(const struct fault *x, const struct passing *call) {
    const struct aws_call *c = call->call;
    struct str action = x->f.match;
    if (x->f.n && x->f.n != call->seen.n) return false;
    if (!x->any_service && x->service != c->row->service) return false;
    if (!x->any_op) {
        str_cut(&action, ':');
        if (!str_is(action, c->row->action)) return false;
    }
    if (x->f.kind == PROBE_COMMIT && !(c->row->flags & AWS_WRITE)) return false;
    if (x->f.function.n && !str_eq(x->f.function, c->context.function)) return false;
    return !x->f.resource.n || resource_is(c, x->f.resource);
}

/* Each fault counts what matches it, whichever strikes. */
static struct fault *find(struct probe *p, const struct passing *call, bool twice) {
    struct fault *found = NULL;
    for (struct list *n = p->faults.next; n != &p->faults; n = n->next) {
        struct fault *x = CONTAINER(n, struct fault, node);
        if ((x->f.kind == PROBE_TWICE) != twice || !matches(x, call)) continue;
        uint64_t i = ++x->matched;
        bool due = i >= x->f.nth && (x->f.times < 0 || i - x->f.nth < (uint64_t)x->f.times);
        if (due && !found) found = x;
    }
    if (found) found->struck++;
    return found;
}

static void strike(struct strike *ret, const struct fault *x, struct aws_call *c) {
    *ret = (struct strike){.name = kinds[x->f.kind], .kind = x->f.kind};
    if (x->f.kind != PROBE_REFUSED && x->f.kind != PROBE_LOST) return;
    ret->err = ARENA_NEW(&c->arena, struct err);
    *ret->err = x->err;
}

void fault_find(struct probe *p, struct passing *x, struct strike *ret) {
    const struct fault *found = find(p, x, false);
    if (found) strike(ret, found, x->call);
}

bool fault_twice(struct probe *p, struct passing *x) {
    if (x->strike.name) return false;
    const struct fault *found = find(p, x, true);
    if (found) strike(&x->strike, found, x->call);
    return found;
}
