/* Any bytes parse or fail; a tree that was parsed comes back the same when its texts are escaped and parsed again. */
#include "base/xml.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void write_tree(struct buf *b, const struct xml *x) {
    buf_c(b, "<e>");
    xml_escape(b, x->text);
    for (const struct xml *c = x->first; c; c = c->next) write_tree(b, c);
    buf_c(b, "</e>");
}

static void check_same(const struct xml *x, const struct xml *y) {
    if (!str_eq(x->text, y->text) || str_bad_utf8(x->text) >= 0 || str_bad_utf8(x->name) >= 0) abort();
    const struct xml *d = y->first;
    for (const struct xml *c = x->first; c; c = c->next, d = d->next) {
        if (!d) abort();
        check_same(c, d);
    }
    if (d) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct buf b = BUF_MAX(64 << 20);
    struct err e = {0};
    struct xml *x = NULL, *again = NULL;
    if (!xml_parse(&a, str_n((const char *)data, n), &x, &e)) {
        write_tree(&b, x);
        if (xml_parse(&a, buf_view(&b), &again, &e)) abort();
        check_same(x, again);
        for (size_t i = 0; i < x->n_attributes; i++)
            if (str_bad_utf8(x->attributes[i].value) >= 0) abort();
        xml_text(x, "Code");
    } else if (e.code != ERR_SYNTAX || !e.msg[0]) {
        abort();
    }
    buf_clear(&b);
    xml_escape(&b, str_n((const char *)data, n));
    if (str_bad_utf8(buf_view(&b)) >= 0) abort();
    buf_free(&b);
    arena_free(&a);
    return 0;
}
