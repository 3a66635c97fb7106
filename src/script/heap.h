/* heap (private to script/): memory of one Lua state. Small blocks come from lists by size in one region, without
 * malloc's bookkeeping; what does not fit there, and all larger blocks, from malloc. Not for several threads. */
#ifndef PERIGEE_SCRIPT_HEAP_H
#define PERIGEE_SCRIPT_HEAP_H
#include <stdbool.h>
#include <stddef.h>

enum { HEAP_STEP = 16, HEAP_BLOCK_MAX = 512, HEAP_BYTES = 16 << 20 };

struct heap {
    char *region; /* HEAP_BYTES, of which the system backs what was used; NULL: all comes from malloc */
    size_t used;
    void *free[HEAP_BLOCK_MAX / HEAP_STEP];
};

void heap_open(struct heap *h);
void heap_close(struct heap *h);
/* As lua_Alloc: old is the size of `block`, 0 when that is NULL; size 0 frees. Shrinking never fails. */
void *heap_resize(struct heap *h, void *block, size_t old, size_t size);

#endif
