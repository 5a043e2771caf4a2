/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes with a real libssl server, and what is agreed on with it; the hostile ones are in test_hs13_hostile.c. */
#include "hs13_client.h"

TestSuite(hs13, .init = client_setup, .fini = client_teardown, .timeout = 100);

static const struct suite {
    uint16_t id;
    const char *name;
} suites[] = {
    {0x1301, "TLS_AES_128_GCM_SHA256"}, {0x1302, "TLS_AES_256_GCM_SHA384"}, {0x1303, "TLS_CHACHA20_POLY1305_SHA256"}};

static struct hs13_ticket ticket; /* the last one that came */
static int tickets;

static void on_ticket(void *ctx, uint32_t user, const uint8_t *message, uint32_t n) {
    cr_assert_eq(user, 7);
    cr_assert_eq(hs13_ticket_parse(core, ctx, message, n, 1000, &ticket), 0);
    tickets++;
}

/* lib/tls takes over from the result: the server's tickets come in, bytes go both ways. */
static void exchange(struct client *c) {
    static const char ping[] = "one way", pong[] = "and the other";
    struct tls_core records;
    struct tls_config config = {.max_conns = 2, .pool = pool, .ticket = on_ticket, .ticket_ctx = &c->result};
    struct rope in = {0}, out = {0}, plain = {0};
    uint8_t wire[4096], text[64];

    cr_assert_eq(tls_core_init(&records, &config), 0);
    tls_id id = tls_conn_adopt(&records, &c->result.agreed, 7);
    cr_assert_neq(id, 0);
    tickets = 0;
    rope_append(&in, pool, wire, tls_server_shake(&server, &c->out, wire, sizeof(wire)));
    cr_assert(SSL_is_init_finished(server.ssl));
    cr_assert_eq(SSL_write(server.ssl, pong, sizeof(pong)), sizeof(pong));
    rope_append(&in, pool, wire, tls_server_flush(&server, wire, sizeof(wire)));
    for (int i = 0; i < 8 && in.len_bytes > 0; i++)
        cr_assert_geq(tls_input(&records, id, &in, &plain, &out, 16384), 0);
    cr_assert_eq(rope_copy(&plain, 0, text, sizeof(text)), sizeof(pong));
    cr_assert_str_eq((char *)text, pong);
    cr_assert_gt(tickets, 0);

    rope_clear(&plain);
    rope_append(&plain, pool, ping, sizeof(ping));
    cr_assert_eq(tls_seal(&records, id, &plain, &out, 16384, 0), sizeof(ping));
    tls_server_feed(&server, &out);
    cr_assert_eq(SSL_read(server.ssl, text, sizeof(text)), sizeof(ping));
    cr_assert_str_eq((char *)text, ping);
    tls_conn_free(&records, id);
    tls_core_fini(&records);
}

/* A handshake to its end. */
static void shake(struct client *c, const struct suite *suite, const struct hs13_ticket *with, uint32_t piece) {
    uint8_t flight[8192];
    uint32_t n = client_begin(c, suite->id, "weir.test", with, flight, sizeof(flight));

    cr_assert_eq(client_feed_pieces(c, flight, n, piece), 1, "%s: %s", suite->name, hs13_error(c->hs));
    cr_expect_eq(c->in.len_bytes, 0);
    cr_expect_eq(c->result.agreed.suite, suite->id);
    cr_expect(c->result.agreed.client);
    cr_expect_eq(c->result.agreed.read_seq + c->result.agreed.write_seq, 0);
    cr_expect_str_eq(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "weir.test");
    cr_expect_eq(hs13_input(c->hs, &c->in, &c->out, &c->result), WEIR_ESTATE);
}

static void full_and_resumed(const struct suite *suite, bool rsa, uint32_t piece) {
    struct client c;

    tls_server_fini(&server);
    tls_server_init(&server, rsa, suite->name);
    shake(&c, suite, NULL, piece);
    cr_expect_not(c.result.resumed);
    exchange(&c);
    uint32_t bytes = hs13_hash_of(core, c.hs->suite)->bytes;
    cr_expect_arr_eq(c.result.agreed.read_secret, server.server_secret, bytes);
    cr_expect_arr_eq(c.result.agreed.write_secret, server.client_secret, bytes);
    client_end(&c);
    for (int again = 0; again < 2; again++) { /* also with a ticket of a resumed connection */
        struct hs13_ticket with = ticket;
        shake(&c, suite, &with, piece);
        cr_expect(c.result.resumed, "%s", suite->name);
        cr_expect(SSL_session_reused(server.ssl));
        exchange(&c);
        cr_expect_arr_eq(c.result.agreed.read_secret, server.server_secret, bytes);
        client_end(&c);
    }
}

