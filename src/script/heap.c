#include "script/heap.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Where the compiler watches each block, each must be malloc's own. */
#if defined(__SANITIZE_ADDRESS__)
enum { WATCHED = 1 };
#else
enum { WATCHED = 0 };
#endif

void heap_open(struct heap *h) {
    *h = (struct heap){.region = WATCHED ? NULL : malloc(HEAP_BYTES)};
}

void heap_close(struct heap *h) {
    free(h->region);
    *h = (struct heap){0};
}

static size_t class_of(size_t size) {
    return (size - 1) / HEAP_STEP;
}

static void *take(struct heap *h, size_t size) {
    if (size > HEAP_BLOCK_MAX) return malloc(size);
    size_t class = class_of(size), whole = (class + 1) * HEAP_STEP;
    void *block = h->free[class];
    if (block) {
        memcpy(&h->free[class], block, sizeof block); /* the next one's address is in it */
        return block;
    }
    if (!h->region || whole > HEAP_BYTES - h->used) return malloc(size);
    block = h->region + h->used;
    h->used += whole;
    return block;
}

static bool is_ours(const struct heap *h, const void *block) {
    return h->region && (uintptr_t)block - (uintptr_t)h->region < HEAP_BYTES;
}

static void give(struct heap *h, void *block, size_t size) {
    if (size > HEAP_BLOCK_MAX || !is_ours(h, block)) {
        free(block);
        return;
    }
    memcpy(block, &h->free[class_of(size)], sizeof block);
    h->free[class_of(size)] = block;
}

static void *move(struct heap *h, void *block, size_t old, size_t size) {
    void *moved = take(h, size);
    if (!moved) return size <= old ? block : NULL;
    memcpy(moved, block, old < size ? old : size);
    give(h, block, old);
    return moved;
}

void *heap_resize(struct heap *h, void *block, size_t old, size_t size) {
    if (!size) {
        if (block) give(h, block, old);
        return NULL;
    }
    if (!block) return take(h, size);
    if (is_ours(h, block)) return class_of(old) == class_of(size) ? block : move(h, block, old, size);
    if (size <= HEAP_BLOCK_MAX && old > HEAP_BLOCK_MAX) return move(h, block, old, size);
    void *q = realloc(block, size);
    return !q && size <= old ? block : q;
}
