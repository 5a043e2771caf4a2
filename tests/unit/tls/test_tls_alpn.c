/* SPDX-License-Identifier: BSD-3-Clause */
/* Protocols: the server's preference decides, none in common is refused. */
#include "certs_fixture.h"

#include <openssl/err.h>

static void with_certificate(void) {
    fx_init();
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
}

TestSuite(tls_alpn, .init = with_certificate, .fini = fx_fini);

static const char *const ours[] = {"h2", "mqtt", "x-amzn-mqtt-ca"};

/* The protocol agreed on by a client that offers these ("" none); NULL: it was refused. */
static const char *agreed(const char *offer, const char *name) {
    static char text[256];
    const uint8_t *data;
    unsigned n;

    SSL_CTX_set_alpn_protos(fx.h.client_ctx, (const uint8_t *)offer, (unsigned)strlen(offer));
    bool done = fx_shake(name);
    SSL_get0_alpn_selected(fx.h.client, &data, &n);
    snprintf(text, sizeof(text), "%.*s", (int)n, data ? (const char *)data : "");
    return done ? text : NULL;
}

Test(tls_alpn, preference_is_ours_in_every_set) {
    fx.config.alpn = ours;
    fx.config.n_alpn = 3;
    cr_assert(fx_load(), "%s", fx.error);
    static const char *const names[] = {"a.example", "b.example", NULL};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        cr_expect_str_eq(agreed("\x04mqtt\x02h2", names[i]), "h2");
        harness_disconnect(&fx.h);
        cr_expect_str_eq(agreed("\x0ex-amzn-mqtt-ca", names[i]), "x-amzn-mqtt-ca");
        harness_disconnect(&fx.h);
        cr_expect_str_eq(agreed("", names[i]), "", "a client without the extension is served");
        harness_disconnect(&fx.h);
    }
}

Test(tls_alpn, none_in_common_is_refused) {
    fx.config.alpn = ours;
    fx.config.n_alpn = 3;
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_null(agreed("\x08http/1.1", "a.example"));
    cr_expect_eq(fx.h.error, -TLS_DROP_HS_NO_PROTOCOL);
    ERR_clear_error();
    SSL_do_handshake(fx.h.client);
    cr_expect_eq(ERR_GET_REASON(ERR_peek_last_error()), SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
    cr_expect_eq(harness_alerts(&fx.h.core, TLS_WRITE, SSL_AD_NO_APPLICATION_PROTOCOL), 1);
    harness_disconnect(&fx.h);
}

Test(tls_alpn, without_a_list_it_is_not_spoken) {
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_str_eq(agreed("\x02h2", "a.example"), "");
    harness_disconnect(&fx.h);
}

Test(tls_alpn, names_of_impossible_length) {
    static char longer[257];
    memset(longer, 'a', 256);
    static const char *const bad[] = {longer, ""};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        fx.config.alpn = &bad[i];
        fx.config.n_alpn = 1;
        cr_assert(!fx_load());
        cr_expect(strncmp(fx.error, "alpn ", 5) == 0, "%s", fx.error);
    }
}
