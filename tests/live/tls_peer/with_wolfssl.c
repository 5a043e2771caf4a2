/* SPDX-License-Identifier: BSD-3-Clause */
/* wolfSSL, as devices have it. */
#include "tls_peer.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <stdio.h>
#include <string.h>

static struct {
    const struct peer_options *o;
    WOLFSSL_CTX *ctx;
    WOLFSSL *ssl;
    WOLFSSL_SESSION *session;
} peer;

static bool failed(const char *what, int rc) {
    char text[WOLFSSL_MAX_ERROR_SZ] = "";

    if (peer.ssl)
        wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(peer.ssl, rc), text);
    fprintf(stderr, "%s: %d %s\n", what, rc, text);
    return false;
}

static const struct {
    const char *name;
    uint16_t number;
} groups[] = {{"X25519", WOLFSSL_ECC_X25519}, {"P-256", WOLFSSL_ECC_SECP256R1}, {"P-384", WOLFSSL_ECC_SECP384R1}};
#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))

static unsigned psk_tell(WOLFSSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *psk,
                         unsigned psk_max) {
    (void)ssl;
    (void)hint;
    return peer_psk(peer.o, identity, identity_max, psk, psk_max);
}

static bool groups_offer(const char *names) {
    for (size_t i = 0; i < N_GROUPS; i++)
        if (strstr(names, groups[i].name) &&
            wolfSSL_CTX_UseSupportedCurve(peer.ctx, groups[i].number) != WOLFSSL_SUCCESS)
            return false;
    return true;
}

/* 1.3: a share of the first one on offer. */
static bool share_offer(const char *names) {
    for (size_t i = 0; i < N_GROUPS; i++)
        if (strstr(names, groups[i].name))
            return wolfSSL_UseKeyShare(peer.ssl, groups[i].number) == WOLFSSL_SUCCESS;
    return true;
}

static bool prepare(const struct peer_options *o) {
    peer.o = o;
    wolfSSL_Init();
    peer.ctx = wolfSSL_CTX_new(o->tls13 ? wolfTLSv1_3_client_method() : wolfTLSv1_2_client_method());
    if (!peer.ctx)
        return failed("version", 0);
    if (o->suite && wolfSSL_CTX_set_cipher_list(peer.ctx, o->suite) != WOLFSSL_SUCCESS)
        return failed("suite", 0);
    if (o->groups && !groups_offer(o->groups))
        return failed("group", 0);
    if (o->certificate && (wolfSSL_CTX_use_certificate_chain_file(peer.ctx, o->certificate) != WOLFSSL_SUCCESS ||
                           wolfSSL_CTX_use_PrivateKey_file(peer.ctx, o->key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS))
        return failed("certificate", 0);
    if (o->ca && wolfSSL_CTX_load_verify_locations(peer.ctx, o->ca, NULL) != WOLFSSL_SUCCESS)
        return failed("ca", 0);
    if (o->fragment && wolfSSL_CTX_UseMaxFragment(peer.ctx, o->fragment) != WOLFSSL_SUCCESS)
        return failed("fragment", 0);
    if (o->psk_identity)
        wolfSSL_CTX_set_psk_client_callback(peer.ctx, psk_tell);
    wolfSSL_CTX_set_verify(peer.ctx, o->ca ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE, NULL);
    return wolfSSL_CTX_UseSessionTicket(peer.ctx) == WOLFSSL_SUCCESS;
}

static bool open_(int fd) {
    peer.ssl = wolfSSL_new(peer.ctx);
    if (!peer.ssl || wolfSSL_set_fd(peer.ssl, fd) != WOLFSSL_SUCCESS)
        return failed("connection", 0);
    if (peer.o->name && (wolfSSL_UseSNI(peer.ssl, WOLFSSL_SNI_HOST_NAME, peer.o->name,
                                        (uint16_t)strlen(peer.o->name)) != WOLFSSL_SUCCESS ||
                         wolfSSL_check_domain_name(peer.ssl, peer.o->name) != WOLFSSL_SUCCESS))
        return failed("name", 0);
    if (peer.o->tls13 && peer.o->groups && !share_offer(peer.o->groups))
        return failed("key share", 0);
    if (peer.session && wolfSSL_set_session(peer.ssl, peer.session) != WOLFSSL_SUCCESS)
        return failed("session", 0);
    int rc = wolfSSL_connect(peer.ssl);
    if (rc != WOLFSSL_SUCCESS)
        return failed("handshake", rc);
    wolfSSL_set_using_nonblock(peer.ssl, 1);
    return true;
}

static int verdict(int rc, const char *what) {
    switch (wolfSSL_get_error(peer.ssl, rc)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
        return PEER_AGAIN;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return PEER_END;
    default:
        failed(what, rc);
        return PEER_FAILED;
    }
}

static ssize_t write_(const void *data, size_t n) {
    int rc = wolfSSL_write(peer.ssl, data, (int)n);
    return rc > 0 ? rc : verdict(rc, "write");
}

static ssize_t read_(void *data, size_t n) {
    int rc = wolfSSL_read(peer.ssl, data, (int)n);
    return rc > 0 ? rc : verdict(rc, "read");
}

static int key_update(void) {
    int rc = wolfSSL_update_keys(peer.ssl);
    return rc == WOLFSSL_SUCCESS ? 0 : verdict(rc, "key update");
}

static void agreed(struct peer_agreed *out) {
    const char *group = wolfSSL_get_curve_name(peer.ssl);

    snprintf(out->version, sizeof(out->version), "%s", wolfSSL_get_version(peer.ssl));
    snprintf(out->suite, sizeof(out->suite), "%s", wolfSSL_get_cipher_name(peer.ssl));
    snprintf(out->group, sizeof(out->group), "%s", group ? group : "");
    out->resumed = wolfSSL_session_reused(peer.ssl);
}

static bool keep(void) {
    peer.session = wolfSSL_get1_session(peer.ssl);
    return peer.session ? true : failed("no session to resume", 0);
}

static void close_(void) {
    wolfSSL_shutdown(peer.ssl);
    wolfSSL_free(peer.ssl);
    peer.ssl = NULL;
}

const struct peer_tls peer_tls = {prepare, open_, write_, read_, key_update, agreed, keep, close_};
