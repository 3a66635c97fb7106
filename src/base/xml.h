/* xml: a document as a tree of elements in an arena (libexpat). For answers of AWS's REST-XML and Query services.
 * Namespaces are dropped from names ("ns:Name" and "Name" alike). DTDs and entities of a document's own are refused. */
#ifndef PERIGEE_BASE_XML_H
#define PERIGEE_BASE_XML_H
#include "base/arena.h"
#include "base/buf.h"

struct xml_attribute {
    struct str name, value;
};
struct xml {
    struct str name;
    struct str text; /* character data directly inside, joined; white space of an element with children is dropped */
    const struct xml_attribute *attributes;
    size_t n_attributes;
    struct xml *first, *next; /* children, siblings */
};

int xml_load(struct err *e); /* the library, now; UNAVAILABLE */
/* Errors: ERR_SYNTAX "... at line L column C", depth over 64, more than 100,000 elements and attributes. The text is
 * not referred to afterwards. */
int xml_parse(struct arena *a, struct str text, struct xml **ret, struct err *e);
/* First child of that name, or NULL; accepts NULL. */
const struct xml *xml_child(const struct xml *x, const char *name);
struct str xml_text(const struct xml *x, const char *child); /* of that child, or STR_NONE */
/* Appends text with & < > " ' and control characters escaped (XML 1.0 has none of the latter but TAB, LF, CR: others
 * become U+FFFD). */
void xml_escape(struct buf *b, struct str text);

#endif
