/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's flight. Messages are gathered here from however many records they come in; certificates and their
 * signature only pass by into the transcript: they are NOT VERIFIED. */
#include "hs13_int.h"

#include <openssl/crypto.h>

static int malformed(struct hs13 *hs) {
    return hs13_fail(hs, WEIR_EINVAL, "a malformed handshake message from the server");
}

/* --- ServerHello, RFC 8446 section 4.1.3 --- */
enum seen { SEEN_VERSION = 1, SEEN_SHARE = 2, SEEN_PSK = 4 };

/* Reads the extensions. *share is where the server's key share lies. Returns a set of enum seen, or a failure. */
static int hello_extensions(struct hs13 *hs, struct span list, const uint8_t **share) {
    int seen = 0, now;

    while (span_left(&list) > 0) {
        uint16_t type = span_u16(&list);
        struct span body = span_sub(&list, span_u16(&list));
        bool right;

        if (body.failed)
            return malformed(hs);
        if (type == HS13_EXT_SUPPORTED_VERSIONS) {
            now = SEEN_VERSION;
            right = span_u16(&body) == TLS_V13;
        } else if (type == HS13_EXT_KEY_SHARE) {
            now = SEEN_SHARE;
            right = span_u16(&body) == HS13_GROUP_X25519;
            right = span_u16(&body) == HS13_SHARE_BYTES && right;
            *share = span_bytes(&body, HS13_SHARE_BYTES);
        } else if (type == HS13_EXT_PRE_SHARED_KEY && hs->offered) {
            now = SEEN_PSK;
            right = span_u16(&body) == 0; /* the only identity there was */
        } else {
            return hs13_fail(hs, WEIR_EINVAL, "ServerHello has an extension that was not offered");
        }
        if (body.failed || span_left(&body) > 0 || seen & now)
            return malformed(hs);
        if (!right)
            return hs13_fail(hs, WEIR_EINVAL, "ServerHello chooses what was not offered");
        seen |= now;
    }
    return seen;
}

