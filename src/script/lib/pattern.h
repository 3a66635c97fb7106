/* pattern (private to script/lib/): matching of Lua patterns (Reference Manual 6.4.1) that can be interrupted. */
#ifndef PERIGEE_SCRIPT_PATTERN_H
#define PERIGEE_SCRIPT_PATTERN_H
#include "script/lib/lib.h"

enum { PATTERN_CAPTURES = 32, PATTERN_DEPTH = 200, PATTERN_POLL = 4096 };
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct pattern_capture {
    const char *at;
    ptrdiff_t n; /* or CAPTURE_OPEN, CAPTURE_POSITION */
};
struct pattern {
    lua_State *L;
    const char *subject, *subject_end;
    const char *start, *end; /* of the pattern, behind its '^' */
    bool anchored;
    unsigned steps; /* script_poll is called every PATTERN_POLL of them */
    int depth, n;   /* of open alternatives; captures */
    struct pattern_capture captures[PATTERN_CAPTURES];
};

void pattern_init(struct pattern *m, lua_State *L, struct str subject, struct str pattern, bool anchors);
/* End of the match that begins at s, or NULL. Raises on a malformed pattern. */
const char *pattern_at(struct pattern *m, const char *s);
/* Pushes capture i (0-based) of the match s..e; capture 0 of a pattern without captures is the whole match. */
void pattern_push_capture(struct pattern *m, int i, const char *s, const char *e);
/* Pushes all captures; the whole match when there are none and `whole`. Returns how many. */
int pattern_push_captures(struct pattern *m, const char *s, const char *e, bool whole);
void pattern_step(struct pattern *m);

#endif
