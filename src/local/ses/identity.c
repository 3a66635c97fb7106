/* Identities: addresses and domains that mail may come from. There is nobody to click on a link in a mail: an identity
 * counts as verified as soon as it is there. */
#include "local/ses/ses.h"
#include <ctype.h>

enum { PAGE_MAX = 1000, TAGS_MAX = 50 };

int ses_identity_schema(struct db *db, struct err *e) {
    return db_exec(db,
                   "CREATE TABLE IF NOT EXISTS ses_identities(name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL,"
                   " tags TEXT NOT NULL) WITHOUT ROWID;"
                   "CREATE INDEX IF NOT EXISTS mail_sent ON mail(sent_ms)",
                   e);
}

/* == names ==========================================================================================================
 */

/* Domains are compared without regard to case, local parts with. */
static struct str normal(struct arena *a, struct str name) {
    char *p = arena_cstr(a, name);
    ptrdiff_t at = str_chr(name, '@', 0);
    for (size_t i = at < 0 ? 0 : (size_t)at; i < name.n; i++) p[i] = (char)tolower((unsigned char)p[i]);
    return str_n(p, name.n);
}

static bool is_domain(struct str name) {
    return str_chr(name, '@', 0) < 0;
}

static int read_name(struct aws_call *c, struct str *ret, struct err *e) {
    struct str name;
    if (params_str(&c->params, "EmailIdentity", ERR_SES_BAD_REQUEST, &name, e)) return -1;
    if (!name.n) return err_set(e, ERR_SES_BAD_REQUEST, "EmailIdentity is missing");
    if (is_domain(name) ? !ses_is_domain(name) : !ses_is_address(name) || aws_bare_address(name).n != name.n)
        return err_set(e, ERR_SES_BAD_REQUEST, "EmailIdentity \"%.*s\" is neither a mail address nor a domain",
                       STR_ARG(str_take(name, 100)));
    *ret = normal(&c->arena, name);
    return 0;
}

/* 1: found, 0, -1. */
static int lookup(struct local_tx *tx, struct arena *a, struct str name, struct str *ret_tags, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT tags FROM ses_identities WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    int rc = db_step(s, e);
    if (rc == 1 && ret_tags) *ret_tags = arena_str(a, db_bytes(s, 0));
    db_done(s);
    return rc;
}

static int not_there(struct str name, struct err *e) {
    return err_set(e, ERR_SES_NOT_FOUND, "Email identity %.*s does not exist.", STR_ARG(str_take(name, 320)));
}

/* The address, its domain, and the domains above that: "verified domain [...] any subdomain". */
static int verified(struct local_tx *tx, struct arena *a, struct str address, struct err *e) {
    struct str name = normal(a, aws_bare_address(address)), rest = name;
    int rc = lookup(tx, a, name, NULL, e);
    str_cut(&rest, '@');
    while (!rc && rest.n) {
        rc = lookup(tx, a, rest, NULL, e);
        str_cut(&rest, '.');
    }
    return rc;
}

int ses_check_sender(struct local_tx *tx, struct arena *a, struct str address, struct err *e) {
    char region[64];
    size_t n = 0;
    if (!tx->local->strict_ses) return 0;
    int rc = verified(tx, a, address, e);
    if (rc) return rc < 0 ? -1 : 0;
    for (; n < tx->id.region.n && n + 1 < sizeof region; n++)
        region[n] = (char)toupper((unsigned char)tx->id.region.p[n]);
    return err_set(e, ERR_SES_REJECTED,
                   "Email address is not verified. The following identities failed the check in region %.*s: %.*s",
                   (int)n, region, STR_ARG(str_take(address, 320)));
}

/* == operations =====================================================================================================
 */

static int check_tags(const struct json *tags, struct err *e) {
    if (!tags || json_is(tags, JSON_NULL)) return 0;
    if (!json_is(tags, JSON_ARR) || tags->n > TAGS_MAX)
        return err_set(e, ERR_SES_BAD_REQUEST, "Tags is no array of at most %d {Key, Value}", TAGS_MAX);
    for (uint32_t i = 0; i < tags->n; i++) {
        if (params_only(&tags->items[i], "Key Value", "Tags", ERR_SES_BAD_REQUEST, e)) return -1;
        if (!json_get_s(&tags->items[i], "Key").n || !json_get_s(&tags->items[i], "Value").p)
            return err_set(e, ERR_SES_BAD_REQUEST, "Tags[%u] needs Key and Value", i);
    }
    return 0;
}

static int insert(struct local_tx *tx, struct str name, const struct json *tags, struct err *e) {
    struct buf text = BUF_MAX(64 * 1024);
    struct db_stmt *s = NULL;
    int rc = -1;
    if (json_is(tags, JSON_ARR))
        json_write(&text, tags);
    else
        buf_c(&text, "[]");
    if (buf_check(&text, "Tags", e)) goto out;
    if (db_stmt(tx->db, "INSERT INTO ses_identities(name,created_ms,tags) VALUES(?1,?2,?3)", &s, e)) goto out;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_text(s, 3, buf_view(&text));
    rc = db_run(s, e) ? -1 : 0;
out:
    buf_free(&text);
    return rc;
}

static void set_common(struct aws_call *c, struct str name) {
    struct arena *a = &c->arena;
    struct json dkim = json_make_obj();
    json_set(a, &dkim, "SigningEnabled", json_make_bool(false));
    json_set(a, &dkim, "Status", json_make_c("NOT_STARTED"));
    json_set(a, &c->result, "IdentityType", json_make_c(is_domain(name) ? "DOMAIN" : "EMAIL_ADDRESS"));
    json_set(a, &c->result, "VerifiedForSendingStatus", json_make_bool(true));
    json_set(a, &c->result, "DkimAttributes", dkim);
}

