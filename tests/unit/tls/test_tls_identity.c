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
    for (int kind = 0; kind < TLS_ALT_NAMES; kind++)
        cr_expect_str_eq(id->alt_names[kind], "", "not by default: they cost memory");
    cr_expect_str_eq(id->version, "TLSv1.3");
    cr_expect_str_eq(id->cipher, SSL_CIPHER_get_name(SSL_get_current_cipher(fx.h.client)));
    cr_expect_str_eq(id->psk, "");
    cr_expect_eq(id->der_bytes, 0);
    X509_digest(SSL_get_certificate(fx.h.client), EVP_sha256(), fingerprint, NULL);
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

/* All of it, where it is asked for. */
Test(tls_identity, the_certificate_itself) {
    int alert;
    uint8_t *der = NULL;
    fx.config.keep_certificate = true;
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
    cr_assert_not_null(id);
    int n = i2d_X509(SSL_get_certificate(fx.h.client), &der);
    cr_assert_eq(n, (int)id->der_bytes);
    cr_expect_arr_eq(der, id->der, (size_t)n);
    cr_expect_leq(id->bytes, TLS_IDENTITY_MAX + TLS_IDENTITY_DER_MAX);
    OPENSSL_free(der);
    cl_end();
}

#define DNS   (1u << TLS_ALT_DNS)
#define EMAIL (1u << TLS_ALT_EMAIL)
#define URI   (1u << TLS_ALT_URI)

struct alt {
    int type; /* GEN_DNS and so on */
    const char *text;
    int bytes; /* 0: to its end */
};

/* A client whose certificate has these names, in a handshake that has to be good. `session`: to be resumed. */
static const struct tls_identity *alt_shake(const struct alt *alts, uint32_t kinds, SSL_SESSION *session) {
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int alert;
    for (const struct alt *a = alts; a->text && !session; a++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = a->type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
        ASN1_STRING_set(value, a->text, a->bytes ? a->bytes : (int)strlen(a->text));
        GENERAL_NAME_set0_value(name, a->type, value);
        sk_GENERAL_NAME_push(names, name);
    }
    if (!session)
        cl_issue(&(struct harness_certificate){
            .kind = KEY_EC, .names = alts->text ? names : NULL, .issuer_certificate = cl_ca, .issuer_key = cl_ca_key});
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    if (!session) {
        fx.config.keep_alt_names = kinds;
        cr_assert(fx_load(), "%s", fx.error);
    }
    cr_assert_eq(cl_shake(session, &alert), TLS_DROP_NONE);
    const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
    cr_assert(id && id->certificate);
    return id;
}

/* The first of each kind as it stands in the certificate, or none: no name passes for one of another kind, none is cut,
 * and none comes in the place of another that is no text. */
Test(tls_identity, alternative_names) {
    static char longest[TLS_IDENTITY_ALT_MAX + 1], longer[TLS_IDENTITY_ALT_MAX + 2];
    static const struct {
        struct alt alts[5];
        uint32_t kinds;
        const char *want[TLS_ALT_NAMES];
    } cases[] = {
        {{{GEN_IPADD, "\xc6\x12\0\x09", 4},
          {GEN_URI, "urn:dev:1,DNS:admin.example", 0},
          {GEN_EMAIL, "device@fleet.example", 0},
          {GEN_DNS, "device.example", 0}},
         DNS | EMAIL | URI,
         {"device.example", "device@fleet.example", "urn:dev:1,DNS:admin.example"}},
        {{{GEN_DNS, "a.example", 0}, {GEN_URI, "urn:a", 0}, {GEN_DNS, "b.example", 0}, {GEN_URI, "urn:b", 0}},
         DNS | EMAIL | URI,
         {"a.example", "", "urn:a"}},
        {{{GEN_DNS, "a.example", 0}, {GEN_EMAIL, "a@example", 0}, {GEN_URI, "urn:a", 0}}, EMAIL, {"", "a@example", ""}},
        {{{GEN_URI, "urn:dev:1,DNS:admin.example", 0}}, DNS | EMAIL, {"", "", ""}},
        {{{GEN_DNS, "admin.example\0.evil.example", 27}, {GEN_DNS, "b.example", 0}}, DNS, {"", "", ""}},
        {{{GEN_DNS, "admin.example\0", 14}}, DNS, {"", "", ""}},
        {{{GEN_URI, "urn:a\nb", 0}, {GEN_EMAIL, "a\x7f@example", 0}, {GEN_DNS, "caf\xc3\xa9.example", 0}},
         DNS | EMAIL | URI,
         {"", "", ""}},
        {{{GEN_URI, longer, 0}, {GEN_URI, "urn:b", 0}, {GEN_EMAIL, longest, 0}}, URI | EMAIL, {"", longest, ""}},
        {{{GEN_DNS, NULL, 0}}, DNS | EMAIL | URI, {"", "", ""}},
    };
    memset(longest, 'a', sizeof(longest) - 1);
    memset(longer, 'a', sizeof(longer) - 1);
    cl_version(TLS_V13);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        const struct tls_identity *id = alt_shake(cases[i].alts, cases[i].kinds, NULL);
        for (int kind = 0; kind < TLS_ALT_NAMES; kind++)
            cr_expect_str_eq(id->alt_names[kind], cases[i].want[kind], "case %zu, kind %d: %s", i, kind,
                             id->alt_names[kind]);
        cr_expect_leq(id->bytes, TLS_IDENTITY_MAX + 3 * TLS_IDENTITY_ALT_MAX);
        cl_end();
    }
}