Test(hs13, every_suite_ecdsa) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++)
        full_and_resumed(&suites[i], false, 1400);
}

Test(hs13, every_suite_rsa) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++)
        full_and_resumed(&suites[i], true, 1400);
}

Test(hs13, a_byte_at_a_time) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++)
        full_and_resumed(&suites[i], false, 1);
}

Test(hs13, pieces_of_any_size) {
    for (uint32_t piece = 2; piece < 40; piece++)
        full_and_resumed(&suites[piece % 3], false, piece);
}

/* A certificate in several records; what follows it too. */
Test(hs13, short_records) {
    struct client c;
    uint8_t flight[8192];

    tls_server_init(&server, true, suites[0].name);
    SSL_CTX_set_max_send_fragment(server.ctx, 512);
    uint32_t n = client_begin(&c, 0x1301, NULL, NULL, flight, sizeof(flight));
    cr_expect_eq(client_feed(&c, flight, n), 1, "%s", hs13_error(c.hs));
    exchange(&c);
    client_end(&c);
}

/* What the server sends behind its Finished is not taken. */
Test(hs13, later_records_stay) {
    struct client c;
    uint8_t flight[8192];

    tls_server_init(&server, false, suites[0].name);
    uint32_t n = client_begin(&c, 0x1301, NULL, NULL, flight, sizeof(flight) - 9);
    memcpy(flight + n, "\x17\x03\x03\x40\x00more", 9);
    cr_expect_eq(client_feed(&c, flight, n + 9), 1);
    cr_expect_eq(c.in.len_bytes, 9);
    client_end(&c);
}

Test(hs13, many_at_once) {
    struct client c[CLIENT_PLACES];
    struct tls_server servers[CLIENT_PLACES];
    static uint8_t flight[CLIENT_PLACES][8192];
    uint32_t n[CLIENT_PLACES];
    struct rope out = {0};

    for (int i = 0; i < CLIENT_PLACES; i++) {
        tls_server_init(&server, false, suites[i % 3].name);
        n[i] = client_begin(&c[i], suites[i % 3].id, NULL, NULL, flight[i], sizeof(flight[i]));
        servers[i] = server;
    }
    cr_expect_null(hs13_new(core, 0x1301, NULL, NULL, 0, &out), "no place");
    for (uint32_t at = 0; at < 8192; at += 100) /* their records interleaved: each keeps its own keys */
        for (int i = 0; i < CLIENT_PLACES; i++)
            if (at < n[i])
                client_feed(&c[i], flight[i] + at, weir_min_u32(100, n[i] - at));
    for (int i = 0; i < CLIENT_PLACES; i++) {
        cr_expect_eq(c[i].rc, 1, "%s", hs13_error(c[i].hs));
        server = servers[i];
        SSL_set_app_data(server.ssl, &server);
        exchange(&c[i]);
        client_end(&c[i]);
        tls_server_fini(&server);
    }
    server = (struct tls_server){0};
    struct hs13 *hs = hs13_new(core, 0x1301, NULL, NULL, 0, &out);
    cr_expect_not_null(hs, "places are free again");
    hs13_free(hs);
    rope_clear(&out);
}

Test(hs13, what_new_refuses) {
    struct rope out = {0};
    char name[257];

    memset(name, 'a', sizeof(name));
    name[256] = 0;
    cr_expect_null(hs13_new(core, 0x1301, name, NULL, 0, &out), "name too long");
    cr_expect_null(hs13_new(core, 0xc02b, NULL, NULL, 0, &out), "a suite of TLS 1.2");
    cr_expect_null(hs13_new(core, 0x1304, NULL, NULL, 0, &out), "a suite that is not offered");
    cr_expect_eq(out.len_bytes, 0);
    name[255] = 0;
    struct hs13_ticket largest = {.bytes = HS13_TICKET_MAX, .psk_bytes = 48, .lifetime_s = 1, .suite = 0x1302};
    struct hs13 *hs = hs13_new(core, 0x1302, name, &largest, 0, &out);
    cr_assert_not_null(hs, "longest name and ticket");
    hs13_free(hs);
    hs13_free(NULL);
    hs13_core_free(NULL);
    rope_clear(&out);
    cr_expect_null(hs13_core_new(0, pool));
}

