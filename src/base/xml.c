#include "base/xml.h"
#include "base/lazy.h"
#include <expat.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

LAZY_LIBRARY(libexpat, "libexpat.so.1", "reading XML");
LAZY(libexpat, XML_Parser, XML_ParserCreate, (const XML_Char *encoding), (encoding))
LAZY(libexpat, void, XML_ParserFree, (XML_Parser p), (p))
LAZY(libexpat, void, XML_SetUserData, (XML_Parser p, void *ud), (p, ud))
LAZY(libexpat, void, XML_SetElementHandler, (XML_Parser p, XML_StartElementHandler start, XML_EndElementHandler end),
     (p, start, end))
LAZY(libexpat, void, XML_SetCharacterDataHandler, (XML_Parser p, XML_CharacterDataHandler fn), (p, fn))
LAZY(libexpat, void, XML_SetStartDoctypeDeclHandler, (XML_Parser p, XML_StartDoctypeDeclHandler fn), (p, fn))
LAZY(libexpat, enum XML_Status, XML_Parse, (XML_Parser p, const char *text, int n, int is_final),
     (p, text, n, is_final))
LAZY(libexpat, enum XML_Status, XML_StopParser, (XML_Parser p, XML_Bool resumable), (p, resumable))
LAZY(libexpat, enum XML_Error, XML_GetErrorCode, (XML_Parser p), (p))
LAZY(libexpat, const XML_LChar *, XML_ErrorString, (enum XML_Error code), (code))
LAZY(libexpat, XML_Size, XML_GetCurrentLineNumber, (XML_Parser p), (p))
LAZY(libexpat, XML_Size, XML_GetCurrentColumnNumber, (XML_Parser p), (p))

enum { MAX_DEPTH = 64, MAX_ELEMENTS = 100000, MAX_TEXT = 1 << 30 };

struct open_element {
    struct xml *x;
    struct xml **next; /* where the next child goes */
    struct buf text;   /* its memory is kept for the next element at this depth */
};

struct parsing {
    XML_Parser parser;
    struct arena *a;
    struct xml *root;
    struct open_element open[MAX_DEPTH];
    unsigned depth, elements; /* attributes count as elements */
    struct err *e;
    bool failed;
};

static void fail(struct parsing *p, const char *what) {
    if (p->failed) return;
    p->failed = true;
    err_set(p->e, ERR_SYNTAX, "%s at line %lu column %lu", what, (unsigned long)XML_GetCurrentLineNumber(p->parser),
            (unsigned long)XML_GetCurrentColumnNumber(p->parser) + 1);
    XML_StopParser(p->parser, XML_FALSE);
}

static struct str local_name(struct arena *a, const char *name) {
    const char *colon = strrchr(name, ':');
    return arena_str(a, str_c(colon && colon[1] ? colon + 1 : name));
}

static bool is_namespace(const char *name) {
    return strncmp(name, "xmlns", 5) == 0 && (!name[5] || name[5] == ':');
}

/* == expat's handlers: after XML_StopParser some may still be called ================================================
 */

static void add_attributes(struct parsing *p, struct xml *x, const XML_Char **attributes) {
    size_t n = 0;
    for (const XML_Char **at = attributes; *at; at += 2) n += !is_namespace(at[0]);
    if (!n) return;
    if ((p->elements += (unsigned)n) > MAX_ELEMENTS) {
        fail(p, "more than 100000 elements and attributes");
        return;
    }
    struct xml_attribute *list = ARENA_ARRAY(p->a, struct xml_attribute, n);
    for (const XML_Char **at = attributes; *at; at += 2)
        if (!is_namespace(at[0]))
            list[x->n_attributes++] = (struct xml_attribute){local_name(p->a, at[0]), arena_str(p->a, str_c(at[1]))};
    x->attributes = list;
}

static void XMLCALL on_start(void *ud, const XML_Char *name, const XML_Char **attributes) {
    struct parsing *p = ud;
    if (p->failed) return;
    if (p->depth == MAX_DEPTH) {
        fail(p, "elements nested more than 64 deep");
        return;
    }
    if (++p->elements > MAX_ELEMENTS) {
        fail(p, "more than 100000 elements and attributes");
        return;
    }
    struct xml *x = ARENA_NEW(p->a, struct xml);
    struct open_element *o = &p->open[p->depth];
    x->name = local_name(p->a, name);
    if (p->depth) {
        *p->open[p->depth - 1].next = x;
        p->open[p->depth - 1].next = &x->next;
    } else {
        p->root = x;
    }
    o->x = x;
    o->next = &x->first;
    buf_clear(&o->text);
    p->depth++;
    add_attributes(p, x, attributes);
}

