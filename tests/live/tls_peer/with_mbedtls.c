/* SPDX-License-Identifier: BSD-3-Clause */
/* Mbed TLS 2.28, as devices have it: TLS 1.2. */
#include "tls_peer.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>

#include <stdio.h>
#include <string.h>

static struct {
    const struct peer_options *o;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    mbedtls_ssl_config config;
    mbedtls_x509_crt ca, own;
    mbedtls_pk_context key;
    mbedtls_net_context net;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_session session;
    bool has_session, offered;
    unsigned char master[48]; /* of the session offered: its own again where it was resumed */
    int suites[2];
    mbedtls_ecp_group_id groups[4]; /* the last: none */
} peer;

static bool failed(const char *what, int rc) {
    char text[160];

    mbedtls_strerror(rc, text, sizeof(text));
    fprintf(stderr, "%s: %s\n", what, text);
    return false;
}

static void groups_offer(const char *names) {
    static const struct {
        const char *name;
        mbedtls_ecp_group_id id;
    } known[] = {{"X25519", MBEDTLS_ECP_DP_CURVE25519},
                 {"P-256", MBEDTLS_ECP_DP_SECP256R1},
                 {"P-384", MBEDTLS_ECP_DP_SECP384R1}};
    size_t n = 0;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strstr(names, known[i].name))
            peer.groups[n++] = known[i].id;
    mbedtls_ssl_conf_curves(&peer.config, peer.groups);
}

static bool files_load(const struct peer_options *o) {
    int rc = 0;

    if (o->ca && (rc = mbedtls_x509_crt_parse_file(&peer.ca, o->ca)) != 0)
        return failed(o->ca, rc);
    if (o->certificate && ((rc = mbedtls_x509_crt_parse_file(&peer.own, o->certificate)) != 0 ||
                           (rc = mbedtls_pk_parse_keyfile(&peer.key, o->key, NULL)) != 0 ||
                           (rc = mbedtls_ssl_conf_own_cert(&peer.config, &peer.own, &peer.key)) != 0))
        return failed(o->certificate, rc);
    if (o->ca)
        mbedtls_ssl_conf_ca_chain(&peer.config, &peer.ca, NULL);
    mbedtls_ssl_conf_authmode(&peer.config, o->ca ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    return true;
}

static bool prepare(const struct peer_options *o) {
    int rc;

    peer.o = o;
    mbedtls_entropy_init(&peer.entropy);
    mbedtls_ctr_drbg_init(&peer.drbg);
    mbedtls_ssl_config_init(&peer.config);
    mbedtls_x509_crt_init(&peer.ca);
    mbedtls_x509_crt_init(&peer.own);
    mbedtls_pk_init(&peer.key);
    mbedtls_ssl_session_init(&peer.session);
    if ((rc = mbedtls_ctr_drbg_seed(&peer.drbg, mbedtls_entropy_func, &peer.entropy, NULL, 0)) != 0 ||
        (rc = mbedtls_ssl_config_defaults(&peer.config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT)) != 0)
        return failed("set-up", rc);
    mbedtls_ssl_conf_rng(&peer.config, mbedtls_ctr_drbg_random, &peer.drbg);
    mbedtls_ssl_conf_min_version(&peer.config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    if (o->suite && (peer.suites[0] = mbedtls_ssl_get_ciphersuite_id(o->suite)) == 0)
        return failed(o->suite, 0);
    if (o->suite)
        mbedtls_ssl_conf_ciphersuites(&peer.config, peer.suites);
    if (o->groups)
        groups_offer(o->groups);
    if (o->fragment && (rc = mbedtls_ssl_conf_max_frag_len(&peer.config, o->fragment)) != 0)
        return failed("fragment", rc);
    if (o->psk_identity &&
        (rc = mbedtls_ssl_conf_psk(&peer.config, o->psk, o->psk_bytes, (const unsigned char *)o->psk_identity,
                                   strlen(o->psk_identity))) != 0)
        return failed("psk", rc);
    return files_load(o);
}

static bool open_(int fd) {
    int rc;

    mbedtls_ssl_init(&peer.ssl);
    peer.net.fd = fd;
    if ((rc = mbedtls_ssl_setup(&peer.ssl, &peer.config)) != 0 ||
        (peer.o->name && (rc = mbedtls_ssl_set_hostname(&peer.ssl, peer.o->name)) != 0) ||
        (peer.has_session && (rc = mbedtls_ssl_set_session(&peer.ssl, &peer.session)) != 0))
        return failed("connection", rc);
    peer.offered = peer.has_session;
    mbedtls_ssl_set_bio(&peer.ssl, &peer.net, mbedtls_net_send, mbedtls_net_recv, NULL);
    if ((rc = mbedtls_ssl_handshake(&peer.ssl)) != 0)
        return failed("handshake", rc);
    return true;
}

static int verdict(int rc, const char *what) {
    switch (rc) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return PEER_AGAIN;
    case 0:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return PEER_END;
    default:
        failed(what, rc);
        return PEER_FAILED;
    }
}

static ssize_t write_(const void *data, size_t n) {
    int rc = mbedtls_ssl_write(&peer.ssl, data, n);
    return rc > 0 ? rc : verdict(rc, "write");
}

static ssize_t read_(void *data, size_t n) {
    int rc = mbedtls_ssl_read(&peer.ssl, data, n);
    return rc > 0 ? rc : verdict(rc, "read");
}

static int key_update(void) {
    fputs("TLS 1.2 has no key updates\n", stderr);
    return PEER_FAILED;
}

/* Which group it was it does not tell, and whether a session was resumed only by its master secret. */
static void agreed(struct peer_agreed *out) {
    const mbedtls_ssl_session *now = mbedtls_ssl_get_session_pointer(&peer.ssl);

    snprintf(out->version, sizeof(out->version), "%s", mbedtls_ssl_get_version(&peer.ssl));
    snprintf(out->suite, sizeof(out->suite), "%s", mbedtls_ssl_get_ciphersuite(&peer.ssl));
    out->resumed = peer.offered && memcmp(now->master, peer.master, sizeof(peer.master)) == 0;
}

static bool keep(void) {
    int rc = mbedtls_ssl_get_session(&peer.ssl, &peer.session);

    if (rc != 0)
        return failed("no session to resume", rc);
    memcpy(peer.master, peer.session.master, sizeof(peer.master));
    peer.has_session = true;
    return true;
}

static void close_(void) {
    mbedtls_ssl_close_notify(&peer.ssl);
    mbedtls_ssl_free(&peer.ssl);
}

const struct peer_tls peer_tls = {prepare, open_, write_, read_, key_update, agreed, keep, close_};
