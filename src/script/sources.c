/* sources: an immutable snapshot of the handlers' files. Shared by all workers. */
#include "base/fs.h"
#include "base/map.h"
#include "script/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 8 << 20 };
#define SCHEMAS "config/schemas"

struct script_sources {
    _Atomic size_t refs;
    struct arena arena;
    struct source *files;
    size_t n, cap;
    const char **dirs;
    size_t n_dirs;
    struct map by_chunk; /* struct source */
    struct shared *shared;
    char version[17];
};

struct shared {
    struct shared *next;
    struct str name;
    void *object;
    void (*release)(void *object);
};

struct reading {
    struct script_sources *s;
    const char *root_dir;
    bool later; /* texts are read when they are asked for */
    struct err *e;
};

/* `path` as people write it: without "./", and relative to the project's directory. */
static struct str short_path(struct str path, const char *root_dir) {
    struct str root = str_c(root_dir);
    while (root.n > 1 && root.p[root.n - 1] == '/') root.n--;
    if (root.n && !str_is(root, ".") && str_starts(path, root) && path.n > root.n && path.p[root.n] == '/')
        path = str_from(path, root.n + 1);
    while (str_starts(path, STR("./"))) path = str_from(path, 2);
    return path;
}

static struct source *add(struct script_sources *s) {
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 32;
        struct source *files = ARENA_ARRAY(&s->arena, struct source, cap);
        if (s->n) memcpy(files, s->files, s->n * sizeof *files);
        s->files = files;
        s->cap = cap;
    }
    return &s->files[s->n++];
}

static int read_text(struct script_sources *s, struct source *f, struct err *e) {
    struct buf text = BUF_MAX(FILE_MAX);
    int rc = fs_read(arena_cstr(&s->arena, fs_join(&s->arena, f->root, f->name)), &text, e);
    if (!rc) f->text = text.n ? arena_str(&s->arena, buf_view(&text)) : STR("");
    buf_free(&text);
    return rc;
}

static int add_file(const struct reading *r, struct str root, struct str name) {
    struct script_sources *s = r->s;
    struct source *f = add(s);
    *f = (struct source){root, name, short_path(fs_join(&s->arena, root, name), r->root_dir), STR_NONE};
    return r->later ? 0 : read_text(s, f, r->e);
}

/* Files below root/sub that end in suffix; a root that was read already is skipped. */
static int read_root(const struct reading *r, struct str root, const char *sub, const char *suffix) {
    struct script_sources *s = r->s;
    struct str *names;
    size_t n;
    root = arena_str(&s->arena, root);
    struct str dir = *sub ? fs_join(&s->arena, root, str_c(sub)) : root;
    if (fs_list(&s->arena, arena_cstr(&s->arena, dir), suffix, &names, &n, r->e)) return -1;
    for (size_t i = 0; i < n; i++) {
        struct str name = *sub ? fs_join(&s->arena, str_c(sub), names[i]) : names[i];
        if (add_file(r, root, name)) return -1;
    }
    return 0;
}

static bool seen_before(const struct function *f, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (str_eq(f[k].code_dir, f[i].code_dir)) return true;
    return false;
}

/* It tells changes apart and defends against nobody. */
static void set_version(struct script_sources *s) {
    uint64_t h[3] = {0};
    for (size_t i = 0; i < s->n; i++) {
        h[1] = str_hash(s->files[i].chunk);
        h[2] = str_hash(s->files[i].text);
        h[0] = str_hash(str_n((const char *)h, sizeof h));
    }
    snprintf(s->version, sizeof s->version, "%016llx", (unsigned long long)h[0]);
}

struct dirs {
    struct script_sources *s;
    struct map seen;
    size_t cap;
};

static void add_dir(struct dirs *d, struct str dir) {
    struct script_sources *s = d->s;
    if (!dir.n) dir = STR(".");
    if (map_get(&d->seen, dir)) return;
    if (s->n_dirs == d->cap) {
        const char **grown = ARENA_ARRAY(&s->arena, const char *, d->cap * 2 + 8);
        if (s->n_dirs) memcpy(grown, s->dirs, s->n_dirs * sizeof *grown);
        s->dirs = grown;
        d->cap = d->cap * 2 + 8;
    }
    const char *copy = arena_cstr(&s->arena, dir);
    map_put(&d->seen, str_c(copy), s);
    s->dirs[s->n_dirs++] = copy;
}

/* A directory and all below it, also those that hold no file yet. */
static int add_tree(struct dirs *d, struct str root, struct err *e) {
    struct arena *a = &d->s->arena;
    struct str *names = NULL;
    size_t n = 0;
    add_dir(d, root);
    if (!root.n) root = STR(".");
    if (fs_list_dirs(a, arena_cstr(a, root), &names, &n, e)) return -1;
    for (size_t i = 0; i < n; i++) add_dir(d, fs_join(a, root, names[i]));
    return 0;
}

static int set_dirs(struct script_sources *s, const struct function *f, size_t n, const char *lua_dir,
                    const char *root_dir, struct err *e) {
    struct dirs d = {.s = s};
    struct str schemas = fs_join(&s->arena, str_c(root_dir ? root_dir : "."), STR(SCHEMAS));
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        if (!seen_before(f, i)) rc = add_tree(&d, f[i].code_dir, e);
    if (!rc && lua_dir) rc = add_tree(&d, str_c(lua_dir), e);
    if (!rc && fs_is_dir(arena_cstr(&s->arena, schemas))) rc = add_tree(&d, schemas, e);
    map_free(&d.seen);
    return rc;
}