int ses_create_identity(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    struct err *e = &c->err;
    const struct json *tags = json_get(&c->params, "Tags");
    if (params_only(&c->params, "EmailIdentity Tags", "CreateEmailIdentity", ERR_SES_BAD_REQUEST, e)) return -1;
    if (read_name(c, &name, e) || check_tags(tags, e)) return -1;
    int rc = lookup(tx, &c->arena, name, NULL, e);
    if (rc < 0) return -1;
    if (rc) return err_set(e, ERR_SES_EXISTS, "Email identity %.*s already exist.", STR_ARG(name));
    if (insert(tx, name, tags, e)) return -1;
    set_common(c, name);
    return 0;
}

int ses_get_identity(struct local_tx *tx, struct aws_call *c) {
    struct str name, text = STR_NONE;
    struct json tags;
    struct err *e = &c->err;
    if (params_only(&c->params, "EmailIdentity", "GetEmailIdentity", ERR_SES_BAD_REQUEST, e) || read_name(c, &name, e))
        return -1;
    int rc = lookup(tx, &c->arena, name, &text, e);
    if (rc != 1) return rc < 0 ? -1 : not_there(name, e);
    if (json_parse(&c->arena, text, NULL, &tags, e)) return err_wrap(e, "tags of %.*s", STR_ARG(name));
    set_common(c, name);
    json_set(&c->arena, &c->result, "VerificationStatus", json_make_c("SUCCESS"));
    json_set(&c->arena, &c->result, "FeedbackForwardingStatus", json_make_bool(true));
    json_set(&c->arena, &c->result, "Policies", json_make_obj());
    json_set(&c->arena, &c->result, "Tags", tags);
    return 0;
}

int ses_delete_identity(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    if (params_only(&c->params, "EmailIdentity", "DeleteEmailIdentity", ERR_SES_BAD_REQUEST, e)) return -1;
    if (read_name(c, &name, e)) return -1;
    if (db_stmt(tx->db, "DELETE FROM ses_identities WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    if (db_run(s, e)) return -1;
    return db_changes(tx->db) ? 0 : not_there(name, e);
}

static struct json listed(struct arena *a, struct str name) {
    struct json row = json_make_obj();
    json_set(a, &row, "IdentityType", json_make_c(is_domain(name) ? "DOMAIN" : "EMAIL_ADDRESS"));
    json_set(a, &row, "IdentityName", json_make_str(name));
    json_set(a, &row, "SendingEnabled", json_make_bool(true));
    json_set(a, &row, "VerificationStatus", json_make_c("SUCCESS"));
    return row;
}

/* NextToken is the last name of the page before. */
int ses_list_identities(struct local_tx *tx, struct aws_call *c) {
    struct db_stmt *s = NULL;
    struct json rows = json_make_arr();
    struct str after, name = STR_NONE;
    int64_t max;
    int rc;
    struct err *e = &c->err;
    if (params_only(&c->params, "PageSize NextToken", "ListEmailIdentities", ERR_SES_BAD_REQUEST, e)) return -1;
    if (params_str(&c->params, "NextToken", ERR_SES_BAD_REQUEST, &after, e)) return -1;
    if (params_int(&c->params, "PageSize", 0, PAGE_MAX, PAGE_MAX, ERR_SES_BAD_REQUEST, &max, e)) return -1;
    if (!max) max = PAGE_MAX;
    if (db_stmt(tx->db, "SELECT name FROM ses_identities WHERE name>?1 ORDER BY name LIMIT ?2", &s, e)) return -1;
    db_bind_text(s, 1, after.p ? after : STR(""));
    db_bind_i64(s, 2, max + 1);
    while ((rc = db_step(s, e)) == 1 && rows.n < max) {
        name = arena_str(&c->arena, db_bytes(s, 0));
        json_push(&c->arena, &rows, listed(&c->arena, name));
    }
    db_done(s);
    json_set(&c->arena, &c->result, "EmailIdentities", rows);
    if (rc == 1) json_set(&c->arena, &c->result, "NextToken", json_make_str(name));
    return rc < 0 ? -1 : 0;
}

/* Nothing is held back here: "A value of -1 signifies an unlimited quota." */
int ses_get_account(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct json quota = json_make_obj();
    struct db_stmt *s = NULL;
    int64_t sent = 0;
    if (params_only(&c->params, "", "GetAccount", ERR_SES_BAD_REQUEST, &c->err)) return -1;
    if (db_stmt(tx->db, "SELECT count(*) FROM mail WHERE sent_ms>?1", &s, &c->err)) return -1;
    db_bind_i64(s, 1, tx->now_ms - 86400000);
    int rc = db_step(s, &c->err);
    if (rc == 1) sent = db_i64(s, 0);
    db_done(s);
    if (rc < 0) return -1;
    json_set(a, &quota, "Max24HourSend", json_make_num(STR("-1.0")));
    json_set(a, &quota, "MaxSendRate", json_make_num(STR("-1.0")));
    json_set(a, &quota, "SentLast24Hours", json_make_num(arena_printf(a, "%lld.0", (long long)sent)));
    json_set(a, &c->result, "DedicatedIpAutoWarmupEnabled", json_make_bool(false));
    json_set(a, &c->result, "EnforcementStatus", json_make_c("HEALTHY"));
    json_set(a, &c->result, "ProductionAccessEnabled", json_make_bool(true));
    json_set(a, &c->result, "SendQuota", quota);
    json_set(a, &c->result, "SendingEnabled", json_make_bool(true));
    return 0;
}
