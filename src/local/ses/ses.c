/* SES v2 SendEmail into a mailbox table, and the reading of that. */
#include "local/ses/ses.h"
#include "base/crypto.h"
#include <string.h>

int ses_schema(struct db *db, struct err *e) {
    int rc = db_exec(
        db,
        "CREATE TABLE IF NOT EXISTS mail(id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, sent_ms INTEGER NOT NULL,"
        " source TEXT NOT NULL, destinations TEXT NOT NULL, subject TEXT NOT NULL, raw BLOB NOT NULL)",
        e);
    return rc ? rc : ses_identity_schema(db, e);
}

/* == addresses ======================================================================================================
 */

bool ses_is_domain(struct str d) {
    bool dot = false;
    for (size_t i = 0; i < d.n; i++) {
        char c = d.p[i];
        bool edge = i == 0 || i + 1 == d.n || d.p[i - 1] == '.' || d.p[i + 1] == '.';
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        dot |= c == '.';
        if (!alnum && !(c == '-' && !edge) && !(c == '.' && i > 0 && i + 1 < d.n && d.p[i - 1] != '.')) return false;
    }
    return dot && d.n <= 255;
}

/* RFC 5321 4.1.2, dot-string form; SES takes ASCII local parts only. */
bool ses_is_address(struct str s) {
    struct str bare = aws_bare_address(s);
    ptrdiff_t at = str_chr(bare, '@', 0);
    if (at < 1 || at > 64 || !ses_is_domain(str_from(bare, (size_t)at + 1)) || str_bad_utf8(s) >= 0 || s.n > 320)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) return false;
    for (ptrdiff_t i = 0; i < at; i++) {
        char c = bare.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool dot = c == '.' && i > 0 && i + 1 < at && bare.p[i - 1] != '.';
        if (!alnum && !dot && !memchr("!#$%&'*+-/=?^_`{|}~", c, 19)) return false;
    }
    return true;
}

static int check_addresses(const struct json *list, const char *what, struct json *all, struct arena *a,
                           struct err *e) {
    if (!list || json_is(list, JSON_NULL)) return 0;
    if (!json_is(list, JSON_ARR))
        return err_set(e, ERR_SES_BAD_REQUEST, "%s is %s, not an array", what, json_type_name(list->type));
    for (uint32_t i = 0; i < list->n; i++) {
        struct str s = json_str(&list->items[i]);
        if (!ses_is_address(s))
            return err_set(e, ERR_SES_BAD_REQUEST, "%s: \"%.*s\" is no mail address", what, STR_ARG(str_take(s, 100)));
        if (all) json_push(a, all, json_make_str(aws_bare_address(s)));
    }
    return 0;
}

static int read_destination(struct aws_call *c, struct ses_mail *m, struct json *all, struct err *e) {
    const struct json *d = json_get(&c->params, "Destination");
    if (params_only(d, "ToAddresses CcAddresses BccAddresses", "Destination", ERR_SES_BAD_REQUEST, e)) return -1;
    m->to = json_get(d, "ToAddresses");
    m->cc = json_get(d, "CcAddresses");
    m->reply_to = json_get(&c->params, "ReplyToAddresses");
    if (check_addresses(m->to, "Destination.ToAddresses", all, &c->arena, e)) return -1;
    if (check_addresses(m->cc, "Destination.CcAddresses", all, &c->arena, e)) return -1;
    if (check_addresses(json_get(d, "BccAddresses"), "Destination.BccAddresses", all, &c->arena, e)) return -1;
    if (check_addresses(m->reply_to, "ReplyToAddresses", NULL, &c->arena, e)) return -1;
    if (all->n <= SES_MAX_RECIPIENTS) return 0;
    return err_set(e, ERR_SES_BAD_REQUEST, "Recipient count exceeds %d: %u", SES_MAX_RECIPIENTS, all->n);
}

/* == content ========================================================================================================
 */

/* {Data, Charset}: Charset, when given, has to be UTF-8 (or its subset). */
static int read_text(const struct json *obj, const char *what, struct str *ret, struct err *e) {
    struct str charset;
    *ret = STR_NONE;
    if (!obj || json_is(obj, JSON_NULL)) return 0;
    if (params_only(obj, "Data Charset", what, ERR_SES_BAD_REQUEST, e)) return -1;
    if (params_str(obj, "Data", ERR_SES_BAD_REQUEST, ret, e) ||
        params_str(obj, "Charset", ERR_SES_BAD_REQUEST, &charset, e))
        return -1;
    if (!ret->p) return err_set(e, ERR_SES_BAD_REQUEST, "%s.Data is missing", what);
    if (charset.n && !str_ieq(charset, STR("UTF-8")) && !str_ieq(charset, STR("US-ASCII")))
        return err_set(e, ERR_SES_BAD_REQUEST, "%s.Charset %.*s is not supported yet; UTF-8 is", what,
                       STR_ARG(str_take(charset, 40)));
    if (str_bad_utf8(*ret) >= 0) return err_set(e, ERR_SES_BAD_REQUEST, "%s.Data is not UTF-8", what);
    return 0;
}

