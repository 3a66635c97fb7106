#include "base/elf.h"
#include <elf.h>
#include <string.h>

enum { NEEDED_MAX = 1024 };

bool elf_is(struct str file) {
    return str_starts(file, str_n(ELFMAG, SELFMAG));
}

/* Copies: the file is not aligned. */
static bool take(struct str file, uint64_t at, void *to, size_t n) {
    if (at > file.n || n > file.n - at) return false;
    memcpy(to, file.p + at, n);
    return true;
}

static struct str part(struct str file, uint64_t at, uint64_t n) {
    if (at > file.n || n > file.n - at) return STR_NONE;
    return str_n(file.p + at, n);
}

/* The NUL-ended text at `at` of s; none: not ended. */
static struct str text_at(struct str s, uint64_t at) {
    const char *end = at < s.n ? memchr(s.p + at, 0, s.n - at) : NULL;
    return end ? str_n(s.p + at, (size_t)(end - s.p) - at) : STR_NONE;
}

struct reader {
    struct str file;
    Elf64_Ehdr head;
    struct str dynamic; /* Elf64_Dyn[] */
};

static bool segment(const struct reader *r, size_t i, Elf64_Phdr *ret) {
    return take(r->file, r->head.e_phoff + i * sizeof *ret, ret, sizeof *ret);
}

/* An address of the running program as a place in its file. */
static bool offset_of(const struct reader *r, uint64_t address, uint64_t *ret) {
    Elf64_Phdr p;
    for (size_t i = 0; i < r->head.e_phnum && segment(r, i, &p); i++)
        if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz) {
            *ret = p.p_offset + (address - p.p_vaddr);
            return true;
        }
    return false;
}

static bool entry(const struct reader *r, size_t i, Elf64_Dyn *ret) {
    return take(r->dynamic, i * sizeof *ret, ret, sizeof *ret) && ret->d_tag != DT_NULL;
}

static uint64_t value_of(const struct reader *r, int64_t tag) {
    Elf64_Dyn d;
    for (size_t i = 0; entry(r, i, &d); i++)
        if (d.d_tag == tag) return d.d_un.d_val;
    return 0;
}

static int read_needed(const struct reader *r, struct arena *a, struct elf *ret, struct err *e) {
    Elf64_Dyn d;
    size_t n = 0;
    uint64_t at = 0;
    for (size_t i = 0; entry(r, i, &d); i++) n += d.d_tag == DT_NEEDED;
    if (!n) return 0;
    if (n > NEEDED_MAX) return err_set(e, ERR_CONFIG, "it names more than %d libraries", NEEDED_MAX);
    if (!offset_of(r, value_of(r, DT_STRTAB), &at)) return err_set(e, ERR_CONFIG, "its table of names is missing");
    struct str names = part(r->file, at, value_of(r, DT_STRSZ));
    ret->needed = ARENA_ARRAY(a, struct str, n);
    for (size_t i = 0; entry(r, i, &d); i++) {
        if (d.d_tag != DT_NEEDED) continue;
        struct str name = text_at(names, d.d_un.d_val);
        if (!name.n) return err_set(e, ERR_CONFIG, "a library's name lies outside its table of names");
        ret->needed[ret->n_needed++] = name;
    }
    return 0;
}

int elf_read(struct arena *a, struct str file, struct elf *ret, struct err *e) {
    struct reader r = {.file = file};
    Elf64_Phdr p;
    *ret = (struct elf){.machine = "another machine"};
    if (!take(file, 0, &r.head, sizeof r.head) || !elf_is(file)) return err_set(e, ERR_CONFIG, "it is no ELF file");
    if (r.head.e_ident[EI_CLASS] != ELFCLASS64 || r.head.e_ident[EI_DATA] != ELFDATA2LSB)
        return err_set(e, ERR_CONFIG, "it is no ELF file of 64 bits, little endian");
    if (r.head.e_machine == EM_X86_64) ret->machine = "x86_64";
    if (r.head.e_machine == EM_AARCH64) ret->machine = "arm64";
    for (size_t i = 0; i < r.head.e_phnum; i++) {
        if (!segment(&r, i, &p)) return err_set(e, ERR_CONFIG, "its list of segments is cut off");
        if (p.p_type == PT_INTERP) ret->interpreter = text_at(part(file, p.p_offset, p.p_filesz), 0);
        if (p.p_type == PT_DYNAMIC) r.dynamic = part(file, p.p_offset, p.p_filesz);
    }
    return read_needed(&r, a, ret, e);
}
