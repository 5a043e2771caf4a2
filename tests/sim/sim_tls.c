/* SPDX-License-Identifier: BSD-3-Clause */
/* What both ends of the simulation bring along for TLS, which is libssl's: certificates, made once a process, and
 * contexts that insist on one suite each.
 *
 * Keys are Ed25519: signatures of one length whatever they sign, so that a run does not depend on the day. */
#include "sim.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *not_after;
    bool trusted;  /* by the system under test, where it meets servers */
    uint32_t host; /* of the first server's address; 0: it is for no address */
} kinds[SIM_CERT_COUNT] = {
    [SIM_CERT_WEIR] = {"weir", "22000101000000Z", false, 0},
    [SIM_CERT_SERVERS] = {"servers", "22000101000000Z", true, SIM_SERVER_HOST},
    [SIM_CERT_UNTRUSTED] = {"untrusted", "22000101000000Z", false, SIM_SERVER_HOST},
    [SIM_CERT_NAME] = {"name", "22000101000000Z", true, SIM_SERVER_HOST + SIM_MAX_SERVERS},
    [SIM_CERT_EXPIRED] = {"expired", "20210101000000Z", true, SIM_SERVER_HOST},
};
static const char *const files[] = {"server.crt", "server.key", "servers.crt"};

static struct {
    X509 *certificate[SIM_CERT_COUNT];
    EVP_PKEY *key[SIM_CERT_COUNT];
} world;

/* --- certificates --- */

static void must(bool ok) {
    if (ok)
        return;
    fprintf(stderr, "simulation: making a certificate failed\n");
    exit(2);
}

static void name_addresses(X509 *x, uint32_t host) {
    char text[256];
    size_t n = 0;
    for (unsigned i = 0; i < SIM_MAX_SERVERS; i++) {
        const uint32_t addr_be = SIM_ADDR(1, host + i);
        char address[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &addr_be, address, sizeof(address));
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%sIP:%s", n != 0 ? "," : "", address);
    }
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    must(names && X509_add_ext(x, names, -1) == 1);
    X509_EXTENSION_free(names);
}

static void certificate_make(enum sim_cert kind) {
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *x = X509_new();
    must(key && x && X509_set_version(x, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), kind + 1);
    ASN1_TIME_set_string(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(x), kinds[kind].not_after);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)kinds[kind].name,
                               -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    if (kinds[kind].host != 0)
        name_addresses(x, kinds[kind].host);
    must(X509_sign(x, key, NULL) > 0);
    world.certificate[kind] = x;
    world.key[kind] = key;
}

static FILE *create(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    must(f != NULL);
    return f;
}

void sim_tls_init(const char *folder) {
    for (unsigned i = 0; i < SIM_CERT_COUNT; i++)
        certificate_make(i);
    FILE *c = create(folder, files[0]), *k = create(folder, files[1]), *trusted = create(folder, files[2]);
    must(PEM_write_X509(c, world.certificate[SIM_CERT_WEIR]) == 1);
    must(PEM_write_PrivateKey(k, world.key[SIM_CERT_WEIR], NULL, NULL, 0, NULL, NULL) == 1);
    for (unsigned i = 0; i < SIM_CERT_COUNT; i++)
        if (kinds[i].trusted)
            must(PEM_write_X509(trusted, world.certificate[i]) == 1);
    fclose(c);
    fclose(k);
    fclose(trusted);
}

void sim_tls_fini(const char *folder) {
    for (unsigned i = 0; i < SIM_CERT_COUNT; i++) {
        X509_free(world.certificate[i]);
        EVP_PKEY_free(world.key[i]);
    }
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(files); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
}

/* --- contexts --- */

bool sim_tls_is_libssl(unsigned shape) {
    return shape == 3 || shape == 6;
}

static SSL_CTX *context(const SSL_METHOD *method, unsigned shape) {
    static const struct {
        const char *suites, *ciphers;
    } shapes[SIM_TLS_SHAPES] = {{"TLS_AES_128_GCM_SHA256", NULL},        {"TLS_AES_256_GCM_SHA384", NULL},
                                {"TLS_CHACHA20_POLY1305_SHA256", NULL},  {"TLS_AES_128_CCM_SHA256", NULL},
                                {NULL, "ECDHE-ECDSA-AES128-GCM-SHA256"}, {NULL, "ECDHE-ECDSA-CHACHA20-POLY1305"},
                                {NULL, "ECDHE-ECDSA-AES128-SHA256"}};
    SSL_CTX *t = SSL_CTX_new(method);
    if (t == NULL)
        abort();
    SSL_CTX_set_max_proto_version(t, shapes[shape].suites == NULL ? TLS1_2_VERSION : TLS1_3_VERSION);
    if (shapes[shape].suites != NULL)
        SSL_CTX_set_ciphersuites(t, shapes[shape].suites);
    else
        SSL_CTX_set_cipher_list(t, shapes[shape].ciphers);
    SSL_CTX_set_mode(t, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return t;
}

SSL_CTX *sim_tls_client(unsigned shape) {
    SSL_CTX *t = context(TLS_client_method(), shape);
    SSL_CTX_set_verify(t, SSL_VERIFY_NONE, NULL);
    return t;
}

SSL_CTX *sim_tls_server(unsigned shape, enum sim_cert kind, bool asks) {
    SSL_CTX *t = context(TLS_server_method(), shape);
    if (SSL_CTX_use_certificate(t, world.certificate[kind]) != 1 || SSL_CTX_use_PrivateKey(t, world.key[kind]) != 1)
        abort();
    SSL_CTX_set_session_id_context(t, (const unsigned char *)"sim", 3);
    if (!asks)
        return t;
    SSL_CTX_set_verify(t, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(t), world.certificate[SIM_CERT_WEIR]) != 1)
        abort();
    return t;
}
