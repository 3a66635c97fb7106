/* coverage: which lines of the handlers' sources have run.
 *
 * Lines that can run come from the compiled functions: all instructions that control flow can reach from a function's
 * beginning, in the file's function and all nested ones, and the lines that Lua has noted for them. Neither counts what
 * the compiler adds at the end of functions and blocks (making it, returning, closing variables), nor what cannot run,
 * as code behind a return. Lines that ran are told by Lua's line hook, which shares its function with the limits
 * (limits.c). */
#include "base/fs.h"
#include "script/state.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

/* What lua_dump writes is read below, and the instructions in it. */
_Static_assert(LUA_VERSION_NUM == 504, "the reader of compiled functions is that of Lua 5.4");

struct covered {
    struct script_covered file;
    struct covered *other; /* the same path with another content */
};
struct script_coverage {
    bool on;
    struct arena arena;
    struct map paths; /* struct covered */
    const struct script_covered **list;
    size_t n, cap;
};

struct script_coverage *script_coverage_new(void) {
    struct script_coverage *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory for coverage");
    return c;
}

void script_coverage_free(struct script_coverage *c) {
    if (!c) return;
    map_free(&c->paths);
    arena_free(&c->arena);
    free(c);
}

void script_coverage_start(struct script_coverage *c) {
    c->on = true;
}

size_t script_coverage_files(const struct script_coverage *c, const struct script_covered *const **ret) {
    *ret = c->list;
    return c->n;
}

/* ==== compiled functions ==== */

enum {
    OP_LFALSESKIP = 6,
    OP_CLOSE = 54,
    OP_JMP = 56,
    OP_EQ = 57, /* the first of those that skip the jump behind them, or take it */
    OP_TESTSET = 67,
    OP_TAILCALL = 69, /* what is behind it runs for functions in C only */
    OP_RETURN1 = 72,
    OP_FORLOOP = 73,
    OP_FORPREP = 74,
    OP_TFORPREP = 75,
    OP_TFORLOOP = 77,
    OP_CLOSURE = 79,
    OP_VARARGPREP = 81,
    OP_EXTRAARG = 82,
};
enum { HEADER = 31, NO_DELTA = -0x80 };

struct reader {
    const uint8_t *p, *end;
    struct script_covered *file;
    struct arena scratch;
};

static const uint8_t *take(struct reader *r, size_t n) {
    const uint8_t *p = r->p;
    if ((size_t)(r->end - p) < n) fatal("a compiled function ends too early");
    r->p += n;
    return p;
}

static size_t number(struct reader *r) {
    size_t n = 0;
    for (;;) {
        uint8_t b = *take(r, 1);
        n = n << 7 | (b & 0x7f);
        if (b & 0x80) return n;
    }
}

static void skip_string(struct reader *r) {
    size_t n = number(r);
    if (n) take(r, n - 1);
}

static void skip_constants(struct reader *r) {
    for (size_t n = number(r); n; n--) switch (*take(r, 1)) {
        case LUA_TNUMBER:
        case LUA_TNUMBER | 0x10:
            take(r, 8);
            break;
        case LUA_TSTRING:
        case LUA_TSTRING | 0x10:
            skip_string(r);
            break;
        default: /* nil, false, true */
            break;
        }
}

struct code {
    const uint8_t *instructions;
    size_t n, n_nested;
    int first_line; /* where the function is defined */
    int *nested;    /* the last lines of functions inside; 0: of one line */
    bool *reached;
    size_t *waiting;
    size_t n_waiting;
};

static uint32_t instruction(const struct code *c, size_t pc) {
    uint32_t i;
    memcpy(&i, c->instructions + 4 * pc, 4);
    return i;
}

static unsigned op_of(uint32_t i) {
    return i & 0x7f;
}

static size_t jump_target(uint32_t i, size_t pc) {
    return (size_t)((int64_t)pc + 1 + (int64_t)(i >> 7) - 0xffffff);
}