Test(hs13, without_mbufs) {
    static struct rte_mbuf *hoard[FIXTURE_MBUFS + 1];
    uint32_t hoarded = 0;
    struct client c;
    struct rope out = {0};
    uint8_t flight[8192];

    tls_server_init(&server, false, suites[0].name);
    uint32_t n = client_begin(&c, 0x1301, NULL, NULL, flight, sizeof(flight));
    push_pieces(&c.in, flight, n, 1400);
    for (struct rte_mbuf *m = c.in.head; m; m = m->next) { /* they do not come back to the pool when read */
        rte_mbuf_refcnt_update(m, 1);
        hoard[hoarded++] = m;
    }
    while ((hoard[hoarded] = rte_pktmbuf_alloc(pool)) != NULL)
        hoarded++;
    cr_expect_null(hs13_new(core, 0x1301, NULL, NULL, 0, &out));
    for (int i = 0; i < 3; i++)
        cr_expect_eq(hs13_input(c.hs, &c.in, &c.out, &c.result), WEIR_ENOMEM);
    while (hoarded > 0)
        rte_pktmbuf_free_seg(hoard[--hoarded]);
    cr_expect_eq(hs13_input(c.hs, &c.in, &c.out, &c.result), 1, "again, with mbufs");
    exchange(&c);
    client_end(&c);
}

/* --- tickets --- */

/* Complete a handshake to get a ticket. */
static void get_ticket(const struct suite *suite) {
    struct client c;

    tls_server_fini(&server);
    tls_server_init(&server, false, suite->name);
    shake(&c, suite, NULL, 1400);
    exchange(&c);
    client_end(&c);
}

/* What comes of offering it at a time. */
static bool resumes(const struct suite *suite, const struct hs13_ticket *with, uint64_t now_ms) {
    struct client c = {0};
    uint8_t flight[8192];

    tls_server_connect(&server);
    c.hs = hs13_new(core, suite->id, NULL, with, now_ms, &c.out);
    uint32_t n = tls_server_shake(&server, &c.out, flight, sizeof(flight));
    cr_assert_eq(client_feed(&c, flight, n), 1, "%s", hs13_error(c.hs));
    tls_server_shake(&server, &c.out, flight, sizeof(flight));
    cr_expect_eq(c.result.resumed, SSL_session_reused(server.ssl));
    client_end(&c);
    return c.result.resumed;
}

Test(hs13, tickets_that_are_not_offered) {
    get_ticket(&suites[0]);
    cr_expect(resumes(&suites[0], &ticket, 1000 + 999));
    struct hs13_ticket other = ticket;
    other.lifetime_s = 1;
    cr_expect(resumes(&suites[0], &other, 1000 + 999));
    cr_expect_not(resumes(&suites[0], &other, 1000 + 1000), "expired");
    other = ticket;
    other.psk_bytes = 48;
    cr_expect_not(resumes(&suites[0], &other, 1000), "another hash");
    other.psk_bytes = 32;
    other.bytes = 0;
    cr_expect_not(resumes(&suites[0], &other, 1000), "none");
}

/* The server does not know it: a full handshake, with the same ClientHello. */
Test(hs13, a_ticket_refused) {
    get_ticket(&suites[0]);
    tls_server_fini(&server);
    tls_server_init(&server, false, suites[0].name);
    cr_expect_not(resumes(&suites[0], &ticket, 1000));
}

Test(hs13, a_wrong_binder) {
    struct client c;
    uint8_t flight[8192];

    get_ticket(&suites[1]);
    ticket.psk[0] ^= 1;
    uint32_t n = client_begin(&c, suites[1].id, NULL, &ticket, flight, sizeof(flight));
    cr_expect_eq(client_feed(&c, flight, n), WEIR_EINVAL);
    cr_expect_str_eq(hs13_error(c.hs), "the server sent alert illegal_parameter");
    client_end(&c);
}

