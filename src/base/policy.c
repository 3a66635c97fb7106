#include "base/policy.h"

static char fold(char c, bool ignore_case) {
    return ignore_case && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Goes back to the last '*' only, so the time is at most pattern.n * text.n. */
bool policy_match(struct str pattern, struct str text, bool ignore_case) {
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
    while (t < text.n && p < pattern.n && pattern.p[p] == text.p[t] && pattern.p[p] != '*') p++, t++; /* most of it */
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.n &&
                   (pattern.p[p] == '?' || fold(pattern.p[p], ignore_case) == fold(text.p[t], ignore_case))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') p++;
    return p == pattern.n;
}

static bool any(const struct str *patterns, size_t n, struct str text, bool ignore_case) {
    for (size_t i = 0; i < n; i++)
        if (policy_match(patterns[i], text, ignore_case)) return true;
    return false;
}

bool policy_names_action(const struct policy_statement *s, struct str action) {
    return any(s->actions, s->n_actions, action, true) != s->not_actions;
}

bool policy_names_resource(const struct policy_statement *s, struct str arn) {
    return any(s->resources, s->n_resources, arn, false) != s->not_resources;
}

bool policy_allows(const struct policy *p, struct str action, struct str arn) {
    if (p->allow_all) return true;
    bool allowed = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct policy_statement *s = &p->statements[i];
        if (!policy_names_action(s, action) || !policy_names_resource(s, arn)) continue;
        if (s->deny) return false;
        allowed = true;
    }
    return allowed;
}