static int read_simple(const struct json *simple, struct ses_mail *m, struct buf *raw, struct err *e) {
    const struct json *body = json_get(simple, "Body");
    if (params_only(simple, "Subject Body", "Content.Simple", ERR_SES_BAD_REQUEST, e)) return -1;
    if (params_only(body, "Text Html", "Content.Simple.Body", ERR_SES_BAD_REQUEST, e)) return -1;
    if (read_text(json_get(simple, "Subject"), "Content.Simple.Subject", &m->subject, e)) return -1;
    if (read_text(json_get(body, "Text"), "Content.Simple.Body.Text", &m->text, e)) return -1;
    if (read_text(json_get(body, "Html"), "Content.Simple.Body.Html", &m->html, e)) return -1;
    if (!m->subject.p) return err_set(e, ERR_SES_BAD_REQUEST, "Content.Simple.Subject is missing");
    if (!m->text.p && !m->html.p)
        return err_set(e, ERR_SES_BAD_REQUEST, "Content.Simple.Body has neither Text nor Html");
    if (!m->from.n) return err_set(e, ERR_SES_BAD_REQUEST, "FromEmailAddress is missing");
    ses_mime_write(raw, m);
    return 0;
}

/* "To: a@b, C <c@d>": commas inside quotes belong to a name. */
static int add_header_addresses(struct arena *a, struct str value, const char *what, struct json *all, struct err *e) {
    bool quoted = false;
    for (size_t i = 0, start = 0; value.n && i <= value.n; i++) {
        if (i < value.n && value.p[i] == '"') quoted = !quoted;
        if (i < value.n && (quoted || value.p[i] != ',')) continue;
        struct str one = str_trim(str_n(value.p + start, i - start));
        start = i + 1;
        if (!one.n) continue;
        if (!ses_is_address(one))
            return err_set(e, ERR_SES_BAD_REQUEST, "header %s: \"%.*s\" is no mail address", what,
                           STR_ARG(str_take(one, 100)));
        json_push(a, all, json_make_str(aws_bare_address(one)));
    }
    return 0;
}

static int read_raw(struct aws_call *c, const struct json *obj, struct ses_mail *m, struct json *all, struct buf *raw,
                    struct err *e) {
    static const char *const headers[] = {"To", "Cc", "Bcc"};
    struct str data;
    if (params_only(obj, "Data", "Content.Raw", ERR_SES_BAD_REQUEST, e)) return -1;
    if (params_str(obj, "Data", ERR_SES_BAD_REQUEST, &data, e)) return -1;
    if (!crypto_unbase64(raw, data)) return err_set(e, ERR_SES_BAD_REQUEST, "Content.Raw.Data is not base64");
    if (buf_check(raw, "Content.Raw.Data", e)) return -1;
    struct str text = buf_view(raw);
    if (!m->from.n) m->from = ses_mime_header(&c->arena, text, "From");
    if (!m->from.n)
        return err_set(e, ERR_SES_BAD_REQUEST, "the raw message has no From header, and FromEmailAddress is missing");
    m->subject = ses_mime_header(&c->arena, text, "Subject");
    for (int i = 0; !json_get(&c->params, "Destination") && i < 3; i++)
        if (add_header_addresses(&c->arena, ses_mime_header(&c->arena, text, headers[i]), headers[i], all, e))
            return -1;
    return 0;
}

static int read_content(struct aws_call *c, struct ses_mail *m, struct json *all, struct buf *raw, struct err *e) {
    const struct json *content = json_get(&c->params, "Content");
    const struct json *simple = json_get(content, "Simple"), *whole = json_get(content, "Raw");
    if (params_only(content, "Simple Raw", "Content", ERR_SES_BAD_REQUEST, e)) return -1;
    if (!simple == !whole) return err_set(e, ERR_SES_BAD_REQUEST, "Content must have one of Simple and Raw");
    if (simple ? read_simple(simple, m, raw, e) : read_raw(c, whole, m, all, raw, e)) return -1;
    return buf_check(raw, "the message", e);
}

/* == SendEmail ======================================================================================================
 */

