/* SPDX-License-Identifier: BSD-3-Clause */
/* Pre-shared keys: the file, and handshakes of both versions with them, with and without a certificate beside. */
#include "certs_fixture.h"
#include "tls/tls_psk.h"

#include <openssl/err.h>

static char psk_file[] = "/tmp/weir-psk-XXXXXX", error[256];
static const char *identity = "device-1";
static uint8_t client_key[TLS_PSK_KEY_MAX];
static unsigned client_key_bytes;
static SSL_SESSION *session;

static void file_write(const char *text) {
    FILE *f = fopen(psk_file, "w");
    fputs(text, f);
    fclose(f);
}

static unsigned client(SSL *ssl, const char *hint, char *name, unsigned name_room, unsigned char *key, unsigned room) {
    (void)ssl;
    (void)hint;
    snprintf(name, name_room, "%s", identity);
    cr_assert_geq(room, client_key_bytes);
    memcpy(key, client_key, client_key_bytes);
    return client_key_bytes;
}

static int new_session(SSL *ssl, SSL_SESSION *made) {
    (void)ssl;
    SSL_SESSION_free(session);
    session = made;
    return 1;
}

static void set_up(void) {
    fx_init();
    close(mkstemp(psk_file));
    file_write("# devices\ndevice-0:00112233445566778899aabbccddeeff\n"
               "device-1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    for (client_key_bytes = 0; client_key_bytes < 32; client_key_bytes++)
        client_key[client_key_bytes] = (uint8_t)client_key_bytes;
    fx.config.psk_file = psk_file;
    SSL_CTX_set_psk_client_callback(fx.h.client_ctx, client);
    SSL_CTX_set_cipher_list(fx.h.client_ctx, "PSK");
    SSL_CTX_set_session_cache_mode(fx.h.client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(fx.h.client_ctx, new_session);
}

static void done(void) {
    SSL_SESSION_free(session);
    session = NULL;
    unlink(psk_file);
    fx_fini();
}

TestSuite(tls_psk, .init = set_up, .fini = done);

static const uint16_t versions[] = {TLS_V12, TLS_V13};

static bool shake(uint16_t version, SSL_SESSION *offer) {
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, version);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, version);
    SSL_SESSION *copy = offer ? SSL_SESSION_dup(offer) : NULL; /* libssl marks what it resumes as used up */
    harness_connect(&fx.h, copy);
    SSL_SESSION_free(copy);
    return harness_handshake(&fx.h);
}

static void end(void) {
    SSL_shutdown(fx.h.client);
    harness_disconnect(&fx.h);
}

Test(tls_psk, without_any_certificate) {
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(tls_ctx_expires_in_s(fx.h.ctx), INT64_MAX);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        cr_assert(shake(versions[v], NULL), "version %x: %d", versions[v], fx.h.error);
        const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
        cr_assert_not_null(id);
        cr_expect(!id->certificate && !id->resumed);
        cr_expect_str_eq(id->psk, "device-1");
        struct tls_info info;
        tls_conn_info(&fx.h.core, fx.h.id, &info);
        cr_expect(info.taken_over && !info.resumed, "%s", info.suite);
        harness_receive(&fx.h, 3000);
        harness_send(&fx.h, 3000, 1000);
        end();
        cr_assert(shake(versions[v], session));
        cr_expect(SSL_session_reused(fx.h.client));
        id = tls_conn_identity(&fx.h.core, fx.h.id);
        cr_assert_not_null(id, "a resumed session knows whose it is");
        cr_expect(id->resumed || versions[v] == TLS_V13);
        cr_expect_str_eq(id->psk, "device-1");
        end();
    }
}

/* Each suite of TLS 1.2 with such keys that comes by default. */
Test(tls_psk, suites) {
    static const char *const suites[] = {"ECDHE-PSK-CHACHA20-POLY1305", "DHE-PSK-AES128-GCM-SHA256",
                                         "DHE-PSK-AES256-GCM-SHA384",   "PSK-AES128-GCM-SHA256",
                                         "PSK-AES256-GCM-SHA384",       "PSK-CHACHA20-POLY1305"};
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++) {
        SSL_CTX_set_cipher_list(fx.h.client_ctx, suites[i]);
        cr_assert(shake(TLS_V12, NULL), "%s: %d", suites[i], fx.h.error);
        struct tls_info info;
        tls_conn_info(&fx.h.core, fx.h.id, &info);
        cr_expect(info.taken_over, "%s", suites[i]);
        harness_receive(&fx.h, 3000);
        harness_send(&fx.h, 3000, 1000);
        end();
    }
}