static void reach(struct code *c, size_t pc) {
    if (pc >= c->n || c->reached[pc]) return;
    c->reached[pc] = true;
    c->waiting[c->n_waiting++] = pc;
}

static void follow(struct code *c, size_t pc) {
    uint32_t i = instruction(c, pc), bx = i >> 15;
    unsigned op = op_of(i);
    if (op == OP_JMP) {
        reach(c, jump_target(i, pc));
    } else if (op >= OP_EQ && op <= OP_TESTSET) { /* the jump is a part of the test */
        reach(c, pc + 2);
        if (pc + 1 < c->n) reach(c, jump_target(instruction(c, pc + 1), pc + 1));
    } else if (op == OP_LFALSESKIP) {
        reach(c, pc + 2);
    } else if (op == OP_TFORPREP) {
        reach(c, pc + 1 + bx);
    } else if (op < OP_TAILCALL || op > OP_RETURN1) {
        reach(c, pc + 1);
        if (op == OP_FORPREP) reach(c, pc + 2 + bx);
        if (op == OP_FORLOOP || op == OP_TFORLOOP) reach(c, pc + 1 - bx);
    }
}

static void reach_all(struct reader *r, struct code *c) {
    c->reached = ARENA_ARRAY(&r->scratch, bool, c->n);
    c->waiting = ARENA_ARRAY(&r->scratch, size_t, c->n);
    reach(c, 0);
    while (c->n_waiting) follow(c, c->waiting[--c->n_waiting]);
}

static void note_line(struct reader *r, const struct code *c, size_t pc, int line) {
    uint32_t i = instruction(c, pc);
    unsigned op = op_of(i);
    bool made = op == OP_CLOSURE && i >> 15 < c->n_nested && c->nested[i >> 15] == line;
    bool returns = pc + 1 == c->n; /* nobody wrote it */
    bool hidden = op == OP_CLOSE || op == OP_VARARGPREP || op == OP_EXTRAARG;
    if (!c->reached[pc] || made || returns || hidden) return;
    if (line > 0 && (size_t)line <= r->file->n_lines) r->file->active[line] = true;
}

/* A byte an instruction, the distance to the line before; where that does not fit, a pair (instruction, line). */
static void read_lines(struct reader *r, const struct code *c) {
    size_t n = number(r);
    const int8_t *delta = (const int8_t *)take(r, n);
    size_t n_pairs = number(r), pair_pc = n_pairs ? number(r) : 0;
    int line = c->first_line;
    for (size_t pc = 0; pc < n; pc++) {
        if (delta[pc] != NO_DELTA) {
            line += delta[pc];
        } else {
            if (!n_pairs || pair_pc != pc) fatal("a compiled function has no line for instruction %zu", pc);
            line = (int)number(r);
            if (--n_pairs) pair_pc = number(r);
        }
        note_line(r, c, pc, line);
    }
}

/* Returns its last line, or 0 for a function of one line. */
static int read_function(struct reader *r) {
    struct code c = {0};
    skip_string(r);
    c.first_line = (int)number(r);
    int last_line = (int)number(r);
    take(r, 3);
    c.n = number(r);
    c.instructions = take(r, 4 * c.n);
    skip_constants(r);
    take(r, 3 * number(r));
    c.n_nested = number(r);
    c.nested = ARENA_ARRAY(&r->scratch, int, c.n_nested);
    for (size_t i = 0; i < c.n_nested; i++) c.nested[i] = read_function(r);
    reach_all(r, &c);
    read_lines(r, &c);
    for (size_t n = number(r); n; n--) { /* local variables */
        skip_string(r);
        number(r);
        number(r);
    }
    for (size_t n = number(r); n; n--) skip_string(r); /* upvalues */
    return last_line > c.first_line ? last_line : 0;
}

static int put(lua_State *L, const void *p, size_t n, void *ud) {
    (void)L;
    buf_str(ud, str_n(p, n));
    return 0;
}

