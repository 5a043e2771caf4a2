/* SPDX-License-Identifier: BSD-3-Clause */
/* What is kept of a client: exactly what its certificate says, in bounded memory that goes with the connection. */
#include <openssl/err.h>

#include "clients_fixture.h"

TestSuite(tls_identity, .init = cl_init, .fini = cl_fini);

Test(tls_identity, of_a_certificate) {
    int alert;
    uint8_t fingerprint[32];
    cr_assert(fx_load(), "%s", fx.error);
    cl_version(TLS_V13);
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
    cr_assert_not_null(id);
    cr_expect(id->certificate && !id->resumed);
    cr_expect_str_eq(id->common_name, "weir leaf");
    cr_expect_str_eq(id->alt_names, "DNS:device.example,IP:198.18.0.9,URI:urn:dev:1");
    cr_expect_str_eq(id->version, "TLSv1.3");
    cr_expect_str_eq(id->cipher, SSL_CIPHER_get_name(SSL_get_current_cipher(fx.h.client)));
    cr_expect_str_eq(id->psk, "");
    X509 *own = SSL_get_certificate(fx.h.client);
    uint8_t *der = NULL;
    int n = i2d_X509(own, &der);
    cr_expect(n == (int)id->der_bytes && memcmp(der, id->der, id->der_bytes) == 0);
    OPENSSL_free(der);
    X509_digest(own, EVP_sha256(), fingerprint, NULL);
    cr_expect_arr_eq(id->fingerprint, fingerprint, 32);
    cr_expect_eq(fx.h.core.stats.identities, 1);
    cr_expect_eq(fx.h.core.stats.identity_bytes, id->bytes);
    cr_expect_leq(id->bytes, TLS_IDENTITY_MAX);
    cl_end();
    cr_expect_eq(fx.h.core.stats.identities, 0);
    cr_expect_eq(fx.h.core.stats.identity_bytes, 0);
}

Test(tls_identity, names_only_where_they_are_wanted) {
    int alert;
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OFF;
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(fx_shake("a.example"));
    cr_expect_null(tls_conn_identity(&fx.h.core, fx.h.id), "nothing by default: it costs memory");
    cl_end();
    fx.config.tell_names = true;
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(fx_shake("a.example"));
    const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
    cr_assert_not_null(id);
    cr_expect(!id->certificate && id->der_bytes == 0);
    cr_expect_str_eq(id->server_name, "a.example");
    cr_expect_str_eq(id->common_name, "");
    cl_end();
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    cr_expect_str_eq(tls_conn_identity(&fx.h.core, fx.h.id)->server_name, "");
    cl_end();
}

/* What is asked for is what this hello says, be the name a certificate's or not, and whatever was asked for in the one
 * whose session is resumed. */
Test(tls_identity, server_name_of_a_resumed_session) {
    static const uint16_t versions[] = {TLS_V12, TLS_V13};
    static const char *const names[][2] = {{"a.example", "a.example"},
                                           {"x.example", "x.example"},
                                           {"x.example", "y.example"},
                                           {"a.x.example", "b.x.example"}};
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OFF;
    fx.config.tell_names = true;
    fx_add(KEY_EC, "DNS:*.x.example");
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t i = 0; i < 2 * WEIR_ARRAY_LEN(names); i++) {
        SSL_SESSION *made = NULL;
        cl_version(versions[i % 2]);
        for (int again = 0; again < 2; again++) {
            const char *name = names[i / 2][again];
            harness_connect(&fx.h, made);
            SSL_set_tlsext_host_name(fx.h.client, name);
            cr_assert(harness_handshake(&fx.h));
            bool other = strncmp(names[i / 2][0], "a.", 2) == 0 && strcmp(names[i / 2][0], names[i / 2][1]) != 0;
            bool refused = other && versions[i % 2] == TLS_V12; /* for a certificate's name (RFC 6066 section 3) */
            cr_expect_eq(SSL_session_reused(fx.h.client), again && !refused);
            const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
            cr_assert_not_null(id);
            cr_expect_str_eq(id->server_name, name, "version %x: %s for %s", versions[i % 2], id->server_name, name);
            harness_receive(&fx.h, 10);
            cl_end();
            SSL_SESSION_free(made);
            made = again ? NULL : SSL_SESSION_dup(cl_session);
        }
    }
}

/* Many names: those that fit are kept whole. */
Test(tls_identity, bounded) {
    static char names[9000];
    int alert;
    for (int i = 0; i < 300; i++)
        sprintf(names + strlen(names), "%sDNS:device-%03d.example", i ? "," : "", i);
    cl_issue(&(struct harness_certificate){
        .kind = KEY_EC, .alt_names = names, .issuer_certificate = cl_ca, .issuer_key = cl_ca_key});
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
    cr_assert_not_null(id);
    cr_expect_leq(id->bytes, TLS_IDENTITY_MAX);
    cr_expect_eq(id->der_bytes, 0, "longer than is kept");
    size_t n = strlen(id->alt_names);
    cr_expect(n < 1024 && n > 900 && strncmp(names, id->alt_names, n) == 0 && names[n] == ',');
    cl_end();
}
