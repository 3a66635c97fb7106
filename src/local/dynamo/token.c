/* ClientRequestToken: the same token within ten minutes is a replay, if the request is the same. The request is
 * compared as decoded: by a hash of its canonical form, members sorted by name. */
#include "base/crypto.h"
#include "local/dynamo/dynamo.h"
#include <stdlib.h>
#include <string.h>

enum { TOKEN_CHARS = 36, CANONICAL_MAX = 64 << 20 };

static int by_key(const void *l, const void *r) {
    return str_cmp((*(const struct json_member *const *)l)->key, (*(const struct json_member *const *)r)->key);
}

static void canonical(struct arena *a, struct buf *b, const struct json *v, bool top);

static void canonical_object(struct arena *a, struct buf *b, const struct json *v, bool top) {
    const struct json_member **m = arena_alloc(a, v->n * sizeof *m);
    for (uint32_t i = 0; i < v->n; i++) m[i] = &v->members[i];
    if (v->n > 1) qsort(m, v->n, sizeof *m, by_key);
    buf_byte(b, '{');
    for (uint32_t i = 0; i < v->n; i++) {
        if (top && (str_is(m[i]->key, "ClientRequestToken") || str_starts(m[i]->key, STR("Return")))) continue;
        json_write_str(b, m[i]->key);
        canonical(a, b, &m[i]->value, false);
    }
    buf_byte(b, '}');
}

static void canonical(struct arena *a, struct buf *b, const struct json *v, bool top) {
    if (v->type == JSON_OBJ) {
        canonical_object(a, b, v, top);
        return;
    }
    if (v->type != JSON_ARR) {
        json_write(b, v);
        return;
    }
    buf_byte(b, '[');
    for (uint32_t i = 0; i < v->n; i++) {
        canonical(a, b, &v->items[i], false);
        buf_byte(b, ',');
    }
    buf_byte(b, ']');
}

static int hash_of(struct arena *a, const struct json *params, uint8_t out[32], struct err *e) {
    struct buf b = BUF_MAX(CANONICAL_MAX);
    canonical(a, &b, params, true);
    int rc = buf_check(&b, "the request", e);
    if (!rc) crypto_sha256(buf_view(&b), out);
    buf_free(&b);
    return rc;
}

static int look(struct local_tx *tx, struct str token, struct str hash, bool *ret_replay, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT hash FROM ddb_token WHERE token = ?1 AND at_ms > ?2", &s, e)) return -1;
    db_bind_text(s, 1, token);
    db_bind_i64(s, 2, tx->now_ms - TOKEN_MS);
    int row = db_step(s, e);
    bool same = row == 1 && str_eq(db_bytes(s, 0), hash);
    db_done(s);
    if (row < 0) return -1;
    if (row && !same)
        return err_set(
            e, ERR_DDB_IDEMPOTENT,
            "The request uses the same client token as a previous, but non-identical request. Do not reuse a client "
            "token with different requests, unless the requests are identical");
    *ret_replay = row == 1;
    return 0;
}

static int keep(struct local_tx *tx, struct str token, struct str hash, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "REPLACE INTO ddb_token VALUES(?1, ?2, ?3)", &s, e)) return -1;
    db_bind_text(s, 1, token);
    db_bind_i64(s, 2, tx->now_ms);
    db_bind_blob(s, 3, hash);
    return db_run(s, e) ? -1 : 0;
}

int token_check(struct local_tx *tx, struct arena *a, const struct json *params, struct ddb_token *ret, struct err *e) {
    const struct json *token = param(params, "ClientRequestToken");
    *ret = (struct ddb_token){0};
    if (!token) return 0;
    struct str shown = clip(token->s);
    if (!token->s.n || token->s.n > TOKEN_CHARS)
        return err_set(
            e, ERR_VALIDATION,
            "1 validation error detected: Value '%.*s' at 'clientRequestToken' failed to satisfy constraint: Member "
            "must have length %s",
            STR_ARG(shown), token->s.n ? "less than or equal to 36" : "greater than or equal to 1");
    ret->token = token->s;
    if (hash_of(a, params, ret->hash, e)) return -1;
    return look(tx, ret->token, str_n((char *)ret->hash, sizeof ret->hash), &ret->replay, e);
}

int token_keep(struct local_tx *tx, const struct ddb_token *t, struct err *e) {
    return t->token.n ? keep(tx, t->token, str_n((const char *)t->hash, sizeof t->hash), e) : 0;
}
