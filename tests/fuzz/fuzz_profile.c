#include "remote/profile.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was read can be found again, and holds no control character but the line ends of continued values. */
static void check(const struct profiles *p) {
    for (size_t i = 0; i < p->n; i++) {
        const struct profile_section *s = &p->sections[i];
        if (profiles_find(p, s->kind, s->name) != s || !s->name.n || !s->line || !s->file) abort();
        for (size_t k = 0; k < s->n; k++) {
            const struct profile_property *at = &s->properties[k];
            if (profile_property(s, at->key.p) != at || !at->line || strlen(at->value.p) != at->value.n) abort();
            for (size_t c = 0; c < at->value.n; c++)
                if ((unsigned char)at->value.p[c] < 0x20 && !strchr("\n\t", at->value.p[c])) abort();
        }
    }
}

/* The text before the first NUL byte is the config file, what follows the credentials file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct profiles p = {0};
    struct err e = {0};
    struct str credentials = str_n((const char *)data, n), config = str_cut(&credentials, '\0');
    int rc = profiles_parse(&p, &a, config, "config", true, &e);
    if (!rc) rc = profiles_parse(&p, &a, credentials, "credentials", false, &e);
    if (rc && strncmp(e.msg, "config:", 7) != 0 && strncmp(e.msg, "credentials:", 12) != 0) abort();
    check(&p);
    profiles_wipe(&p);
    arena_free(&a);
    return 0;
}