/* Files that Lua refuses have no lines. */
static void find_active(struct script_covered *f, struct str text) {
    struct buf dump = BUF_MAX(256 << 20);
    lua_State *L = luaL_newstate();
    if (!L) fatal("out of memory for a Lua state");
    text = source_body(text);
    if (!luaL_loadbufferx(L, text.p ? text.p : "", text.n, "=", "t") && !lua_dump(L, put, &dump, 0)) {
        struct reader r = {(const uint8_t *)dump.p, (const uint8_t *)dump.p + dump.n, f, {0}};
        take(&r, HEADER + 1);
        read_function(&r);
        arena_free(&r.scratch);
    }
    lua_close(L);
    buf_free(&dump);
}

/* ==== files ==== */

static size_t count_lines(struct str text) {
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '\n';
    return n;
}

static void list(struct script_coverage *c, const struct script_covered *f) {
    if (c->n == c->cap) {
        size_t cap = c->cap * 2 + 32;
        const struct script_covered **more = ARENA_ARRAY(&c->arena, const struct script_covered *, cap);
        if (c->n) memcpy(more, c->list, c->n * sizeof *more);
        c->list = more;
        c->cap = cap;
    }
    c->list[c->n++] = f;
}

static struct covered *new_file(struct script_coverage *c, struct str path, struct str text, bool of_handlers) {
    struct covered *f = ARENA_NEW(&c->arena, struct covered);
    size_t n = count_lines(text);
    f->file = (struct script_covered){
        .path = arena_str(&c->arena, path),
        .text = arena_str(&c->arena, text),
        .of_handlers = of_handlers,
        .n_lines = n,
        .active = ARENA_ARRAY(&c->arena, bool, n + 1),
        .hits = ARENA_ARRAY(&c->arena, uint64_t, n + 1),
    };
    find_active(&f->file, f->file.text);
    f->other = map_put(&c->paths, f->file.path, f);
    list(c, &f->file);
    return f;
}

static struct covered *file_of(struct script_coverage *c, struct str path, struct str text, bool of_handlers) {
    struct covered *f = map_get(&c->paths, path);
    while (f && !str_eq(f->file.text, text)) f = f->other;
    return f ? f : new_file(c, path, text, of_handlers);
}

static struct str full_path(struct arena *a, const struct source *f) {
    char *joined = arena_cstr(a, fs_join(a, f->root, f->name)), *real = realpath(joined, NULL);
    struct str path = arena_str(a, str_c(real ? real : joined));
    free(real);
    return path;
}

void coverage_add(struct version *v) {
    struct script_coverage *c = v->s->c.coverage;
    const struct source *files;
    struct arena scratch = {0};
    if (!v->s->covered) return;
    struct str lua_dir = str_c(v->s->c.lua_dir);
    for (size_t n = sources_all(v->sources, &files); n; n--, files++) {
        struct str text;
        if (!str_ends(files->name, STR(".lua")) || sources_text(v->sources, files, &text, NULL)) continue;
        struct covered *f = file_of(c, full_path(&scratch, files), text, !str_eq(files->root, lua_dir));
        map_put(&v->covered, files->chunk, &f->file);
    }
    arena_free(&scratch);
}

/* ==== running ==== */

bool coverage_wanted(const struct script_config *c) {
    return c->coverage && c->coverage->on && !c->trusted;
}

/* Functions of one version run in jobs of that version. */
void coverage_line(lua_State *L, lua_Debug *ar) {
    struct script *s = script_of(L);
    const struct version *v = s->running ? s->running->unit->version : s->loading_version;
    if (!v || !lua_getinfo(L, "S", ar) || ar->source[0] != '@') return;
    struct script_covered *f = map_get(&v->covered, str_c(ar->source + 1));
    if (f && ar->currentline > 0 && (size_t)ar->currentline <= f->n_lines) f->hits[ar->currentline]++;
}
