#include "remote/profile.h"
#include "base/buf.h"
#include "base/fs.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, VALUE_MAX = 64 << 10, SECTIONS_MAX = 10000, PROPERTIES_MAX = 1000 };

struct parser {
    struct profiles *p;
    struct arena *a;
    const char *file;
    int line;
    bool is_config;
    bool in_section;  /* a header was read */
    ptrdiff_t target; /* index of the section that takes properties; -1: they are left out */
    /* The property whose value may go on in the next lines. */
    bool open, nested;
    struct str key; /* lower case; empty: left out */
    int key_line;
    struct buf value;
};

static int fail(struct parser *q, const char *what, struct err *e) {
    return err_set(e, ERR_CONFIG, "%s:%d: %s", q->file, q->line, what);
}

/* ==== characters ==== */

static bool blank(char c) {
    return c == ' ' || c == '\t';
}

static bool alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool all_in(struct str s, const char *punctuation) {
    for (size_t i = 0; i < s.n; i++)
        if (!alnum(s.p[i]) && !(s.p[i] && strchr(punctuation, s.p[i]))) return false;
    return s.n > 0;
}

static struct str lower(struct arena *a, struct str s) {
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z') p[i] = (char)(p[i] + 32);
    return str_n(p, s.n);
}

/* A comment behind a property begins with white space and # or ;. */
static struct str without_comment(struct str s) {
    for (size_t i = 1; i < s.n; i++)
        if ((s.p[i] == '#' || s.p[i] == ';') && blank(s.p[i - 1])) return str_trim(str_take(s, i));
    return str_trim(s);
}

/* ==== storing ==== */

static void *grown(struct arena *a, const void *old, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return (void *)old;
    *cap = *cap ? *cap * 2 : 8;
    void *p = arena_zalloc(a, *cap * size);
    if (n) memcpy(p, old, n * size);
    return p;
}

static struct profile_property *find_property(const struct profile_section *s, struct str key) {
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->properties[i].key, key)) return &s->properties[i];
    return NULL;
}

static int set_property(struct parser *q, struct str key, struct str value, int line, struct err *e) {
    if (q->target < 0 || !key.n) return 0;
    struct profile_section *s = &q->p->sections[q->target];
    struct profile_property *at = find_property(s, key);
    if (!at) {
        if (s->n == PROPERTIES_MAX)
            return err_set(e, ERR_CONFIG, "%s:%d: a section has more than 1000 properties", q->file, line);
        s->properties = grown(q->a, s->properties, s->n, &s->cap, sizeof *s->properties);
        at = &s->properties[s->n++];
    }
    *at = (struct profile_property){key, arena_str(q->a, value), q->file, line};
    return 0;
}

static int flush(struct parser *q, struct err *e) {
    int rc = 0;
    if (q->open) rc = buf_check(&q->value, "a value", e) ? err_wrap(e, "%s:%d", q->file, q->key_line) : 0;
    if (q->open && !rc) rc = set_property(q, q->key, buf_view(&q->value), q->key_line, e);
    if (q->value.p) explicit_bzero(q->value.p, q->value.cap);
    buf_clear(&q->value);
    q->open = false;
    return rc;
}

/* ==== lines ==== */

static ptrdiff_t section_index(const struct profiles *p, enum profile_kind kind, struct str name) {
    for (size_t i = 0; i < p->n; i++)
        if (p->sections[i].kind == kind && str_eq(p->sections[i].name, name)) return (ptrdiff_t)i;
    return -1;
}

static int enter_section(struct parser *q, enum profile_kind kind, struct str name, bool prefixed, struct err *e) {
    ptrdiff_t i = section_index(q->p, kind, name);
    if (i < 0) {
        struct profiles *p = q->p;
        if (p->n == SECTIONS_MAX) return fail(q, "more than 10000 sections", e);
        p->sections = grown(q->a, p->sections, p->n, &p->cap, sizeof *p->sections);
        i = (ptrdiff_t)p->n++;
        p->sections[i] = (struct profile_section){
            .kind = kind, .name = arena_str(q->a, name), .file = q->file, .line = q->line, .prefixed = prefixed};
    }
    struct profile_section *s = &q->p->sections[i];
    q->target = kind == PROFILE_IGNORED ? -1 : i;
    if (!q->is_config || kind != PROFILE_PROFILE || !str_is(name, "default")) return 0;
    if (prefixed && !s->prefixed) {
        s->n = 0;
        s->prefixed = true;
    }
    if (!prefixed && s->prefixed) q->target = -1;
    return 0;
}

