/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenSSL: the one that sends key updates of its own as often as it is told to. */
#include "tls_peer.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

static struct {
    const struct peer_options *o;
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session;
} peer;

static bool failed(const char *what) {
    fprintf(stderr, "%s: ", what);
    ERR_print_errors_fp(stderr);
    fputc('\n', stderr);
    return false;
}

static unsigned psk_tell(SSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *psk,
                         unsigned psk_max) {
    (void)ssl;
    (void)hint;
    return peer_psk(peer.o, identity, identity_max, psk, psk_max);
}

static bool prepare(const struct peer_options *o) {
    int version = o->tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;

    peer.o = o;
    peer.ctx = SSL_CTX_new(TLS_client_method());
    if (!peer.ctx || !SSL_CTX_set_min_proto_version(peer.ctx, version) ||
        !SSL_CTX_set_max_proto_version(peer.ctx, version))
        return failed("version");
    if (o->suite &&
        (o->tls13 ? SSL_CTX_set_ciphersuites(peer.ctx, o->suite) : SSL_CTX_set_cipher_list(peer.ctx, o->suite)) != 1)
        return failed("suite");
    if (o->groups && SSL_CTX_set1_groups_list(peer.ctx, o->groups) != 1)
        return failed("groups");
    if (o->certificate && (SSL_CTX_use_certificate_chain_file(peer.ctx, o->certificate) != 1 ||
                           SSL_CTX_use_PrivateKey_file(peer.ctx, o->key, SSL_FILETYPE_PEM) != 1))
        return failed("certificate");
    if (o->ca && SSL_CTX_load_verify_file(peer.ctx, o->ca) != 1)
        return failed("ca");
    if (o->fragment && SSL_CTX_set_tlsext_max_fragment_length(peer.ctx, o->fragment) != 1)
        return failed("fragment");
    if (o->psk_identity)
        SSL_CTX_set_psk_client_callback(peer.ctx, psk_tell);
    SSL_CTX_set_verify(peer.ctx, o->ca ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(peer.ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(peer.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return true;
}

static bool open_(int fd) {
    peer.ssl = SSL_new(peer.ctx);
    if (!peer.ssl || SSL_set_fd(peer.ssl, fd) != 1)
        return failed("connection");
    if (peer.o->name &&
        (SSL_set_tlsext_host_name(peer.ssl, peer.o->name) != 1 || !SSL_set1_host(peer.ssl, peer.o->name)))
        return failed("name");
    if (peer.session && SSL_set_session(peer.ssl, peer.session) != 1)
        return failed("session");
    return SSL_connect(peer.ssl) == 1 ? true : failed("handshake");
}

static int verdict(int rc, const char *what) {
    switch (SSL_get_error(peer.ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return PEER_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return PEER_END;
    default:
        failed(what);
        return PEER_FAILED;
    }
}

static ssize_t write_(const void *data, size_t n) {
    ERR_clear_error();
    int rc = SSL_write(peer.ssl, data, (int)n);
    return rc > 0 ? rc : verdict(rc, "write");
}

static ssize_t read_(void *data, size_t n) {
    ERR_clear_error();
    int rc = SSL_read(peer.ssl, data, (int)n);
    return rc > 0 ? rc : verdict(rc, "read");
}

/* It goes out with the next record. */
static int key_update(void) {
    return SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 ? 0 : (failed("key update"), PEER_FAILED);
}

static void agreed(struct peer_agreed *out) {
    snprintf(out->version, sizeof(out->version), "%s", SSL_get_version(peer.ssl));
    snprintf(out->suite, sizeof(out->suite), "%s", SSL_get_cipher_name(peer.ssl));
    const char *group = SSL_group_to_name(peer.ssl, (int)SSL_get_negotiated_group(peer.ssl));
    snprintf(out->group, sizeof(out->group), "%s", group ? group : "");
    out->resumed = SSL_session_reused(peer.ssl);
}

static bool keep(void) {
    peer.session = SSL_get1_session(peer.ssl);
    return peer.session && SSL_SESSION_is_resumable(peer.session) ? true : failed("no session to resume");
}

static void close_(void) {
    SSL_shutdown(peer.ssl);
    SSL_free(peer.ssl);
    peer.ssl = NULL;
}

const struct peer_tls peer_tls = {prepare, open_, write_, read_, key_update, agreed, keep, close_};
