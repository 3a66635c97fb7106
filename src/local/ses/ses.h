/* ses (private to local/): ses.c checks and stores; mime.c writes the message; identity.c: who may send. */
#ifndef PERIGEE_LOCAL_SES_H
#define PERIGEE_LOCAL_SES_H
#include "local/params.h"
#include "local/store.h"

enum { SES_MAX_BYTES = 40 << 20, SES_MAX_RECIPIENTS = 50, SES_MAX_LISTED = 1000 };

struct ses_mail {
    struct str message_id, from, subject;
    const struct json *to, *cc, *reply_to; /* arrays of strings, or NULL */
    struct str text, html;                 /* p == NULL: no such part */
    int64_t now_ms;
};
/* RFC 5322 and 2045 ff.: headers, RFC 2047 words where they are needed, multipart/alternative when both parts are
 * there. */
void ses_mime_write(struct buf *b, const struct ses_mail *m);
/* The value of a header of a MIME message, unfolded, RFC 2047 words decoded; STR_NONE when there is none. */
struct str ses_mime_header(struct arena *a, struct str raw, const char *name);

bool ses_is_domain(struct str d);
bool ses_is_address(struct str s); /* with or without a name */

int ses_identity_schema(struct db *db, struct err *e);
/* Where senders must be verified: ERR_SES_REJECTED when neither the address nor a domain of it is an identity. */
int ses_check_sender(struct local_tx *tx, struct arena *a, struct str address, struct err *e);
local_fn ses_create_identity, ses_get_identity, ses_list_identities, ses_delete_identity, ses_get_account;

#endif
