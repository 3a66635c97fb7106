/* map: string keys to pointers, open addressing, iteration in insertion order. Keys are borrowed. */
#ifndef PERIGEE_BASE_MAP_H
#define PERIGEE_BASE_MAP_H
#include "base/str.h"

struct map_slot {
    struct str key;
    void *value;
};
struct map {
    struct map_slot *slots; /* insertion order, n of them; removed ones have key.p == NULL */
    uint32_t *index;
    size_t n, live, cap, index_cap;
};
void *map_get(const struct map *m, struct str key);
void *map_put(struct map *m, struct str key, void *value); /* returns the value replaced, or NULL */
void *map_del(struct map *m, struct str key);              /* returns the value removed, or NULL */
void map_free(struct map *m);

#endif