/* An identity that is not known fails as one with a wrong key does. */
Test(tls_psk, unknown_and_wrong_look_alike) {
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        int alerts[2];
        for (int unknown = 0; unknown < 2; unknown++) {
            identity = unknown ? "device-2" : "device-1";
            client_key[0] = unknown ? 0 : 1;
            cr_expect(!shake(versions[v], NULL));
            cr_expect_eq(fx.h.error, -TLS_DROP_HS_PSK, "version %x: %d", versions[v], fx.h.error);
            ERR_clear_error();
            SSL_do_handshake(fx.h.client);
            alerts[unknown] = ERR_GET_REASON(ERR_peek_last_error());
            ERR_clear_error();
            end();
        }
        cr_expect_eq(alerts[0], alerts[1], "version %x: %d, %d", versions[v], alerts[0], alerts[1]);
        cr_expect_gt(alerts[0], SSL_AD_REASON_OFFSET);
    }
}

Test(tls_psk, beside_a_certificate) {
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(shake(TLS_V13, NULL));
    cr_expect_str_eq(tls_conn_identity(&fx.h.core, fx.h.id)->psk, "device-1");
    end();
    identity = "device-2"; /* the certificate serves */
    cr_assert(shake(TLS_V13, NULL));
    cr_expect_null(tls_conn_identity(&fx.h.core, fx.h.id));
    end();
}

/* A full handshake in TLS 1.2, with the certificate of `server_name` (NULL: the default), by a client that shows
 * somebody's ticket. */
static void ticket_show(SSL_SESSION *from, const char *server_name) {
    const uint8_t *ticket;
    size_t n;
    SSL_SESSION_get0_ticket(from, &ticket, &n);
    cr_assert_gt(n, 0);
    SSL_CTX_set_cipher_list(fx.h.client_ctx, "ECDHE:PSK");
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, TLS_V12);
    harness_connect(&fx.h, NULL);
    if (server_name)
        SSL_set_tlsext_host_name(fx.h.client, server_name);
    SSL_set_session_ticket_ext(fx.h.client, (void *)(uintptr_t)ticket, (int)n);
    cr_assert(harness_handshake(&fx.h), "%d", fx.h.error);
    cr_expect(!SSL_session_reused(fx.h.client));
}

/* A ticket shows in the clear: in the hello that offers it, in TLS 1.2 when it is given out, too. Who has seen one
 * knows no key, so where it is not resumed after all, being for another version or name, it says nothing of who this
 * is. */
Test(tls_psk, ticket_that_is_not_resumed_names_nobody) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        SSL_CTX_set_cipher_list(fx.h.client_ctx, "PSK");
        cr_assert(shake(versions[v], NULL));
        cr_expect_str_eq(tls_conn_identity(&fx.h.core, fx.h.id)->psk, "device-1");
        harness_receive(&fx.h, 10);
        SSL_SESSION *made = SSL_SESSION_dup(session);
        end();
        ticket_show(made, versions[v] == TLS_V13 ? NULL : "b.example"); /* of another version, or name */
        cr_expect_null(tls_conn_identity(&fx.h.core, fx.h.id), "version %x", versions[v]);
        end();
        SSL_SESSION_free(made);
    }
}

/* A device whose key is taken out of the file, or replaced, has to prove itself anew. */
Test(tls_psk, session_ends_with_its_key) {
    static const char *const files[] = {"device-0:00112233445566778899aabbccddeeff\n",
                                        "device-1:00112233445566778899aabbccddeeff\n"};
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(files); i++) {
            file_write("device-1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
            cr_assert(fx_load(), "%s", fx.error);
            cr_assert(shake(versions[v], NULL));
            harness_receive(&fx.h, 10);
            SSL_SESSION *made = SSL_SESSION_dup(session);
            end();
            cr_assert(fx_load(), "%s", fx.error);
            cr_assert(shake(versions[v], made), "the same key is as good as before");
            cr_expect(SSL_session_reused(fx.h.client));
            end();
            file_write(files[i]);
            cr_assert(fx_load(), "%s", fx.error);
            cr_expect(!shake(versions[v], made), "version %x, file %zu", versions[v], i);
            cr_expect_eq(fx.h.error, -TLS_DROP_HS_PSK, "version %x, file %zu: %d", versions[v], i, fx.h.error);
            end();
            SSL_SESSION_free(made);
        }
    }
}

