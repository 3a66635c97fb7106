/* yaml: a YAML 1.1 document (libyaml) as a tree with source lines, for templates. Merge keys and anchors/aliases
 * are followed; duplicate keys are errors. Only yaml.c includes yaml.h of libyaml. */
#ifndef PERIGEE_BASE_YAML_H
#define PERIGEE_BASE_YAML_H
#include "base/arena.h"
#include "base/err.h"

enum yaml_type { YAML_SCALAR, YAML_SEQ, YAML_MAP };

struct yaml {
    enum yaml_type type;
    int line;        /* 1-based, where the value starts */
    struct str tag;  /* "!Ref", "!GetAtt", ...; empty when none was written */
    bool quoted;     /* scalar in quotes or block style: always a string */
    struct str text; /* YAML_SCALAR */
    struct yaml **items;
    struct yaml **keys; /* YAML_MAP: keys[i] is a scalar node for items[i] */
    size_t n;
};

/* `file` only names the document in messages ("config/template.yaml:12: ..."). JSON is accepted, being YAML. */
int yaml_parse(struct arena *a, struct str text, const char *file, struct yaml **ret, struct err *e);
const struct yaml *yaml_get(const struct yaml *map, const char *key);

#endif
