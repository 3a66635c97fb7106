/* Names that a policy may hold: a misspelt action permits nothing, and nobody says so before the call is denied. */
#include "app/template.h"
#include "base/policy.h"
#include <string.h>

enum { WORD_MAX = 80 };

static const struct {
    const char *service, *names;
} services[] = {
#define ACTIONS(service, names) {service, names},
#define INSTEAD(service, operation, actions)
#include "app/actions.def"
#undef ACTIONS
#undef INSTEAD
};

static const struct {
    const char *service, *operation, *actions;
} instead[] = {
#define ACTIONS(service, names)
#define INSTEAD(service, operation, actions) {service, operation, actions},
#include "app/actions.def"
#undef ACTIONS
#undef INSTEAD
};

/* ==== what is near ==== */

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static size_t least(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Insertions, removals and replacements from one word to the other (Levenshtein), in any case. */
static size_t distance(struct str a, struct str b) {
    size_t row[WORD_MAX + 1];
    if (a.n > WORD_MAX || b.n > WORD_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++) row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t replaced = corner + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
            corner = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[b.n];
}

/* A third of the letters may differ: further away is another word. */
void near_try(struct near *n, struct str candidate) {
    size_t d = distance(n->word, candidate);
    if (d > n->word.n / 3 || (n->best.p && d >= n->distance)) return;
    n->best = candidate;
    n->distance = d;
}

/* ==== actions ==== */

/* true: some action of the service has the name, which may be a pattern. */
static bool is_action(const char *names, struct str name, struct near *near) {
    for (struct str rest = str_c(names); rest.p;)
        if (policy_match(name, str_cut(&rest, ' '), true)) return true;
    for (struct str rest = str_c(names); rest.p;) near_try(near, str_cut(&rest, ' '));
    return false;
}

static bool is_operation(struct str service, struct str name, const char **ret_actions) {
    for (size_t i = 0; i < sizeof instead / sizeof *instead; i++) {
        *ret_actions = instead[i].actions;
        if (str_ieq(service, str_c(instead[i].service)) && str_ieq(name, str_c(instead[i].operation))) return true;
    }
    return false;
}

void template_check_action(struct template *t, int line, struct str where, struct str action) {
    struct str name = action, service = str_cut(&name, ':');
    const char *needed;
    if (str_is(action, "*")) return;
    if (!service.n || !name.n) {
        template_problem(t, line, where, "'%.*s' is no action (service:Name)", STR_ARG(action));
        return;
    }
    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        struct near near = {.word = name};
        if (!str_ieq(service, str_c(services[i].service)) || is_action(services[i].names, name, &near)) continue;
        if (is_operation(service, name, &needed))
            template_problem(t, line, where, "%.*s is an operation but no action: it needs %s", STR_ARG(action),
                             needed);
        else if (near.best.p)
            template_problem(t, line, where, "%.*s is no action: %.*s:%.*s is", STR_ARG(action), STR_ARG(service),
                             STR_ARG(near.best));
        else
            template_problem(t, line, where, "%.*s is no action of %s", STR_ARG(action), services[i].service);
    }
}