Test(hs13, tickets_are_parsed) {
    struct hs13_result of = {.agreed = {.suite = 0x1302}};
    struct hs13_ticket t;
    uint8_t m[4 + 4 + 4 + 1 + 8 + 2 + HS13_TICKET_MAX + 1 + 2];
    struct span_writer w = span_writer_of(m, sizeof(m));

    span_put_u32(&w, 0x04000000 | (4 + 4 + 1 + 8 + 2 + 20 + 2));
    span_put_u32(&w, 604800);
    span_put_u32(&w, 0xdeadbeef);
    span_put_u8(&w, 8);
    memset(span_put(&w, 8), 0, 8);
    span_put_u16(&w, 20);
    memset(span_put(&w, 20), 0x55, 20);
    span_put_u16(&w, 0);
    uint32_t n = (uint32_t)span_written(&w);

    cr_assert_eq(hs13_ticket_parse(core, &of, m, n, 5, &t), 0);
    cr_expect(t.suite == 0x1302 && t.psk_bytes == 48 && t.bytes == 20 && t.ticket[19] == 0x55);
    cr_expect(t.lifetime_s == 604800 && t.age_add == 0xdeadbeef && t.received_ms == 5);
    for (uint32_t cut = 0; cut < n; cut++) {
        uint8_t *exact = malloc(cut + 1); /* so that ASan sees a read behind it */
        memcpy(exact, m, cut);
        cr_expect_eq(hs13_ticket_parse(core, &of, exact, cut, 5, &t), WEIR_EINVAL, "cut at %u", cut);
        exact[3 < cut ? 3 : cut] = (uint8_t)(cut - 4);
        cr_expect_eq(hs13_ticket_parse(core, &of, exact, cut, 5, &t), WEIR_EINVAL, "cut at %u, length right", cut);
        free(exact);
    }
    static const struct {
        uint32_t at;
        uint8_t to;
    } bad[] = {{0, 5},  {1, 1},    {3, 38}, {3, 40},  {4, 1},  {7, 0x81},
               {12, 9}, {12, 255}, {22, 0}, {22, 21}, {21, 1}, {44, 1}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        uint8_t was = m[bad[i].at];
        m[bad[i].at] = bad[i].to;
        cr_expect_eq(hs13_ticket_parse(core, &of, m, n, 5, &t), WEIR_EINVAL, "byte %u is %u", bad[i].at, bad[i].to);
        m[bad[i].at] = was;
    }
    struct hs13_result none = {0};
    cr_expect_eq(hs13_ticket_parse(core, &none, m, n, 5, &t), WEIR_EINVAL, "of no connection");
    /* A ticket of 513 bytes is one too long. */
    w = span_writer_of(m, sizeof(m));
    span_put_u32(&w, 0x04000000 | (4 + 4 + 1 + 8 + 2 + HS13_TICKET_MAX + 1 + 2));
    span_put(&w, 17);
    span_put_u16(&w, HS13_TICKET_MAX + 1);
    memset(span_put(&w, HS13_TICKET_MAX + 1), 0x55, HS13_TICKET_MAX + 1);
    span_put_u16(&w, 0);
    cr_assert_not(w.failed);
    cr_expect_eq(hs13_ticket_parse(core, &of, m, sizeof(m), 5, &t), WEIR_EINVAL);
}

/* --- servers that refuse or ask for more --- */
static void refused(int rc, const char *error) {
    struct client c;
    uint8_t flight[8192];
    uint32_t n = client_begin(&c, 0x1301, NULL, NULL, flight, sizeof(flight));

    cr_expect_eq(client_feed(&c, flight, n), rc);
    cr_expect_str_eq(hs13_error(c.hs), error);
    cr_expect_eq(hs13_input(c.hs, &c.in, &c.out, &c.result), rc, "it sticks");
    cr_expect_eq(c.out.len_bytes, 0);
    client_end(&c);
}

Test(hs13, no_suite_in_common) {
    tls_server_init(&server, false, suites[1].name);
    refused(WEIR_EINVAL, "the server sent alert handshake_failure");
}

Test(hs13, no_version_in_common) {
    tls_server_init(&server, false, suites[0].name);
    SSL_CTX_set_max_proto_version(server.ctx, TLS1_2_VERSION);
    refused(WEIR_EINVAL, "the server sent alert protocol_version");
}

Test(hs13, no_group_in_common) {
    tls_server_init(&server, false, suites[0].name);
    SSL_CTX_set1_groups_list(server.ctx, "P-256");
    refused(WEIR_EINVAL, "the server sent alert handshake_failure");
}

Test(hs13, client_certificate_wanted) {
    tls_server_init(&server, false, suites[0].name);
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER, NULL);
    refused(WEIR_ENOTSUP, "the server asks for a client certificate");
}

/* Sent where HelloRetryRequest differs from any other ServerHello: in its random. */
Test(hs13, hello_retry_request) {
    static const uint8_t retry[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                    0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                    0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
    struct client c;
    uint8_t flight[8192];

    tls_server_init(&server, false, suites[0].name);
    uint32_t n = client_begin(&c, 0x1301, NULL, NULL, flight, sizeof(flight));
    memcpy(flight + 5 + 4 + 2, retry, sizeof(retry));
    cr_expect_eq(client_feed(&c, flight, n), WEIR_ENOTSUP);
    cr_expect_str_eq(hs13_error(c.hs), "the server sent HelloRetryRequest: it does not take X25519");
    client_end(&c);
}
