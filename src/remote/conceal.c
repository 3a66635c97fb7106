/* What services and proxies quote of a request must not reach logs: session tokens and signatures in error messages. */
#include "remote/internal.h"
#include <string.h>

enum { TOLD = 8 }; /* so much of a secret at the end of a text that was cut may stand */

static size_t common(const char *a, const char *b, size_t n) {
    size_t i = 0;
    while (i < n && a[i] && a[i] == b[i]) i++;
    return i;
}

/* Takes n bytes out of the text at p and puts "***" there; n > 3. */
static char *blot(char *p, size_t n) {
    memcpy(p, "***", 3);
    memmove(p + 3, p + n, strlen(p + n) + 1);
    return p + 3;
}

static void conceal_secret(char *text, struct str secret) {
    if (secret.n < TOLD) return;
    for (char *p = text; (p = strchr(p, secret.p[0]));) {
        size_t n = common(p, secret.p, secret.n);
        bool cut = n >= TOLD && !p[n];
        p = n == secret.n || cut ? blot(p, n) : p + 1;
    }
}

static void conceal_signatures(char *text) {
    static const char name[] = "Signature=";
    for (char *p = text; (p = strstr(p, name));) {
        p += sizeof name - 1;
        size_t n = strspn(p, "0123456789abcdefABCDEF");
        if (n >= TOLD) p = blot(p, n);
    }
}

void conceal(char *text, const struct credentials *c) {
    conceal_secret(text, c->session_token);
    conceal_secret(text, c->secret_key);
    conceal_signatures(text);
}