/* A ticket carries the certificate, not what was made of it. */
Test(tls_identity, alternative_names_of_a_resumed_session) {
    static const struct alt alts[] = {{GEN_URI, "urn:dev:1,DNS:admin.example", 0}, {GEN_DNS, "a.example", 0}, {0}};
    static const uint16_t versions[] = {TLS_V12, TLS_V13};
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        cl_version(versions[v]);
        alt_shake(alts, DNS | URI, NULL);
        harness_receive(&fx.h, 10);
        cl_end();
        SSL_SESSION *made = SSL_SESSION_dup(cl_session);
        const struct tls_identity *id = alt_shake(alts, 0, made);
        cr_expect(id->resumed);
        cr_expect_str_eq(id->alt_names[TLS_ALT_DNS], "a.example");
        cr_expect_str_eq(id->alt_names[TLS_ALT_URI], "urn:dev:1,DNS:admin.example");
        SSL_SESSION_free(made);
        cl_end();
    }
}

/* Two extensions that each say who it is: nobody's word. */
Test(tls_identity, alternative_names_twice) {
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_IA5STRING_new();
    int alert;
    ASN1_STRING_set(value, "b.example", -1);
    GENERAL_NAME_set0_value(name, GEN_DNS, value);
    sk_GENERAL_NAME_push(names, name);
    cl_issue(&(struct harness_certificate){.kind = KEY_EC,
                                           .alt_names = "DNS:a.example",
                                           .names = names,
                                           .issuer_certificate = cl_ca,
                                           .issuer_key = cl_ca_key});
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    fx.config.keep_alt_names = DNS;
    cr_assert(fx_load(), "%s", fx.error);
    if (cl_shake(NULL, &alert) == TLS_DROP_NONE)
        cr_expect_str_eq(tls_conn_identity(&fx.h.core, fx.h.id)->alt_names[TLS_ALT_DNS], "");
    cl_end();
}

/* Many names: the first is kept, and what is kept is bounded. */
Test(tls_identity, bounded) {
    static char names[9000];
    int alert;
    for (int i = 0; i < 300; i++)
        sprintf(names + strlen(names), "%sDNS:device-%03d.example", i ? "," : "", i);
    cl_issue(&(struct harness_certificate){
        .kind = KEY_EC, .alt_names = names, .issuer_certificate = cl_ca, .issuer_key = cl_ca_key});
    fx.config.keep_alt_names = DNS;
    fx.config.keep_certificate = true;
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
    cr_assert_not_null(id);
    cr_expect_leq(id->bytes, TLS_IDENTITY_MAX);
    cr_expect_eq(id->der_bytes, 0, "longer than is kept");
    cr_expect_str_eq(id->alt_names[TLS_ALT_DNS], "device-000.example");
    cl_end();
}