/* Where a certificate is required of all others. */
Test(tls_psk, sessions_where_certificates_are_required) {
    fx_add(KEY_EC, "DNS:a.example");
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_REQUIRED;
    fx.config.client_ca_file = fx.certificate[0];
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        identity = "device-1";
        cr_assert(shake(versions[v], NULL), "version %x: %d", versions[v], fx.h.error);
        harness_receive(&fx.h, 10);
        SSL_SESSION *made = SSL_SESSION_dup(session);
        end();
        identity = "device-2"; /* 1.3 offers the key beside the ticket: nobody has this one */
        cr_expect(shake(versions[v], made) && SSL_session_reused(fx.h.client), "version %x: %d", versions[v],
                  fx.h.error);
        const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
        cr_expect(id && strcmp(id->psk, "device-1") == 0);
        end();
        SSL_SESSION_free(made);
    }
}

/* What the file held serves on, and what else is new is taken: a certificate that was renewed. */
Test(tls_psk, bad_file_on_reload) {
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        file_write("device-1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
        cr_assert(fx_load(), "%s", fx.error);
        cr_assert(shake(versions[v], NULL));
        harness_receive(&fx.h, 10);
        SSL_SESSION *made = SSL_SESSION_dup(session);
        end();
        struct tls_cert *before = fx.h.ctx->certs->certs[0];
        atomic_fetch_add(&before->references, 1);
        file_write("device-1:00\nnonsense\n");
        fx_renew(0, KEY_EC, "DNS:a.example");
        for (int again = 0; again < 2; again++) { /* and what was kept is kept on */
            cr_assert(fx_load(), "%s", fx.error);
            cr_expect(fx.refusals == 1 && strstr(fx.told, psk_file) && strstr(fx.told, ":2: not identity:key"), "%s",
                      fx.told);
            cr_expect_neq(fx.h.ctx->certs->certs[0], before);
            cr_assert(shake(versions[v], again ? made : NULL), "%d", fx.h.error);
            cr_expect_str_eq(tls_conn_identity(&fx.h.core, fx.h.id)->psk, "device-1");
            end();
        }
        tls_cert_unref(before);
        SSL_SESSION_free(made);
    }
}

Test(tls_psk, bad_file_that_is_new) {
    file_write("nonsense\n");
    cr_expect(!fx_load() && strstr(fx.error, "psk_file"), "%s", fx.error);
    file_write("device-1:00112233445566778899aabbccddeeff\n");
    cr_assert(fx_load(), "%s", fx.error);
    fx.config.psk_file = "/nowhere/psk";
    cr_expect(!fx_load() && strstr(fx.error, "psk_file /nowhere/psk"), "another's keys are no substitute: %s",
              fx.error);
}

static void refused(const char *text, unsigned line, const char *what) {
    uint32_t weak;
    char place[64];
    file_write(text);
    snprintf(place, sizeof(place), line ? "psk_file %s:%u: " : "psk_file %s: ", psk_file, line);
    cr_expect_null(tls_psk_new(psk_file, &weak, error, sizeof(error)), "%s", text);
    cr_expect(strncmp(error, place, strlen(place)) == 0 && strstr(error, what), "%s", error);
}

Test(tls_psk, refuses) {
    char longer[400];
    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    refused("", 0, "no key");
    refused("a:00\nb\n", 2, "not identity:key");
    refused(":00\n", 1, "not identity:key");
    refused("a:\n", 1, "in hex");
    refused("a:0\n", 1, "in hex");
    refused("a:0g\n", 1, "in hex");
    refused("a:00\nb:11\na:22\n", 3, "came before");
    refused("a\x01:00\n", 1, "control character");
    refused(longer, 1, "too long");
}

Test(tls_psk, lookups) {
    uint32_t weak;
    uint8_t key[TLS_PSK_KEY_MAX], again[TLS_PSK_KEY_MAX];
    bool known;
    file_write("a:0011\r\nlong name:00112233445566778899aabbccddeeff");
    struct tls_psk *psk = tls_psk_new(psk_file, &weak, error, sizeof(error));
    cr_assert_not_null(psk, "%s", error);
    cr_expect_eq(weak, 1);
    cr_expect_eq(tls_psk_find(psk, (const uint8_t *)"a", 1, key, &known), 2);
    cr_expect(known && key[0] == 0 && key[1] == 0x11);
    cr_expect_eq(tls_psk_find(psk, (const uint8_t *)"long name", 9, key, &known), 16);
    cr_expect(known && key[15] == 0xff);
    cr_expect_eq(tls_psk_find(psk, (const uint8_t *)"b", 1, key, &known), 32);
    tls_psk_find(psk, (const uint8_t *)"b", 1, again, &known);
    cr_expect(!known && memcmp(key, again, 32) == 0, "the same each time");
    tls_psk_unref(psk);
}

Test(tls_psk, weak_keys_are_told) {
    file_write("a:00\n");
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect(fx.warnings == 1 && strstr(fx.told, "1 keys are shorter"), "%s", fx.told);
}
