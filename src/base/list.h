/* list: intrusive doubly linked list with a sentinel. */
#ifndef PERIGEE_BASE_LIST_H
#define PERIGEE_BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};
#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
static inline void list_init(struct list *l) {
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l) {
    return l->next == l;
}
static inline void list_add(struct list *head, struct list *node) { /* at the end */
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void list_del(struct list *node) { /* harmless on a node in no list (initialised) */
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline struct list *list_pop(struct list *head) { /* first, or NULL */
    struct list *n = head->next;
    if (n == head) return NULL;
    list_del(n);
    return n;
}

#endif
