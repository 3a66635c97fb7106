/* profile (private to remote/): AWS's shared config and credentials files. Source: AWS SDKs and Tools Reference Guide,
 * "Shared config and credentials files". Section and key names: as there; keys case-insensitive; continuation and
 * nested (`s3 =\n  addressing_style = path`) values. Malformed lines are errors "file:line: ...", which never quote
 * a line: it may hold a secret. As in all SDKs, sections of another form and keys that are no names are left out. */
#ifndef PERIGEE_REMOTE_PROFILE_H
#define PERIGEE_REMOTE_PROFILE_H
#include "base/arena.h"
#include "base/err.h"

struct profile_property {
    struct str key; /* lower case; nested ones as "s3.addressing_style" */
    struct str value;
    const char *file;
    int line;
};
/* PROFILE_IGNORED: a header that means nothing there ("[dev]" in the config file); name is what stands between the
 * brackets, without properties: for messages that say why a profile is not found. */
enum profile_kind { PROFILE_PROFILE, PROFILE_SSO_SESSION, PROFILE_SERVICES, PROFILE_IGNORED };
struct profile_section {
    enum profile_kind kind;
    struct str name;
    struct profile_property *properties; /* those of the credentials file win over those of the config file */
    size_t n, cap;
    const char *file;
    int line;
    bool prefixed; /* private: "[profile default]", which replaces "[default]" */
};
struct profiles {
    struct profile_section *sections;
    size_t n, cap;
    const char *config_file, *credentials_file; /* the paths looked at */
    bool config_found, credentials_found;
};
/* Parses one text into *p, on top of what is there. is_config: sections are "[profile x]" and "[default]". */
int profiles_parse(struct profiles *p, struct arena *a, struct str text, const char *file, bool is_config,
                   struct err *e);
/* Reads both files; missing ones are empty, so are those whose name is NULL. */
int profiles_read(struct profiles *p, struct arena *a, const char *config_file, const char *credentials_file,
                  struct err *e);
void profiles_wipe(struct profiles *p); /* overwrites all values */
const struct profile_section *profiles_find(const struct profiles *p, enum profile_kind kind, struct str name);
const struct profile_property *profile_property(const struct profile_section *s, const char *key); /* NULL: none */
struct str profile_value(const struct profile_section *s, const char *key); /* STR_NONE: none or blank */

#endif