static struct script_sources *sources_new(void) {
    struct script_sources *s = calloc(1, sizeof *s);
    if (!s) fatal("out of memory for the handlers' sources");
    atomic_init(&s->refs, 1);
    return s;
}

static int read_all(const struct reading *r, const struct function *f, size_t n, const char *lua_dir) {
    struct script_sources *s = r->s;
    for (size_t i = 0; i < n; i++)
        if (!seen_before(f, i) && read_root(r, f[i].code_dir, "", ".lua")) return -1;
    if (lua_dir && read_root(r, str_c(lua_dir), "", ".lua")) return -1;
    if (read_root(r, str_c(r->root_dir ? r->root_dir : "."), SCHEMAS, ".json")) return -1;
    for (size_t i = 0; i < s->n; i++) map_put(&s->by_chunk, s->files[i].chunk, &s->files[i]);
    return 0;
}

int script_sources_read(const struct function *functions, size_t n, const char *lua_dir, const char *root_dir,
                        struct script_sources **ret, struct err *e) {
    struct reading r = {sources_new(), root_dir, false, e};
    if (lua_dir && !fs_is_dir(lua_dir)) {
        err_set(e, ERR_CONFIG, "--lua-dir: there is no directory %s", lua_dir);
        goto fail;
    }
    if (read_all(&r, functions, n, lua_dir)) goto fail;
    set_version(r.s);
    if (set_dirs(r.s, functions, n, lua_dir, root_dir, e)) goto fail;
    *ret = r.s;
    return 0;
fail:
    script_sources_unref(r.s);
    return -1;
}

int script_sources_list(const struct function *functions, size_t n, const char *lua_dir, const char *root_dir,
                        const char *version, struct script_sources **ret, struct err *e) {
    struct reading r = {sources_new(), root_dir, true, e};
    if (read_all(&r, functions, n, lua_dir)) {
        script_sources_unref(r.s);
        return -1;
    }
    snprintf(r.s->version, sizeof r.s->version, "%s", version);
    *ret = r.s;
    return 0;
}

int sources_text(struct script_sources *s, const struct source *f, struct str *ret, struct err *e) {
    if (!f->text.p && read_text(s, &s->files[f - s->files], e)) return -1;
    *ret = f->text;
    return 0;
}

void *sources_shared(const struct script_sources *s, struct str name) {
    const struct shared *x = s->shared;
    while (x && !str_eq(x->name, name)) x = x->next;
    return x ? x->object : NULL;
}

void sources_share(struct script_sources *s, struct str name, void *object, void (*release)(void *object)) {
    struct shared *x = ARENA_NEW(&s->arena, struct shared);
    *x = (struct shared){s->shared, arena_str(&s->arena, name), object, release};
    s->shared = x;
}

void sources_keep_compiled(struct script_sources *s, const struct source *f, struct str code) {
    s->files[f - s->files].compiled = arena_str(&s->arena, code);
}

static bool same_file(const struct source *x, const struct source *y) {
    return str_eq(x->root, y->root) && str_eq(x->name, y->name) && str_eq(x->chunk, y->chunk) &&
           str_eq(x->text, y->text);
}

bool script_sources_same(const struct script_sources *x, const struct script_sources *y) {
    bool same = x->n == y->n && x->n_dirs == y->n_dirs && !strcmp(x->version, y->version);
    for (size_t i = 0; same && i < x->n; i++) same = same_file(&x->files[i], &y->files[i]);
    for (size_t i = 0; same && i < x->n_dirs; i++) same = !strcmp(x->dirs[i], y->dirs[i]);
    return same;
}

struct script_sources *script_sources_ref(struct script_sources *s) {
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void script_sources_unref(struct script_sources *s) {
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    for (struct shared *x = s->shared; x; x = x->next) x->release(x->object);
    map_free(&s->by_chunk);
    arena_free(&s->arena);
    free(s);
}

const char *script_sources_version(const struct script_sources *s) {
    return s->version;
}

size_t script_sources_dirs(const struct script_sources *s, const char *const **ret) {
    *ret = s->dirs;
    return s->n_dirs;
}

void script_sources_each(const struct script_sources *s, void (*fn)(void *ud, struct str path, struct str text),
                         void *ud) {
    for (size_t i = 0; i < s->n; i++) fn(ud, s->files[i].chunk, s->files[i].text);
}

const struct source *sources_find(const struct script_sources *s, struct str root, struct str name) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->files[i].name, name) && str_eq(s->files[i].root, root)) return &s->files[i];
    return NULL;
}

size_t sources_all(const struct script_sources *s, const struct source **ret) {
    *ret = s->files;
    return s->n;
}

/* The newline stays for the line numbers. */
struct str source_body(struct str text) {
    if (!text.n || text.p[0] != '#') return text;
    ptrdiff_t end = str_chr(text, '\n', 0);
    return str_from(text, end < 0 ? text.n : (size_t)end);
}

const struct source *sources_chunk(const struct script_sources *s, struct str chunk) {
    return map_get(&s->by_chunk, chunk);
}
