#include "base/yaml.h"
#include "base/lazy.h"
#include "base/map.h"
#include <string.h>
#include <yaml.h>

LAZY_LIBRARY(libyaml, "libyaml-0.so.2", "reading YAML");
LAZY(libyaml, int, yaml_parser_initialize, (yaml_parser_t * p), (p))
LAZY(libyaml, void, yaml_parser_delete, (yaml_parser_t * p), (p))
LAZY(libyaml, void, yaml_parser_set_input_string, (yaml_parser_t * p, const unsigned char *text, size_t n),
     (p, text, n))
LAZY(libyaml, void, yaml_parser_set_encoding, (yaml_parser_t * p, yaml_encoding_t encoding), (p, encoding))
LAZY(libyaml, int, yaml_parser_parse, (yaml_parser_t * p, yaml_event_t *ev), (p, ev))
LAZY(libyaml, void, yaml_event_delete, (yaml_event_t * ev), (ev))

enum { DEPTH_MAX = 64, NODES_MAX = 200000 };

struct reader {
    struct arena *a;
    const char *file;
    struct str text;
    yaml_parser_t parser;
    struct map anchors; /* name -> struct yaml */
    size_t nodes;       /* aliases count what they stand for, so that a "billion laughs" document ends early */
    int depth;
    struct err *e;
};

/* Nodes of an open collection. */
struct nodes {
    struct yaml **p;
    size_t n, cap;
};

static int node(struct reader *r, yaml_event_t *ev, struct yaml **ret);

static int line_of(const yaml_event_t *ev) {
    return (int)ev->start_mark.line + 1;
}

static size_t line_at(struct str text, size_t pos) {
    size_t line = 1;
    for (size_t i = 0; i < pos && i < text.n; i++) line += text.p[i] == '\n';
    return line;
}

static int fail_parser(struct reader *r) {
    const yaml_parser_t *p = &r->parser;
    const char *what = p->problem ? p->problem : "malformed YAML";
    size_t line = p->problem_mark.line + 1;
    if (p->error == YAML_READER_ERROR)
        return err_set(r->e, ERR_SYNTAX, "%s:%zu: %s", r->file, line_at(r->text, p->problem_offset), what);
    return err_set(r->e, ERR_SYNTAX, "%s:%zu: %s%s%s", r->file, line, p->context ? p->context : "",
                   p->context ? ": " : "", what);
}

static int next(struct reader *r, yaml_event_t *ev) {
    return yaml_parser_parse(&r->parser, ev) ? 0 : fail_parser(r);
}

static void add(struct reader *r, struct nodes *l, struct yaml *v) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct yaml **grown = ARENA_ARRAY(r->a, struct yaml *, cap);
        if (l->n) memcpy(grown, l->p, l->n * sizeof *grown);
        l->p = grown;
        l->cap = cap;
    }
    l->p[l->n++] = v;
}

static size_t count(const struct yaml *v) {
    size_t n = 1;
    for (size_t i = 0; v->type != YAML_SCALAR && i < v->n && n < NODES_MAX; i++) n += count(v->items[i]);
    return n;
}

static int charge(struct reader *r, size_t n, int line) {
    if (n > NODES_MAX - r->nodes)
        return err_set(r->e, ERR_LIMIT, "%s:%d: the document has more than %d values", r->file, line, NODES_MAX);
    r->nodes += n;
    return 0;
}

static struct str copied(struct reader *r, const yaml_char_t *s) {
    return s ? arena_str(r->a, str_c((const char *)s)) : STR("");
}

/* "tag:yaml.org,2002:str" was written "!!str"; it is kept in the short form. */
static struct str tag_of(struct reader *r, const yaml_char_t *tag) {
    struct str t = copied(r, tag), core = STR("tag:yaml.org,2002:");
    if (str_is(t, "!")) return STR("");
    return str_starts(t, core) ? arena_printf(r->a, "!!%s", t.p + core.n) : t;
}

/* ==== mappings ==== */