/* The name within its quotes, if it has any. Empty: no name. */
static struct str section_name(struct str s) {
    char quote = s.n ? s.p[0] : '\0';
    if (quote != '"' && quote != '\'') return all_in(s, "-/.%@_:+") ? s : STR_NONE;
    if (s.n < 3 || str_chr(s, quote, 1) != (ptrdiff_t)s.n - 1) return STR_NONE;
    return str_n(s.p + 1, s.n - 2);
}

static enum profile_kind kind_of(struct parser *q, struct str inner, struct str *ret_name, bool *ret_prefixed) {
    static const char *const words[] = {"profile", "sso-session", "services"};
    size_t n = 0;
    *ret_name = section_name(inner);
    *ret_prefixed = false;
    if (!q->is_config) return ret_name->n ? PROFILE_PROFILE : PROFILE_IGNORED;
    if (str_is(*ret_name, "default")) return PROFILE_PROFILE;
    while (n < inner.n && !blank(inner.p[n])) n++;
    *ret_name = section_name(str_trim(str_from(inner, n)));
    *ret_prefixed = true;
    for (int i = 0; i < 3 && ret_name->n; i++)
        if (str_is(str_take(inner, n), words[i])) return (enum profile_kind)i;
    return PROFILE_IGNORED;
}

static int header_line(struct parser *q, struct str s, struct err *e) {
    size_t end = 1;
    char quote = '\0';
    for (; end < s.n && (quote || s.p[end] != ']'); end++) {
        if (quote ? s.p[end] == quote : s.p[end] == '"' || s.p[end] == '\'') quote = quote ? '\0' : s.p[end];
    }
    if (end >= s.n) return fail(q, quote ? "a quote is not closed" : "a section must end with ']'", e);
    struct str rest = str_trim(str_from(s, end + 1)), inner = str_trim(str_n(s.p + 1, end - 1)), name;
    if (rest.n && rest.p[0] != '#' && rest.p[0] != ';') return fail(q, "only a comment may follow the ']'", e);
    if (!inner.n) return fail(q, "a section without a name", e);
    bool prefixed;
    enum profile_kind kind = kind_of(q, inner, &name, &prefixed);
    q->in_section = true;
    return enter_section(q, kind, kind == PROFILE_IGNORED ? inner : name, prefixed, e);
}

static int split(struct parser *q, struct str s, const char *what, struct str *ret_key, struct str *ret_value,
                 struct err *e) {
    ptrdiff_t eq = str_chr(s, '=', 0);
    if (eq < 0)
        return err_set(e, ERR_CONFIG, "%s:%d: a '=' is missing: %s is written name = value", q->file, q->line, what);
    *ret_key = str_trim(str_take(s, (size_t)eq));
    *ret_value = str_trim(str_from(s, (size_t)eq + 1));
    return ret_key->n ? 0 : err_set(e, ERR_CONFIG, "%s:%d: %s without a name", q->file, q->line, what);
}

static int property_line(struct parser *q, struct str s, struct err *e) {
    struct str key, value;
    if (!q->in_section) return fail(q, "a property outside of any section; a file begins with one, as [default]", e);
    if (split(q, without_comment(s), "a property", &key, &value, e)) return -1;
    q->open = true;
    q->nested = !value.n;
    q->key = all_in(key, "-_") ? lower(q->a, key) : STR_NONE;
    q->key_line = q->line;
    buf_str(&q->value, value);
    return 0;
}

