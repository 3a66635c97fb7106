/* elf: what a program or shared object for Linux says of itself (System V gABI, chapters 4 and 5; 64 bit, little
 * endian). Pure; every offset of the file is checked. */
#ifndef PERIGEE_BASE_ELF_H
#define PERIGEE_BASE_ELF_H
#include "base/arena.h"
#include "base/err.h"

struct elf {
    const char *machine;    /* "x86_64", "arm64", "another machine" */
    struct str interpreter; /* empty: none */
    struct str *needed;     /* sonames */
    size_t n_needed;
};
bool elf_is(struct str file); /* begins like one */
/* Views of `file`; the array is the arena's. */
int elf_read(struct arena *a, struct str file, struct elf *ret, struct err *e);

#endif