static bool has_key(const struct nodes *keys, struct map *seen, struct str key) {
    for (size_t i = seen->n; i < keys->n; i++) map_put(seen, keys->p[i]->text, keys->p[i]);
    return map_get(seen, key) != NULL;
}

/* YAML 1.1 merge type: keys that are there already win. */
static int merge(struct reader *r, const struct yaml *from, struct nodes *keys, struct nodes *items, struct map *seen) {
    if (from->type == YAML_SEQ) {
        for (size_t i = 0; i < from->n; i++)
            if (merge(r, from->items[i], keys, items, seen)) return -1;
        return 0;
    }
    if (from->type != YAML_MAP) return err_set(r->e, ERR_SYNTAX, "%s:%d: '<<' needs a mapping", r->file, from->line);
    for (size_t i = 0; i < from->n; i++) {
        if (has_key(keys, seen, from->keys[i]->text)) continue;
        add(r, keys, from->keys[i]);
        add(r, items, from->items[i]);
    }
    return 0;
}

static int check_key(struct reader *r, const struct yaml *key, const struct nodes *keys, struct map *seen) {
    if (key->type != YAML_SCALAR) return err_set(r->e, ERR_SYNTAX, "%s:%d: a key must be a scalar", r->file, key->line);
    if (!has_key(keys, seen, key->text)) return 0;
    const struct yaml *first = map_get(seen, key->text);
    return err_set(r->e, ERR_SYNTAX, "%s:%d: duplicate key '%.*s' (first in line %d)", r->file, key->line,
                   STR_ARG(str_take(key->text, 200)), first->line);
}

/* Merges are applied at the end, so that written keys win wherever they stand. */
static int pairs(struct reader *r, struct nodes *keys, struct nodes *items, struct map *seen) {
    struct nodes merges = {0};
    for (;;) {
        yaml_event_t ev;
        struct yaml *key, *item;
        if (next(r, &ev)) return -1;
        if (ev.type == YAML_MAPPING_END_EVENT) break;
        if (node(r, &ev, &key) || check_key(r, key, keys, seen) || next(r, &ev) || node(r, &ev, &item)) return -1;
        if (str_is(key->text, "<<") && !key->quoted) {
            add(r, &merges, item);
        } else {
            add(r, keys, key);
            add(r, items, item);
        }
    }
    for (size_t i = 0; i < merges.n; i++)
        if (merge(r, merges.p[i], keys, items, seen)) return -1;
    return 0;
}

static int mapping(struct reader *r, struct yaml *v) {
    struct nodes keys = {0}, items = {0};
    struct map seen = {0};
    int rc = pairs(r, &keys, &items, &seen);
    map_free(&seen);
    v->type = YAML_MAP;
    v->keys = keys.p;
    v->items = items.p;
    v->n = items.n;
    return rc;
}

/* ==== other nodes ==== */

static int sequence(struct reader *r, struct yaml *v) {
    struct nodes items = {0};
    for (;;) {
        yaml_event_t ev;
        struct yaml *item;
        if (next(r, &ev)) return -1;
        if (ev.type == YAML_SEQUENCE_END_EVENT) break;
        if (node(r, &ev, &item)) return -1;
        add(r, &items, item);
    }
    v->type = YAML_SEQ;
    v->items = items.p;
    v->n = items.n;
    return 0;
}

static int alias(struct reader *r, const yaml_event_t *ev, struct yaml **ret) {
    struct str name = str_c((const char *)ev->data.alias.anchor);
    struct yaml *target = map_get(&r->anchors, name);
    if (!target) return err_set(r->e, ERR_SYNTAX, "%s:%d: unknown alias '*%.*s'", r->file, line_of(ev), STR_ARG(name));
    *ret = target;
    return charge(r, count(target), line_of(ev));
}

static void scalar(struct reader *r, const yaml_event_t *ev, struct yaml *v) {
    v->type = YAML_SCALAR;
    v->text = arena_str(r->a, str_n((const char *)ev->data.scalar.value, ev->data.scalar.length));
    v->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
}