static int insert(struct local_tx *tx, struct arena *a, const struct ses_mail *m, const struct json *all,
                  struct str raw, struct err *e) {
    struct buf list = BUF_MAX(64 * 1024);
    struct db_stmt *s = NULL;
    json_write(&list, all);
    struct str destinations = arena_str(a, buf_view(&list));
    buf_free(&list);
    if (db_stmt(tx->db,
                "INSERT INTO mail(message_id,sent_ms,source,destinations,subject,raw) VALUES(?1,?2,?3,?4,?5,?6)", &s,
                e))
        return -1;
    db_bind_text(s, 1, m->message_id);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_text(s, 3, m->from);
    db_bind_text(s, 4, destinations);
    db_bind_text(s, 5, m->subject);
    db_bind_blob(s, 6, raw);
    return db_run(s, e) ? -1 : 0;
}

static int send_email(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct buf raw = BUF_MAX(SES_MAX_BYTES);
    struct json all = json_make_arr();
    char *id = arena_alloc(a, 37);
    struct err *e = &c->err;
    int rc = -1;
    crypto_uuid7(tx->now_ms, id);
    struct ses_mail m = {.message_id = str_n(id, 36), .now_ms = tx->now_ms};
    if (params_only(&c->params, "FromEmailAddress Destination ReplyToAddresses Content EmailTags", "SendEmail",
                    ERR_SES_BAD_REQUEST, e))
        return -1;
    if (params_str(&c->params, "FromEmailAddress", ERR_SES_BAD_REQUEST, &m.from, e)) return -1;
    if (read_destination(c, &m, &all, e) || read_content(c, &m, &all, &raw, e)) goto out;
    if (!ses_is_address(m.from)) {
        err_set(e, ERR_SES_BAD_REQUEST, "FromEmailAddress: \"%.*s\" is no mail address",
                STR_ARG(str_take(m.from, 100)));
        goto out;
    }
    if (!all.n) {
        err_set(e, ERR_SES_BAD_REQUEST, "the message has no recipient: Destination is empty");
        goto out;
    }
    if (ses_check_sender(tx, a, m.from, e) || insert(tx, a, &m, &all, buf_view(&raw), e)) goto out;
    json_set(a, &c->result, "MessageId", json_make_str(m.message_id));
    rc = 0;
out:
    buf_free(&raw);
    return rc;
}

const struct local_row ses_rows[] = {{AWS_SES_SendEmail, send_email},
                                     {AWS_SES_CreateEmailIdentity, ses_create_identity},
                                     {AWS_SES_GetEmailIdentity, ses_get_identity},
                                     {AWS_SES_ListEmailIdentities, ses_list_identities},
                                     {AWS_SES_DeleteEmailIdentity, ses_delete_identity},
                                     {AWS_SES_GetAccount, ses_get_account},
                                     {0, NULL}};

/* == the mailbox ====================================================================================================
 */

static int add_mail(struct db_stmt *s, struct arena *a, struct json *all, struct err *e) {
    struct json row = json_make_obj(), destinations;
    char *when = arena_alloc(a, 25);
    now_iso(db_i64(s, 1), when);
    if (json_parse(a, arena_str(a, db_bytes(s, 3)), NULL, &destinations, e)) return err_wrap(e, "a mail's row");
    json_set(a, &row, "MessageId", json_make_str(arena_str(a, db_bytes(s, 0))));
    json_set(a, &row, "Timestamp", json_make_c(when));
    json_set(a, &row, "Source", json_make_str(arena_str(a, db_bytes(s, 2))));
    json_set(a, &row, "Destination", destinations);
    json_set(a, &row, "Subject", json_make_str(arena_str(a, db_bytes(s, 4))));
    json_set(a, &row, "Raw", json_make_str(arena_str(a, db_bytes(s, 5))));
    json_push(a, all, row);
    return 0;
}

int local_mailbox(struct local_conn *c, struct arena *a, struct json *ret, struct err *e) {
    struct db_stmt *s = NULL;
    struct json all = json_make_arr();
    int rc;
    if (db_stmt(c->db,
                "SELECT message_id,sent_ms,source,destinations,subject,raw FROM (SELECT * FROM mail ORDER BY id DESC "
                "LIMIT ?1)"
                " ORDER BY id",
                &s, e))
        return -1;
    db_bind_i64(s, 1, SES_MAX_LISTED);
    while ((rc = db_step(s, e)) == 1)
        if (add_mail(s, a, &all, e)) break;
    db_done(s);
    if (rc) return -1;
    *ret = json_make_obj();
    json_set(a, ret, "Messages", all);
    return 0;
}
