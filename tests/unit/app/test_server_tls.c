/* SPDX-License-Identifier: BSD-3-Clause */
/* Why TLS with a server failed: which drop of lib/tls it is, what is counted, and what the session ends with. */
#include "app/weir/server_tls.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(server_tls, drops) {
    static const struct {
        enum tls_drop drop;
        enum server_tls why;
        enum session_end end;
    } cases[] = {
        {TLS_DROP_HS_CERT_UNTRUSTED, SERVER_TLS_UNTRUSTED, SESSION_END_SERVER_UNVERIFIED},
        {TLS_DROP_HS_CERT_EXPIRED, SERVER_TLS_EXPIRED, SESSION_END_SERVER_UNVERIFIED},
        {TLS_DROP_HS_CERT_NAME, SERVER_TLS_NAME, SESSION_END_SERVER_UNVERIFIED},
        {TLS_DROP_HS_PEER_ALERT, SERVER_TLS_ALERT, SESSION_END_SERVER_TLS_ALERT},
        {TLS_DROP_PEER_ALERT, SERVER_TLS_ALERT, SESSION_END_SERVER_TLS_ALERT},
        {TLS_DROP_BAD_MAC, SERVER_TLS_PROTOCOL, SESSION_END_SERVER_TLS_FAILED},
        {TLS_DROP_BAD_TYPE, SERVER_TLS_PROTOCOL, SESSION_END_SERVER_TLS_FAILED},
        {TLS_DROP_HS_VERSION, SERVER_TLS_PROTOCOL, SESSION_END_SERVER_TLS_FAILED},
        {TLS_DROP_HS_QUEUE_FULL, SERVER_TLS_OK, SESSION_END_NO_MEMORY},
        {TLS_DROP_HS_LIBSSL_FULL, SERVER_TLS_OK, SESSION_END_NO_MEMORY},
        {TLS_DROP_NO_MEMORY, SERVER_TLS_OK, SESSION_END_NO_MEMORY},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        cr_expect_eq(server_tls_of(cases[i].drop), cases[i].why, "%s", tls_drop_name(cases[i].drop));
        cr_expect_eq(server_tls_end(cases[i].why), cases[i].end, "%s", server_tls_name(cases[i].why));
    }
    cr_expect_str_eq(server_tls_name(SERVER_TLS_UNTRUSTED), "untrusted");
    cr_expect_str_eq(server_tls_name(SERVER_TLS_COUNT), "unknown");
    cr_expect_eq(server_tls_end(SERVER_TLS_TRUNCATED), SESSION_END_SERVER_TLS_TRUNCATED);
    cr_expect_eq(server_tls_end(SERVER_TLS_TIMEOUT), SESSION_END_SERVER_TLS_TIMEOUT);
}

/* The worker's own wants have reasons of their own. */
Test(server_tls, refusals) {
    cr_expect_eq(server_tls_refusal(TLS_DROP_HS_LIBSSL_FULL), SESSION_END_LIBSSL_FULL);
    cr_expect_eq(server_tls_refusal(TLS_DROP_HS_QUEUE_FULL), SESSION_END_HANDSHAKE_REFUSED);
    cr_expect_eq(server_tls_refusal(TLS_DROP_HS_QUEUE_TIMEOUT), SESSION_END_HANDSHAKE_REFUSED);
    cr_expect_eq(server_tls_refusal(TLS_DROP_NO_MEMORY), SESSION_END_NO_MEMORY);
}

/* What is shown is the last, and a handshake that is done says that all is well; what was no fault of the server's is
 * not counted as one. */
Test(server_tls, counts) {
    const struct lb_server server = {.server_id = 3};
    static struct weir weir = {.n_workers = 2};
    for (unsigned i = 0; i < 2; i++) {
        weir.workers[i] = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(struct worker), WEIR_CACHE_LINE));
        cr_assert_not_null(weir.workers[i]);
        memset(weir.workers[i], 0, sizeof(struct worker));
    }
    struct worker *w = weir.workers[1];
    server_tls_failed(w, &server, SERVER_TLS_OK);
    cr_expect_eq(server_tls_last(&weir, 3), SERVER_TLS_OK);
    server_tls_failed(w, &server, SERVER_TLS_NAME);
    server_tls_failed(w, &server, SERVER_TLS_EXPIRED);
    cr_expect_eq(server_tls_last(&weir, 3), SERVER_TLS_EXPIRED);
    cr_expect_eq(server_tls_last(&weir, 2), SERVER_TLS_OK);
    char text[SERVER_TLS_TEXT_MAX];
    server_tls_tell(&weir, 3, text);
    cr_expect_str_eq(text, server_tls_text(SERVER_TLS_EXPIRED));
    w->servers[3].tls_alert = TLS_ALERTED_CERTIFICATE_REQUIRED;
    server_tls_failed(w, &server, SERVER_TLS_ALERT);
    server_tls_tell(&weir, 3, text);
    cr_expect(strstr(text, "alert") && strstr(text, "? (certificate_required)"), "%s", text);
    server_tls_done(w, &server, false);
    server_tls_done(w, &server, true);
    server_tls_tell(&weir, 3, text);
    cr_expect_str_eq(text, "");
    cr_expect_eq(server_tls_last(&weir, 3), SERVER_TLS_OK);
    cr_expect(w->servers[3].tls_handshakes == 2 && w->servers[3].tls_resumed == 1);
    cr_expect(w->servers[3].tls_failures[SERVER_TLS_NAME] == 1 && w->servers[3].tls_failures[SERVER_TLS_OK] == 0);
    for (unsigned i = 0; i < 2; i++)
        free(weir.workers[i]);
}
