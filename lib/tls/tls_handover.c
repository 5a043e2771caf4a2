/* SPDX-License-Identifier: BSD-3-Clause */
/* From libssl's record layer to ours. TLS 1.3: the application secrets of the keylog callback; a server's write
 * sequence number is how many of libssl's last records open with the key (session tickets). TLS 1.2: master secret and
 * randoms give the key block, both Finished used sequence number 0, and with GCM the explicit nonce goes on from that
 * of ours. Either way the keys are proven on what libssl sent itself, before anything is sealed with them; but for a
 * client of 1.3, whose Finished goes out under other keys. */
#include "tls_msg.h"

#include <openssl/ssl.h>

/* Next record in `s`; false at the end or where it is cut off (s->failed). */
static bool record_next(struct span *s, uint8_t *type, struct span *body, const uint8_t **whole) {
    if (span_left(s) == 0)
        return false;
    *whole = s->cur;
    *type = span_u8(s);
    (void)span_u16(s);
    *body = span_sub(s, span_u16(s));
    return !s->failed;
}

void tls_handover_watch(struct tls_msg *msg, const uint8_t *out, uint32_t n) {
    struct span s = span_of(out, n), body;
    const uint8_t *whole;
    uint8_t type;

    while (record_next(&s, &type, &body, &whole)) {
        if (type == TLS_CT_CCS) {
            msg->ccs_sent = 1;
        } else if (msg->ccs_sent) {
            size_t bytes = (size_t)(body.end - whole);
            msg->encrypted_sent++;
            msg->finished_bytes = bytes <= sizeof(msg->finished) ? (uint8_t)bytes : 0;
            memcpy(msg->finished, whole, msg->finished_bytes);
        }
    }
}

/* Does this record of libssl's open with the write keys at their sequence number? */
static bool own_record_opens(struct tls_engine *engine, const struct tls_suite *s, const struct tls_dir_keys *keys,
                             const uint8_t *record, uint32_t bytes) {
    uint32_t head = TLS_HEADER_BYTES + s->explicit_bytes;
    struct tls_op op = {.mgr = engine->mgr, .ctx = engine->aead_ctx, .key = keys->key};
    uint8_t tag[TLS_TAG_BYTES];

    if (bytes < head + TLS_TAG_BYTES || bytes > sizeof(engine->scratch))
        return false;
    uint32_t n = bytes - head - TLS_TAG_BYTES;
    if (s->aead->expand) {
        s->aead->expand(engine->mgr, keys->key, engine->key);
        op.key = engine->key;
    }
    tls_op_set(&op, s, keys->iv, keys->seq, record[0], s->version == TLS_V13 ? bytes - TLS_HEADER_BYTES : n, NULL);
    s->aead->open(&op, engine->scratch, record + head, n, tag);
    explicit_bzero(engine->scratch, n);
    return tls_tag_equal(tag, record + bytes - TLS_TAG_BYTES);
}

static bool handover13(struct tls_engine *engine, struct tls_msg *msg, const struct tls_suite *s, struct span last) {
    struct tls_dir_keys *out = &msg->keys[TLS_WRITE];
    struct span body;
    const uint8_t *whole;
    uint8_t type;

    for (int dir = TLS_READ; dir <= TLS_WRITE; dir++) {
        if (msg->secret_bytes[dir] != s->hash)
            return false;
        memcpy(msg->keys[dir].secret, msg->secret[dir], s->hash);
        if (tls_keys_from_secret(engine->kdf, s, &msg->keys[dir]) < 0)
            return false;
    }
    if (!SSL_is_server(msg->ssl)) /* libssl has sent nothing with these keys, and was fed nothing of the server's */
        return true;
    while (record_next(&last, &type, &body, &whole)) {
        if (type != TLS_CT_DATA || !own_record_opens(engine, s, out, whole, (uint32_t)(body.end - whole)))
            return false;
        out->seq++;
    }
    return !last.failed;
}

static bool handover12(struct tls_engine *engine, struct tls_msg *msg, const struct tls_suite *s) {
    uint8_t master[SSL_MAX_MASTER_KEY_LENGTH], client_random[32], server_random[32];
    size_t n = SSL_SESSION_get_master_key(SSL_get_session(msg->ssl), master, sizeof(master));

    SSL_get_client_random(msg->ssl, client_random, sizeof(client_random));
    SSL_get_server_random(msg->ssl, server_random, sizeof(server_random));
    int rc = tls_keys_from_master(engine->kdf, s, master, (uint32_t)n, client_random, server_random, msg->keys);
    explicit_bzero(master, sizeof(master));
    if (!SSL_is_server(msg->ssl)) { /* the client's come first in the key block */
        struct tls_dir_keys client = msg->keys[TLS_READ];
        msg->keys[TLS_READ] = msg->keys[TLS_WRITE];
        msg->keys[TLS_WRITE] = client;
        explicit_bzero(&client, sizeof(client));
    }
    if (rc < 0 || msg->encrypted_sent != 1 || msg->finished_bytes < TLS_HEADER_BYTES + s->explicit_bytes)
        return false;

    struct tls_dir_keys *out = &msg->keys[TLS_WRITE];
    memcpy(out->iv + s->fixed_iv_bytes, msg->finished + TLS_HEADER_BYTES, s->explicit_bytes);
    if (!own_record_opens(engine, s, out, msg->finished, msg->finished_bytes))
        return false;
    msg->keys[TLS_READ].seq = msg->keys[TLS_WRITE].seq = 1;
    return true;
}

bool tls_handover(struct tls_engine *engine, struct tls_msg *msg, const uint8_t *last, uint32_t n) {
    uint16_t id = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(msg->ssl));

    msg->suite = tls_suite_find(msg->version, id);
    if (msg->suite == 0)
        return false;
    msg->fragment_code = SSL_SESSION_get_max_fragment_length(SSL_get_session(msg->ssl));
    const struct tls_suite *s = &tls_suites[msg->suite - 1];
    bool ok = msg->version == TLS_V13 ? handover13(engine, msg, s, span_of(last, n)) : handover12(engine, msg, s);
    if (!ok)
        msg->drop = TLS_DROP_HANDOVER;
    return ok;
}
