/* SPDX-License-Identifier: BSD-3-Clause */
/* Every reason of tls_drops.def: what leads to it, and that the peer gets the alert which the RFC names (deciphered off
 * the wire), the counter counts one, no plaintext came of it, and the connection is over and has no keys left. The few
 * reasons that are not about a record stand in `elsewhere`, with the test that reaches them. */
#include "evp_peer.h"
#include "harness.h"

#include <ctype.h>
#include <stdio.h>

enum { NONE = -1 };

struct scene {
    struct tls_core core;
    struct evp_peer peer;
    tls_id id;
    struct rope wire; /* what the peer sends */
};

static void handshake(struct scene *sc, const uint8_t *message, uint32_t n) {
    evp_peer_seal(&sc->peer, TLS_CT_HANDSHAKE, message, n, &sc->wire);
}

static void raw(struct scene *sc, const void *record, uint32_t n) {
    harness_push(&sc->wire, record, n, false);
}
#define RAW(sc, ...)       raw(sc, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define HANDSHAKE(sc, ...) handshake(sc, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define ALERT(sc, ...)                                                                                                 \
    evp_peer_seal(&(sc)->peer, TLS_CT_ALERT, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}),   \
                  &(sc)->wire)

static const uint8_t zeroes[TLS_RECORD_MAX + 1];

static void heartbeat(struct scene *sc) {
    RAW(sc, 24, 3, 3, 0, 3, 1, 0, 1);
}

static void inner_type(struct scene *sc) {
    evp_peer_seal(&sc->peer, 99, zeroes, 3, &sc->wire);
}

static void outer_type(struct scene *sc) {
    RAW(sc, 22, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void version_2(struct scene *sc) {
    RAW(sc, 23, 2, 0, 0, 20);
}

static void version_10(struct scene *sc) {
    RAW(sc, 23, 3, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void header_too_long(struct scene *sc) { /* the header is enough: nobody has to send the rest */
    const uint32_t n = sc->peer.suite->version == TLS_V13 ? TLS_RECORD_WIRE_MAX13 + 1 : TLS_RECORD_WIRE_MAX + 1;
    RAW(sc, 23, 3, 3, (uint8_t)(n >> 8), (uint8_t)n);
}

static void content_too_long(struct scene *sc) {
    evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, TLS_RECORD_MAX + 1, &sc->wire);
}

static void fragment_too_long(struct scene *sc) { /* max_fragment_length, RFC 6066 section 4 */
    tls_record_size_set(tls_conn_get(&sc->core, sc->id), 1, 0);
    evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, 513, &sc->wire);
}

static void no_room_for_tag(struct scene *sc) {
    RAW(sc, 23, 3, 3, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void damaged(struct scene *sc) {
    evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, 40, &sc->wire);
    rte_pktmbuf_mtod(sc->wire.tail, uint8_t *)[sc->wire.tail->data_len - 1] ^= 1;
}

static void out_of_order(struct scene *sc) {
    sc->peer.seq[TLS_READ]++;
    evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, 40, &sc->wire);
}

static void padding_alone(struct scene *sc) {
    evp_peer_seal(&sc->peer, 0, zeroes, 20, &sc->wire);
}

static void nothing_alone(struct scene *sc) { /* a tag, and not even an inner type */
    evp_peer_seal(&sc->peer, 0, zeroes, 0, &sc->wire);
}

static void empty_handshake(struct scene *sc) {
    handshake(sc, zeroes, 0);
}

static void empty_alert(struct scene *sc) {
    evp_peer_seal(&sc->peer, TLS_CT_ALERT, zeroes, 0, &sc->wire);
}

static void empty_flood(struct scene *sc) {
    for (uint32_t i = 0; i <= TLS_EMPTY_RUN_MAX; i++)
        evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, 0, &sc->wire);
}

static void alert_short(struct scene *sc) {
    ALERT(sc, 2);
}

static void alert_long(struct scene *sc) {
    ALERT(sc, 2, 40, 0);
}

static void warning_flood(struct scene *sc) {
    for (uint32_t i = 0; i <= TLS_WARNING_RUN_MAX; i++)
        ALERT(sc, 1, TLS_ALERT_USER_CANCELED);
}

static void fatal_alert(struct scene *sc) {
    ALERT(sc, 2, 40);
}

static void ccs(struct scene *sc) {
    RAW(sc, 20, 3, 3, 0, 1, 1);
}

static void certificate_request(struct scene *sc) {
    HANDSHAKE(sc, 13, 0, 0, 0);
}

static void client_hello(struct scene *sc) {
    HANDSHAKE(sc, 1, 0, 0, 4, 3, 3, 0, 0);
}

static void hello_request(struct scene *sc) {
    HANDSHAKE(sc, 0, 0, 0, 0);
}

static void update_value(struct scene *sc) {
    HANDSHAKE(sc, 24, 0, 0, 1, 2);
}

static void update_length(struct scene *sc) {
    HANDSHAKE(sc, 24, 0, 0, 2, 0, 0);
}

static void update_not_alone(struct scene *sc) {
    HANDSHAKE(sc, 24, 0, 0, 1, 0, 24, 0, 0, 1, 0);
}

static void update_in_part(struct scene *sc) {
    HANDSHAKE(sc, 24, 0, 0);
}

static void update_flood(struct scene *sc) {
    for (uint32_t i = 0; i <= TLS_UPDATE_RUN_MAX; i++)
        evp_peer_update(&sc->peer, false, &sc->wire);
}

static void ticket_to_client(struct scene *sc, uint8_t length) {
    tls_conn_get(&sc->core, sc->id)->is_client = 1;
    HANDSHAKE(sc, 4, 0, length, 0, 0, 0);
}

static void ticket_too_long(struct scene *sc) {
    ticket_to_client(sc, 0x40);
}

static void ticket_torn(struct scene *sc) {
    ticket_to_client(sc, 0x10);
    evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, 1, &sc->wire);
}

