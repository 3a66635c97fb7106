#include "base/map.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>

enum { EMPTY = 0, FIRST_CAP = 8 }; /* index[i]: slot number + 1, or EMPTY; removed slots stay until the next rebuild */

static void *grown(void *p, size_t n, size_t size) {
    void *q = realloc(p, n * size);
    if (!q) fatal("out of memory growing a map to %zu slots", n);
    return q;
}

static void compact(struct map *m) {
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->slots[i].key.p) m->slots[n++] = m->slots[i];
    m->n = n;
}

static void rebuild(struct map *m) {
    compact(m);
    size_t cap = FIRST_CAP;
    while (cap < m->live * 2) cap *= 2;
    if (cap != m->cap) {
        m->slots = grown(m->slots, cap, sizeof *m->slots);
        m->index = grown(m->index, cap * 2, sizeof *m->index);
        m->cap = cap;
        m->index_cap = cap * 2;
    }
    memset(m->index, 0, m->index_cap * sizeof *m->index);
    for (size_t i = 0; i < m->n; i++) {
        size_t at = str_hash(m->slots[i].key) & (m->index_cap - 1);
        while (m->index[at] != EMPTY) at = (at + 1) & (m->index_cap - 1);
        m->index[at] = (uint32_t)i + 1;
    }
}

static struct map_slot *find(const struct map *m, struct str key, size_t *ret_at) {
    if (!m->index_cap) return NULL;
    size_t at = str_hash(key) & (m->index_cap - 1);
    for (; m->index[at] != EMPTY; at = (at + 1) & (m->index_cap - 1)) {
        struct map_slot *s = &m->slots[m->index[at] - 1];
        if (s->key.p && str_eq(s->key, key)) return s;
    }
    if (ret_at) *ret_at = at;
    return NULL;
}

void *map_get(const struct map *m, struct str key) {
    struct map_slot *s = find(m, key, NULL);
    return s ? s->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value) {
    if (!key.p) key = STR(""); /* NULL marks removed slots */
    size_t at = 0;
    struct map_slot *s = find(m, key, &at);
    if (s) {
        void *old = s->value;
        s->value = value;
        return old;
    }
    if (m->n == m->cap) {
        rebuild(m);
        find(m, key, &at);
    }
    m->slots[m->n++] = (struct map_slot){key, value};
    m->index[at] = (uint32_t)m->n;
    m->live++;
    return NULL;
}

void *map_del(struct map *m, struct str key) {
    struct map_slot *s = find(m, key, NULL);
    if (!s) return NULL;
    void *old = s->value;
    *s = (struct map_slot){0};
    m->live--;
    return old;
}

void map_free(struct map *m) {
    free(m->slots);
    free(m->index);
    *m = (struct map){0};
}