static int nested_line(struct parser *q, struct str s, struct err *e) {
    struct str key, value;
    if (split(q, without_comment(s), "a nested property", &key, &value, e)) return -1;
    if (!q->key.n || !all_in(key, "-_")) return 0;
    struct str name = lower(q->a, arena_printf(q->a, "%.*s.%.*s", STR_ARG(q->key), STR_ARG(key)));
    return set_property(q, name, value, q->line, e);
}

static int continued_line(struct parser *q, struct str s, struct err *e) {
    if (!q->in_section) return fail(q, "a property outside of any section; a file begins with one, as [default]", e);
    if (!q->open) return fail(q, "an indented line continues a property, but there is none before it", e);
    if (q->nested) return nested_line(q, s, e);
    buf_byte(&q->value, '\n');
    buf_str(&q->value, s);
    return 0;
}

static int take_line(struct parser *q, struct str raw, struct err *e) {
    if (raw.n && raw.p[raw.n - 1] == '\r') raw.n--;
    for (size_t i = 0; i < raw.n; i++)
        if ((unsigned char)raw.p[i] < 0x20 && raw.p[i] != '\t') return fail(q, "holds a control character", e);
    struct str s = str_trim(raw);
    if (!s.n || s.p[0] == '#' || s.p[0] == ';') return 0;
    if (blank(raw.p[0])) return continued_line(q, s, e);
    if (flush(q, e)) return -1;
    return s.p[0] == '[' ? header_line(q, s, e) : property_line(q, s, e);
}

int profiles_parse(struct profiles *p, struct arena *a, struct str text, const char *file, bool is_config,
                   struct err *e) {
    struct parser q = {.p = p,
                       .a = a,
                       .file = arena_cstr(a, str_c(file)),
                       .is_config = is_config,
                       .target = -1,
                       .value = BUF_MAX(VALUE_MAX)};
    int rc = 0;
    if (str_starts(text, STR("\xef\xbb\xbf"))) text = str_from(text, 3);
    while (text.p && !rc) {
        q.line++;
        rc = take_line(&q, str_cut(&text, '\n'), e);
    }
    if (!rc) rc = flush(&q, e);
    if (q.value.p) explicit_bzero(q.value.p, q.value.cap);
    buf_free(&q.value);
    return rc;
}

static int read_one(struct profiles *p, struct arena *a, const char *file, bool is_config, bool *ret_found,
                    struct err *e) {
    struct buf text = BUF_MAX(FILE_MAX);
    int rc = -1;
    *ret_found = false;
    if (!file || (access(file, F_OK) && (errno == ENOENT || errno == ENOTDIR))) return 0;
    if (fs_read(file, &text, e)) {
        e->code = ERR_CONFIG;
        goto out;
    }
    *ret_found = true;
    rc = profiles_parse(p, a, buf_view(&text), file, is_config, e);
out:
    if (text.p) explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return rc;
}

int profiles_read(struct profiles *p, struct arena *a, const char *config_file, const char *credentials_file,
                  struct err *e) {
    p->config_file = config_file ? arena_cstr(a, str_c(config_file)) : NULL;
    p->credentials_file = credentials_file ? arena_cstr(a, str_c(credentials_file)) : NULL;
    if (read_one(p, a, p->config_file, true, &p->config_found, e)) return -1;
    return read_one(p, a, p->credentials_file, false, &p->credentials_found, e);
}

void profiles_wipe(struct profiles *p) {
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->sections[i].n; k++) {
            struct str v = p->sections[i].properties[k].value;
            if (v.n) explicit_bzero((char *)v.p, v.n);
        }
}

const struct profile_section *profiles_find(const struct profiles *p, enum profile_kind kind, struct str name) {
    ptrdiff_t i = section_index(p, kind, name);
    return i < 0 ? NULL : &p->sections[i];
}

const struct profile_property *profile_property(const struct profile_section *s, const char *key) {
    return s ? find_property(s, str_c(key)) : NULL;
}

struct str profile_value(const struct profile_section *s, const char *key) {
    const struct profile_property *p = profile_property(s, key);
    return p && p->value.n ? p->value : STR_NONE;
}
