#include "script/state.h"

static struct str line_of(struct str text, int line) {
    for (; line > 1 && text.p; line--) str_cut(&text, '\n');
    return text.p && line == 1 ? str_trim(str_cut(&text, '\n')) : STR_NONE;
}

static void write_function(struct buf *b, const lua_Debug *ar) {
    if (*ar->namewhat)
        buf_printf(b, " in %s '%s'", ar->namewhat, ar->name);
    else if (*ar->what == 'm')
        buf_c(b, " in the module's body");
    else if (*ar->what != 'C')
        buf_printf(b, " in the function of line %d", ar->linedefined);
}

static void write_frame(struct buf *b, const struct script_sources *sources, const lua_Debug *ar) {
    if (*ar->what == 'C' && !*ar->namewhat) return; /* the host's own frames */
    buf_printf(b, "\n\t%s:", ar->short_src);
    if (ar->currentline > 0) buf_printf(b, "%d:", ar->currentline);
    write_function(b, ar);
    if (ar->currentline <= 0 || *ar->source != '@' || !sources) return;
    const struct source *f = sources_chunk(sources, str_c(ar->source + 1));
    struct str code = f ? line_of(f->text, ar->currentline) : STR_NONE;
    if (code.n) buf_printf(b, "\n\t\t%.*s", (int)(code.n < 160 ? code.n : 160), code.p);
}

/* How many levels there are; lua_getstack takes time in proportion to the level. */
static int depth(lua_State *L) {
    lua_Debug ar;
    int low = 0, high = 1;
    while (lua_getstack(L, high, &ar)) low = high, high *= 2;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (lua_getstack(L, mid, &ar))
            low = mid + 1;
        else
            high = mid;
    }
    return high;
}

/* Sources may be written in anything, and their lines are cut. */
static void make_utf8(struct buf *b, size_t from) {
    for (ptrdiff_t bad; (bad = str_bad_utf8(str_from(buf_view(b), from))) >= 0; from++) b->p[from += (size_t)bad] = '?';
}

void trace_write(struct buf *b, struct script *s, const struct script_sources *sources, lua_State *L, struct str msg,
                 int level) {
    enum { FIRST = 12, LAST = 10 };
    lua_Debug ar;
    int n = depth(L);
    size_t start = b->n;
    (void)s;
    if (msg.n) buf_str(b, msg);
    buf_c(b, "\nstack traceback:");
    for (int i = level; i < n; i++) {
        if (n - level > FIRST + LAST && i == level + FIRST) {
            buf_printf(b, "\n\t... (%d levels)", n - level - FIRST - LAST);
            i = n - LAST;
        }
        if (!lua_getstack(L, i, &ar) || !lua_getinfo(L, "Slnt", &ar)) break;
        write_frame(b, sources, &ar);
        if (ar.istailcall) buf_c(b, "\n\t(...tail calls...)");
    }
    make_utf8(b, start);
}