static void key_used_up(struct scene *sc) {
    sc->core.gcm_record_limit = tls_conn_get(&sc->core, sc->id)->seq[TLS_READ];
    evp_peer_seal(&sc->peer, TLS_CT_DATA, zeroes, 1, &sc->wire);
}

enum { V12 = 1, V13 = 2, BOTH = V12 | V13 };
static const struct row {
    void (*send)(struct scene *);
    enum tls_drop drop;
    int versions, alert; /* RFC 8446 section 6, RFC 5246 section 7.2 */
} rows[] = {
    {heartbeat, TLS_DROP_BAD_TYPE, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {inner_type, TLS_DROP_BAD_TYPE, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {outer_type, TLS_DROP_BAD_TYPE, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {version_2, TLS_DROP_BAD_VERSION, BOTH, SSL_AD_PROTOCOL_VERSION},
    {version_10, TLS_DROP_BAD_VERSION, BOTH, SSL_AD_PROTOCOL_VERSION},
    {header_too_long, TLS_DROP_RECORD_OVERFLOW, BOTH, SSL_AD_RECORD_OVERFLOW},
    {content_too_long, TLS_DROP_RECORD_OVERFLOW, BOTH, SSL_AD_RECORD_OVERFLOW},
    {fragment_too_long, TLS_DROP_RECORD_OVERFLOW, BOTH, SSL_AD_RECORD_OVERFLOW},
    {no_room_for_tag, TLS_DROP_SHORT_RECORD, BOTH, SSL_AD_DECODE_ERROR},
    {damaged, TLS_DROP_BAD_MAC, BOTH, SSL_AD_BAD_RECORD_MAC},
    {out_of_order, TLS_DROP_BAD_MAC, BOTH, SSL_AD_BAD_RECORD_MAC},
    {padding_alone, TLS_DROP_NO_CONTENT_TYPE, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {nothing_alone, TLS_DROP_NO_CONTENT_TYPE, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {empty_handshake, TLS_DROP_EMPTY_RECORD, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {empty_alert, TLS_DROP_EMPTY_RECORD, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {empty_flood, TLS_DROP_EMPTY_FLOOD, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {alert_short, TLS_DROP_BAD_ALERT, BOTH, SSL_AD_DECODE_ERROR},
    {alert_long, TLS_DROP_BAD_ALERT, BOTH, SSL_AD_DECODE_ERROR},
    {warning_flood, TLS_DROP_WARNING_FLOOD, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {fatal_alert, TLS_DROP_PEER_ALERT, BOTH, NONE},
    {ccs, TLS_DROP_UNEXPECTED_CCS, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {certificate_request, TLS_DROP_UNEXPECTED_HANDSHAKE, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {hello_request, TLS_DROP_UNEXPECTED_HANDSHAKE, BOTH, SSL_AD_UNEXPECTED_MESSAGE},
    {client_hello, TLS_DROP_RENEGOTIATION, V12, SSL_AD_NO_RENEGOTIATION},
    {client_hello, TLS_DROP_UNEXPECTED_HANDSHAKE, V13, SSL_AD_UNEXPECTED_MESSAGE}, /* RFC 8446 section 4.1.2 */
    {update_value, TLS_DROP_BAD_KEY_UPDATE, V13, SSL_AD_ILLEGAL_PARAMETER},        /* 4.6.3 */
    {update_value, TLS_DROP_UNEXPECTED_HANDSHAKE, V12, SSL_AD_UNEXPECTED_MESSAGE},
    {update_length, TLS_DROP_UPDATE_LENGTH, V13, SSL_AD_DECODE_ERROR},
    {update_not_alone, TLS_DROP_UPDATE_NOT_ALONE, V13, SSL_AD_UNEXPECTED_MESSAGE}, /* 5.1 */
    {update_in_part, TLS_DROP_UPDATE_NOT_ALONE, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {update_flood, TLS_DROP_UPDATE_FLOOD, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {ticket_too_long, TLS_DROP_TICKET_TOO_LONG, V13, SSL_AD_DECODE_ERROR},
    {ticket_torn, TLS_DROP_TICKET_TORN, V13, SSL_AD_UNEXPECTED_MESSAGE},
    {key_used_up, TLS_DROP_RECORD_LIMIT, V12, SSL_AD_CLOSE_NOTIFY},
};

static void scene_begin(struct scene *sc, uint8_t row) {
    struct tls_config config = {.max_conns = 4, .pool = harness_pool()};
    struct tls_dir_keys keys[2] = {0};

    memset(sc, 0, sizeof(*sc));
    cr_assert_eq(tls_core_init(&sc->core, &config), 0);
    for (int dir = 0; dir < 2; dir++) {
        memset(keys[dir].secret, 1 + dir, sizeof(keys[dir].secret));
        cr_assert_eq(tls_keys_from_secret(sc->core.kdf, &tls_suites[row - 1], &keys[dir]), 0);
        keys[dir].seq = 3;
    }
    evp_peer_init(&sc->peer, &tls_suites[row - 1], keys);
    sc->id = tls_conn_alloc(&sc->core, 0);
    cr_assert_eq(tls_conn_open(&sc->core, tls_conn_get(&sc->core, sc->id), row, keys), 0);
}

/* What the peer gets: the alert and nothing behind it, or nothing. */
static void answer_check(struct scene *sc, struct rope *answer, int alert, uint32_t at) {
    static uint8_t got[TLS_RECORD_MAX + 256];
    uint32_t n = 0;

    if (alert == NONE) {
        cr_assert_eq(answer->len_bytes, 0, "row %u", at);
        return;
    }
    cr_assert_eq(evp_peer_open(&sc->peer, answer, got, &n), TLS_CT_ALERT, "row %u", at);
    cr_assert_eq(n, 2);
    cr_assert_eq(got[1], alert, "row %u: alert %u, not %d", at, got[1], alert);
    bool warning = alert == SSL_AD_CLOSE_NOTIFY || alert == SSL_AD_NO_RENEGOTIATION;
    cr_assert_eq(got[0], warning ? 1 : 2);
    cr_assert_eq(answer->len_bytes, 0);
}

static void row_check(const struct row *r, uint32_t at, uint8_t suite_row) {
    static const struct tls_conn blank;
    struct rope plain = {0}, answer = {0}, none = {0};
    struct scene sc;

    scene_begin(&sc, suite_row);
    r->send(&sc);
    int rc = tls_input(&sc.core, sc.id, &sc.wire, &plain, &answer, UINT32_MAX);
    cr_assert_eq(rc, -(int)r->drop, "row %u, %s: %s", at, tls_suites[suite_row - 1].name,
                 rc < 0 ? tls_drop_name((enum tls_drop) - rc) : "no drop");
    cr_assert_eq(plain.len_bytes, 0);
    answer_check(&sc, &answer, r->alert, at);
    const struct tls_conn *c = tls_conn_get(&sc.core, sc.id);
    cr_assert_eq(sc.core.stats.drops[r->drop], 1);
    cr_assert_eq(harness_alerts(&sc.core, TLS_WRITE, r->alert), r->alert != NONE);
    cr_assert_eq(harness_alerts(&sc.core, TLS_WRITE, -1), r->alert != NONE);
    cr_assert_eq(harness_alerts(&sc.core, TLS_READ, SSL_AD_HANDSHAKE_FAILURE), r->drop == TLS_DROP_PEER_ALERT);
    cr_assert(r->drop != TLS_DROP_PEER_ALERT || tls_conn_alerted(&sc.core, sc.id) == TLS_ALERTED_HANDSHAKE_FAILURE);
    cr_assert_not(tls_established(&sc.core, sc.id));
    cr_assert_arr_eq(c->key, blank.key, sizeof(c->key));
    cr_assert_arr_eq(c->secret, blank.secret, sizeof(c->secret));
    cr_assert_eq(tls_input(&sc.core, sc.id, &none, &plain, &answer, 1), -(int)r->drop, "dead stays dead");
    cr_assert_eq(tls_seal(&sc.core, sc.id, &none, &answer, 1, 0), WEIR_ESTATE);
    rope_clear(&sc.wire);
    tls_core_fini(&sc.core);
    cr_assert_eq(harness_mbufs_out(), 0, "row %u", at);
}

Test(tls_drops, each_gets_the_alert_that_the_rfc_names) {
    for (uint8_t suite_row = 1; suite_row <= tls_suites_count; suite_row++) {
        int version = tls_suites[suite_row - 1].version == TLS_V13 ? V13 : V12;
        for (uint32_t at = 0; at < WEIR_ARRAY_LEN(rows); at++) {
            if (!(rows[at].versions & version) ||
                (rows[at].drop == TLS_DROP_RECORD_LIMIT && !tls_suites[suite_row - 1].gcm))
                continue;
            row_check(&rows[at], at, suite_row);
        }
    }
}

/* Before there are keys the alert is as it is; libssl has not been asked yet. */
Test(tls_drops, what_cannot_be_a_client_hello_gets_an_alert) {
    static const struct {
        uint8_t record[5];
        enum tls_drop drop;
        uint8_t alert;
    } first[] = {
        {{'G', 'E', 'T', ' ', '/'}, TLS_DROP_BAD_TYPE, SSL_AD_UNEXPECTED_MESSAGE},
        {{23, 3, 3, 0, 20}, TLS_DROP_BAD_TYPE, SSL_AD_UNEXPECTED_MESSAGE},
        {{22, 2, 0, 0, 20}, TLS_DROP_BAD_VERSION, SSL_AD_PROTOCOL_VERSION},
        {{22, 3, 1, 0x48, 1}, TLS_DROP_RECORD_OVERFLOW, SSL_AD_RECORD_OVERFLOW},
    };
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13});
    for (size_t i = 0; i < WEIR_ARRAY_LEN(first); i++) {
        struct rope wire = {0}, plain = {0}, answer = {0};
        tls_id id = tls_conn_new(&h.core, h.ctx, 0);
        uint8_t got[8];
        harness_push(&wire, first[i].record, sizeof(first[i].record), false);
        cr_assert_eq(tls_input(&h.core, id, &wire, &plain, &answer, 1), -(int)first[i].drop);
        cr_assert_eq(rope_copy(&answer, 0, got, sizeof(got)), 7);
        cr_assert_arr_eq(got, ((const uint8_t[]){21, 3, 3, 0, 2, 2, first[i].alert}), 7);
        cr_assert_geq(harness_alerts(&h.core, TLS_WRITE, first[i].alert), 1);
        cr_assert_eq(harness_alerts(&h.core, TLS_WRITE, -1), i + 1);
        cr_assert_eq(h.core.places.used, 0);
        rope_clear(&wire);
        rope_clear(&answer);
        tls_conn_free(&h.core, id);
    }
    harness_fini(&h);
}

/* Does a test beside this one name the reason? */
static bool named_in(const char *test, const char *reason) {
    char path[512], line[512];
    bool found = false;

    snprintf(path, sizeof(path), "%s/%s", TESTS_DIR, test);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    while (!found && fgets(line, sizeof(line), f)) {
        const char *at = strstr(line, reason);
        found = at && !isalnum((unsigned char)at[strlen(reason)]) && at[strlen(reason)] != '_';
    }
    fclose(f);
    return found;
}

/* No reason without a test that reaches it. */
Test(tls_drops, none_is_forgotten) {
    static const char *const elsewhere[TLS_DROP_COUNT] = {
        [TLS_DROP_NO_MEMORY] = "test_tls_handshake.c",
        [TLS_DROP_HS_PEER_ALERT] = "test_tls_handshake.c",
        [TLS_DROP_HS_NO_SHARED_CIPHER] = "test_tls_handshake.c",
        [TLS_DROP_HS_UNKNOWN_NAME] = "test_tls_certs.c",
        [TLS_DROP_HS_NO_PROTOCOL] = "test_tls_alpn.c",
        [TLS_DROP_HS_TOO_LONG] = "test_tls_limits.c",
        [TLS_DROP_HS_VERSION] = "test_tls_handshake.c",
        [TLS_DROP_HS_FAILED] = "test_tls_client.c",
        [TLS_DROP_HS_CERT_UNTRUSTED] = "test_tls_client.c",
        [TLS_DROP_HS_CERT_EXPIRED] = "test_tls_client.c",
        [TLS_DROP_HS_CERT_NAME] = "test_tls_client.c",
        [TLS_DROP_HS_CLIENT_NO_CERT] = "test_tls_verify.c",
        [TLS_DROP_HS_CLIENT_UNTRUSTED] = "test_tls_verify.c",
        [TLS_DROP_HS_CLIENT_EXPIRED] = "test_tls_verify.c",
        [TLS_DROP_HS_CLIENT_REVOKED] = "test_tls_verify.c",
        [TLS_DROP_HS_CLIENT_NO_CRL] = "test_tls_verify.c",
        [TLS_DROP_HS_CLIENT_DEPTH] = "test_tls_verify.c",
        [TLS_DROP_HS_CLIENT_PURPOSE] = "test_tls_verify.c",
        [TLS_DROP_HS_PSK] = "test_tls_psk.c",
        [TLS_DROP_HS_SRP] = "test_tls_srp.c",
        [TLS_DROP_HS_TRAILING] = "test_tls_handover.c",
        [TLS_DROP_HS_LIBSSL_FULL] = "test_tls_handshake.c",
        [TLS_DROP_HS_QUEUE_FULL] = "test_tls_admission.c",
        [TLS_DROP_HS_QUEUE_TIMEOUT] = "test_tls_admission.c",
        [TLS_DROP_HS_SOURCE_LIMIT] = "test_tls_admission.c",
        [TLS_DROP_HS_CLIENT_GONE] = "test_tls_admission.c",
        [TLS_DROP_HS_STALLED] = "test_tls_admission.c",
        [TLS_DROP_HANDOVER] = "test_tls_drops.c", /* below */
        [TLS_DROP_LIBSSL] = "test_tls_handshake.c",
    };
    static const char *const names[TLS_DROP_COUNT] = {
#define X(name, alert, text) [TLS_DROP_##name] = "TLS_DROP_" #name,
#include "tls/tls_drops.def"
#undef X
    };

    for (int drop = 1; drop < TLS_DROP_COUNT; drop++) {
        bool here = false;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
            here |= (int)rows[i].drop == drop;
        if (!here)
            cr_assert(elsewhere[drop] && named_in(elsewhere[drop], names[drop]), "nothing reaches %s", names[drop]);
    }
}

/* libssl's last records do not open with the keys that were derived: nothing may be sealed with those. */
Test(tls_drops, handover_of_other_keys) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13});
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    struct tls_msg *msg = pool_get(&h.core.places, tls_conn_get(&h.core, h.id)->place);
    cr_assert_gt(msg->secret_bytes[TLS_WRITE], 0);
    msg->secret[TLS_WRITE][0] ^= 1;
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    cr_assert_eq(h.error, -TLS_DROP_HANDOVER);
    cr_assert_eq(h.core.stats.drops[TLS_DROP_HANDOVER], 1);
    cr_assert_eq(h.core.places.used, 0);
    harness_fini(&h);
}
