/* zip: writes a ZIP archive in memory (PKWARE APPNOTE 6.3.10; no zip64). No times, no owners: the same files in the
 * same order give the same bytes. */
#ifndef PERIGEE_BASE_ZIP_H
#define PERIGEE_BASE_ZIP_H
#include "base/buf.h"

struct zip {
    struct buf out; /* the archive; whole after zip_end */
    struct buf directory;
    unsigned n;
};

/* max: bytes of the archive, below 4 GiB. */
void zip_init(struct zip *z, size_t max);
/* name: relative, '/'-separated, UTF-8. executable: mode 0755, else 0644. Deflated unless that makes it longer. */
int zip_add(struct zip *z, struct str name, bool executable, struct str data, struct err *e);
int zip_end(struct zip *z, struct err *e);
void zip_free(struct zip *z);

#endif