static int collection(struct reader *r, int (*read)(struct reader *, struct yaml *), struct yaml *v) {
    if (r->depth >= DEPTH_MAX)
        return err_set(r->e, ERR_LIMIT, "%s:%d: nested deeper than %d levels", r->file, v->line, DEPTH_MAX);
    r->depth++;
    int rc = read(r, v);
    r->depth--;
    return rc;
}

/* What the event says of its node; the strings are copied, so the event can go before the children are read. */
static int begin(struct reader *r, yaml_event_t *ev, struct yaml *v, struct str *ret_anchor) {
    v->line = line_of(ev);
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        scalar(r, ev, v);
        v->tag = tag_of(r, ev->data.scalar.tag);
        *ret_anchor = copied(r, ev->data.scalar.anchor);
        return 0;
    case YAML_SEQUENCE_START_EVENT:
        v->type = YAML_SEQ;
        v->tag = tag_of(r, ev->data.sequence_start.tag);
        *ret_anchor = copied(r, ev->data.sequence_start.anchor);
        return 0;
    case YAML_MAPPING_START_EVENT:
        v->type = YAML_MAP;
        v->tag = tag_of(r, ev->data.mapping_start.tag);
        *ret_anchor = copied(r, ev->data.mapping_start.anchor);
        return 0;
    default:
        return err_set(r->e, ERR_SYNTAX, "%s:%d: expected a value", r->file, v->line);
    }
}

/* Takes *ev over. An anchor is known only behind its node, so no node can hold itself. */
static int node(struct reader *r, yaml_event_t *ev, struct yaml **ret) {
    struct yaml *v = NULL;
    struct str anchor = STR("");
    int rc;
    if (ev->type == YAML_ALIAS_EVENT) {
        rc = alias(r, ev, ret);
        yaml_event_delete(ev);
        return rc;
    }
    v = ARENA_NEW(r->a, struct yaml);
    rc = begin(r, ev, v, &anchor);
    yaml_event_delete(ev);
    if (rc || charge(r, 1, v->line)) return -1;
    if (v->type != YAML_SCALAR && collection(r, v->type == YAML_MAP ? mapping : sequence, v)) return -1;
    if (anchor.n) map_put(&r->anchors, anchor, v);
    *ret = v;
    return 0;
}

/* ==== document ==== */

static int expect(struct reader *r, yaml_event_type_t type, const char *what) {
    yaml_event_t ev;
    if (next(r, &ev)) return -1;
    bool ok = ev.type == type;
    int line = line_of(&ev);
    yaml_event_delete(&ev);
    return ok ? 0 : err_set(r->e, ERR_SYNTAX, "%s:%d: %s", r->file, line, what);
}

static int document(struct reader *r, struct yaml **ret) {
    yaml_event_t ev;
    if (expect(r, YAML_STREAM_START_EVENT, "no YAML stream")) return -1;
    if (expect(r, YAML_DOCUMENT_START_EVENT, "the document is empty")) return -1;
    if (next(r, &ev) || node(r, &ev, ret)) return -1;
    if (expect(r, YAML_DOCUMENT_END_EVENT, "the document does not end")) return -1;
    return expect(r, YAML_STREAM_END_EVENT, "more than one document");
}

int yaml_parse(struct arena *a, struct str text, const char *file, struct yaml **ret, struct err *e) {
    struct reader r = {.a = a, .file = file, .text = text, .e = e};
    struct yaml *root = NULL;
    if (lazy_load(&libyaml, e)) return -1;
    if (!yaml_parser_initialize(&r.parser)) fatal("out of memory starting the YAML parser");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    int rc = document(&r, &root);
    yaml_parser_delete(&r.parser);
    map_free(&r.anchors);
    if (!rc) *ret = root;
    return rc;
}

const struct yaml *yaml_get(const struct yaml *map, const char *key) {
    if (!map || map->type != YAML_MAP) return NULL;
    for (size_t i = 0; i < map->n; i++)
        if (str_is(map->keys[i]->text, key)) return map->items[i];
    return NULL;
}