static void XMLCALL on_end(void *ud, const XML_Char *name) {
    struct parsing *p = ud;
    (void)name;
    if (p->failed) return;
    struct open_element *o = &p->open[--p->depth];
    struct str text = buf_view(&o->text);
    if (o->x->first) text = str_trim(text);
    o->x->text = text.n ? arena_str(p->a, text) : STR("");
}

static void XMLCALL on_text(void *ud, const XML_Char *s, int n) {
    struct parsing *p = ud;
    if (!p->failed && p->depth) buf_add(&p->open[p->depth - 1].text, s, (size_t)n);
}

static void XMLCALL on_doctype(void *ud, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id,
                               int has_internal) {
    (void)name, (void)system_id, (void)public_id, (void)has_internal;
    fail(ud, "a DOCTYPE, which is refused,");
}

/* == parsing ========================================================================================================
 */

int xml_load(struct err *e) {
    return lazy_load(&libexpat, e);
}

int xml_parse(struct arena *a, struct str text, struct xml **ret, struct err *e) {
    if (text.n > MAX_TEXT) return err_set(e, ERR_TOO_LARGE, "an XML document of %zu bytes is too large", text.n);
    if (xml_load(e)) return -1;
    struct parsing *p = calloc(1, sizeof *p);
    if (!p || !(p->parser = XML_ParserCreate(NULL))) fatal("out of memory");
    p->a = a;
    p->e = e;
    for (int i = 0; i < MAX_DEPTH; i++) buf_init(&p->open[i].text, SIZE_MAX / 2);
    XML_SetUserData(p->parser, p);
    XML_SetElementHandler(p->parser, on_start, on_end);
    XML_SetCharacterDataHandler(p->parser, on_text);
    XML_SetStartDoctypeDeclHandler(p->parser, on_doctype);
    if (XML_Parse(p->parser, text.n ? text.p : "", (int)text.n, XML_TRUE) != XML_STATUS_OK) {
        enum XML_Error code = XML_GetErrorCode(p->parser);
        if (code == XML_ERROR_NO_MEMORY) fatal("out of memory");
        fail(p, XML_ErrorString(code));
    }
    if (!p->failed) *ret = p->root;
    int rc = p->failed ? -1 : 0;
    for (int i = 0; i < MAX_DEPTH; i++) buf_free(&p->open[i].text);
    XML_ParserFree(p->parser);
    free(p);
    return rc;
}

const struct xml *xml_child(const struct xml *x, const char *name) {
    for (const struct xml *c = x ? x->first : NULL; c; c = c->next)
        if (str_is(c->name, name)) return c;
    return NULL;
}

struct str xml_text(const struct xml *x, const char *child) {
    const struct xml *c = xml_child(x, child);
    return c ? c->text : STR_NONE;
}

/* == writing ========================================================================================================
 */

static const char *escaped(unsigned char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\t':
        return "&#9;";
    case '\n':
        return "&#10;";
    case '\r':
        return "&#13;";
    default:
        return c < 0x20 ? "\xEF\xBF\xBD" : NULL;
    }
}

/* U+FFFE and U+FFFF are no characters of XML. */
static bool is_nonchar(struct str s, size_t i) {
    return i + 2 < s.n && memcmp(s.p + i, "\xEF\xBF", 2) == 0 && (unsigned char)s.p[i + 2] >= 0xBE;
}

static void escape_utf8(struct buf *b, struct str s) {
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool nonchar = is_nonchar(s, i);
        const char *with = nonchar ? "\xEF\xBF\xBD" : escaped((unsigned char)s.p[i]);
        if (!with) continue;
        buf_add(b, s.p + from, i - from);
        buf_c(b, with);
        if (nonchar) i += 2;
        from = i + 1;
    }
    buf_add(b, s.p + from, s.n - from);
}

void xml_escape(struct buf *b, struct str text) {
    ptrdiff_t bad;
    while ((bad = str_bad_utf8(text)) >= 0) { /* a byte that is no UTF-8 becomes U+FFFD too */
        escape_utf8(b, str_take(text, (size_t)bad));
        buf_c(b, "\xEF\xBF\xBD");
        text = str_from(text, (size_t)bad + 1);
    }
    escape_utf8(b, text);
}