static int on_server_hello(struct hs13 *hs, struct span s) {
    static const uint8_t retry[32] = {/* RFC 8446 section 4.1.3: the random of a HelloRetryRequest */
                                      0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                      0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                      0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
    uint16_t version = span_u16(&s);
    const uint8_t *random = span_bytes(&s, 32);
    uint8_t id_bytes = span_u8(&s);
    const uint8_t *id = span_bytes(&s, id_bytes);
    uint16_t suite = span_u16(&s);
    uint8_t compression = span_u8(&s);
    struct span extensions = span_sub(&s, span_u16(&s));
    const uint8_t *share = NULL;

    if (s.failed || span_left(&s) > 0)
        return malformed(hs);
    if (memcmp(random, retry, sizeof(retry)) == 0)
        return hs13_fail(hs, WEIR_ENOTSUP, "the server sent HelloRetryRequest: it does not take X25519");
    if (version != TLS_V12 || compression != 0 || id_bytes != sizeof(hs->session_id) ||
        memcmp(id, hs->session_id, id_bytes) != 0 || suite != hs->suite->id)
        return hs13_fail(hs, WEIR_EINVAL, "ServerHello chooses what was not offered");
    int seen = hello_extensions(hs, extensions, &share);
    if (seen < 0)
        return seen;
    if (!(seen & SEEN_VERSION))
        return hs13_fail(hs, WEIR_ENOTSUP, "the server does not speak TLS 1.3");
    if (!(seen & SEEN_SHARE))
        return hs13_fail(hs, WEIR_EINVAL, "ServerHello without a key share");
    hs->resumed = seen & SEEN_PSK;
    hs13_transcript_add(hs, hs->message, hs->message_bytes);
    if (hs13_keys_handshake(hs, share) < 0)
        return hs13_fail(hs, WEIR_EINVAL, "the server's key share is not a public key");
    hs->state = HS13_WAIT_ENCRYPTED_EXTENSIONS;
    return 0;
}

/* --- EncryptedExtensions, RFC 8446 section 4.3.1: of those offered two may be answered here --- */
static int on_encrypted_extensions(struct hs13 *hs, struct span s) {
    struct span list = span_sub(&s, span_u16(&s));
    bool name = false, groups = false;

    if (s.failed || span_left(&s) > 0)
        return malformed(hs);
    while (span_left(&list) > 0) {
        uint16_t type = span_u16(&list);
        struct span body = span_sub(&list, span_u16(&list));
        bool *seen = type == HS13_EXT_SERVER_NAME ? &name : &groups;

        if (body.failed || *seen || (type == HS13_EXT_SERVER_NAME && span_left(&body) > 0))
            return malformed(hs);
        if (type != HS13_EXT_SERVER_NAME && type != HS13_EXT_SUPPORTED_GROUPS)
            return hs13_fail(hs, WEIR_EINVAL, "EncryptedExtensions has an extension that was not offered");
        *seen = true;
    }
    hs13_transcript_add(hs, hs->message, hs->message_bytes);
    hs->state = hs->resumed ? HS13_WAIT_FINISHED : HS13_WAIT_CERTIFICATE;
    return 0;
}

/* --- Finished, RFC 8446 section 4.4.4 --- */
static int on_finished(struct hs13 *hs, struct span s) {
    uint8_t transcript[TLS_SECRET_MAX], want[TLS_SECRET_MAX];
    const uint8_t *got = span_bytes(&s, hs->hash->bytes);

    if (s.failed || span_left(&s) > 0)
        return malformed(hs);
    hs13_transcript_hash(hs, transcript);
    hs13_verify_data(hs->core, hs->hash, hs->read.secret, transcript, want);
    if (CRYPTO_memcmp(got, want, hs->hash->bytes) != 0)
        return hs13_fail(hs, WEIR_EINVAL, "the server's Finished does not fit the handshake");
    hs13_transcript_add(hs, hs->message, hs->message_bytes);
    hs->state = HS13_ANSWER;
    return 0;
}

/* --- messages --- */
static const struct step { /* what each state waits for */
    uint8_t type;
    bool ends_record;                                 /* the keys change behind it, RFC 8446 section 5.1 */
    uint32_t max_bytes;                               /* of the body */
    int (*handle)(struct hs13 *hs, struct span body); /* NULL: it passes by, */
    uint8_t next;                                     /* and this comes next */
} steps[] = {
    [HS13_WAIT_SERVER_HELLO] = {HS13_SERVER_HELLO, true, HS13_MESSAGE_MAX - HS13_HEADER_BYTES, on_server_hello, 0},
    [HS13_WAIT_ENCRYPTED_EXTENSIONS] = {HS13_ENCRYPTED_EXTENSIONS, false, HS13_MESSAGE_MAX - HS13_HEADER_BYTES,
                                        on_encrypted_extensions, 0},
    [HS13_WAIT_CERTIFICATE] = {HS13_CERTIFICATE, false, HS13_SKIPPED_MAX, NULL, HS13_WAIT_CERTIFICATE_VERIFY},
    [HS13_WAIT_CERTIFICATE_VERIFY] = {HS13_CERTIFICATE_VERIFY, false, HS13_SKIPPED_MAX, NULL, HS13_WAIT_FINISHED},
    [HS13_WAIT_FINISHED] = {HS13_FINISHED, true, TLS_SECRET_MAX, on_finished, 0},
};
static_assert(WEIR_ARRAY_LEN(steps) == HS13_ANSWER, "a step for each message of the server");

/* The header of a message is there: is it what has to come, and how long? Returns the body's length or a failure. */
static int message_begin(struct hs13 *hs, const struct step *step) {
    struct span s = span_of(hs->message, HS13_HEADER_BYTES);
    uint8_t type = span_u8(&s);
    uint32_t n = span_u24(&s);

    if (type == HS13_CERTIFICATE_REQUEST && hs->state == HS13_WAIT_CERTIFICATE)
        return hs13_fail(hs, WEIR_ENOTSUP, "the server asks for a client certificate");
    if (type != step->type)
        return hs13_fail(hs, WEIR_EINVAL, "a handshake message out of order");
    if (n == 0)
        return malformed(hs);
    if (n > step->max_bytes)
        return hs13_fail(hs, WEIR_EINVAL, "a handshake message longer than allowed");
    return (int)n;
}

/* Copy up to `upto` held bytes of a message. True once they are there. */
static bool hold(struct hs13 *hs, struct span *s, uint32_t upto) {
    uint32_t part = 0;

    if (hs->message_bytes < upto)
        part = weir_min_u32(upto - hs->message_bytes, (uint32_t)span_left(s));
    if (part > 0)
        memcpy(hs->message + hs->message_bytes, span_bytes(s, part), part);
    hs->message_bytes += part;
    return hs->message_bytes >= upto;
}

static void pass_by(struct hs13 *hs, struct span *s, const struct step *step) {
    uint32_t part = weir_min_u32(hs->skip_bytes, (uint32_t)span_left(s));

    hs13_transcript_add(hs, span_bytes(s, part), part);
    hs->skip_bytes -= part;
    if (hs->skip_bytes == 0)
        hs->state = step->next;
}

int hs13_messages(struct hs13 *hs, const uint8_t *data, uint32_t n) {
    struct span s = span_of(data, n);

    while (span_left(&s) > 0) {
        const struct step *step = &steps[hs->state];

        if (hs->skip_bytes > 0) {
            pass_by(hs, &s, step);
            continue;
        }
        if (!hold(hs, &s, HS13_HEADER_BYTES))
            break;
        int body_bytes = message_begin(hs, step);
        if (body_bytes < 0)
            return body_bytes;
        if (step->handle == NULL) {
            hs13_transcript_add(hs, hs->message, HS13_HEADER_BYTES);
            hs->message_bytes = 0;
            hs->skip_bytes = (uint32_t)body_bytes;
            continue;
        }
        if (!hold(hs, &s, HS13_HEADER_BYTES + (uint32_t)body_bytes))
            break;
        int rc = step->handle(hs, span_of(hs->message + HS13_HEADER_BYTES, (uint32_t)body_bytes));
        hs->message_bytes = 0;
        if (rc < 0)
            return rc;
        if (step->ends_record && span_left(&s) > 0)
            return hs13_fail(hs, WEIR_EINVAL, "bytes in the same record behind a message that changes the keys");
    }
    return 0;
}

/* --- alerts, RFC 8446 section 6 --- */
#define ALERTS(X)                                                                                                      \
    X(0, close_notify)                                                                                                 \
    X(10, unexpected_message)                                                                                          \
    X(20, bad_record_mac)                                                                                              \
    X(22, record_overflow)                                                                                             \
    X(40, handshake_failure)                                                                                           \
    X(42, bad_certificate)                                                                                             \
    X(43, unsupported_certificate)                                                                                     \
    X(44, certificate_revoked)                                                                                         \
    X(45, certificate_expired)                                                                                         \
    X(46, certificate_unknown)                                                                                         \
    X(47, illegal_parameter)                                                                                           \
    X(48, unknown_ca)                                                                                                  \
    X(49, access_denied)                                                                                               \
    X(50, decode_error)                                                                                                \
    X(51, decrypt_error)                                                                                               \
    X(70, protocol_version)                                                                                            \
    X(71, insufficient_security)                                                                                       \
    X(80, internal_error)                                                                                              \
    X(86, inappropriate_fallback)                                                                                      \
    X(90, user_canceled)                                                                                               \
    X(109, missing_extension)                                                                                          \
    X(110, unsupported_extension)                                                                                      \
    X(112, unrecognized_name)                                                                                          \
    X(113, bad_certificate_status_response)                                                                            \
    X(115, unknown_psk_identity)                                                                                       \
    X(116, certificate_required)                                                                                       \
    X(120, no_application_protocol)

int hs13_alert(struct hs13 *hs, const uint8_t *data, uint32_t n) {
    if (n != 2)
        return hs13_fail(hs, WEIR_EINVAL, "a malformed alert from the server");
    switch (data[1]) {
#define X(number, name)                                                                                                \
    case number:                                                                                                       \
        return hs13_fail(hs, WEIR_EINVAL, "the server sent alert " #name);
        ALERTS(X)
#undef X
    default:
        return hs13_fail(hs, WEIR_EINVAL, "the server sent an alert that has no name");
    }
}
