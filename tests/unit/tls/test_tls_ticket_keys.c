/* SPDX-License-Identifier: BSD-3-Clause */
/* Tickets that a real client keeps: resumed across reloads, contexts and rotations as long as their key is there, and
 * no longer; with any number of tickets the record layer takes over at the right sequence number. */
#include "certs_fixture.h"
#include "tls/tls_ticket_keys.h"

#include <pthread.h>

#define HOUR_US 3600000000ull

static char keys_file[] = "/tmp/weir-ticket-keys-XXXXXX";
static SSL_SESSION *newest;
static uint32_t sessions;

static int new_session(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    sessions++;
    return 1;
}

static void listen_with(uint16_t version) {
    fx_init();
    close(mkstemp(keys_file));
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, version);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, version);
    SSL_CTX_set_session_cache_mode(fx.h.client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(fx.h.client_ctx, new_session);
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
}

static void done(void) {
    SSL_SESSION_free(newest);
    unlink(keys_file);
    fx_fini();
}

/* A connection that offers `session`, exchanges bytes both ways, and keeps its tickets in `newest`. Was it resumed? */
static bool resumes(SSL_SESSION *session) {
    SSL_SESSION *copy = session ? SSL_SESSION_dup(session) : NULL; /* libssl marks what it resumes as used up */
    harness_connect(&fx.h, copy);
    SSL_SESSION_free(copy);
    cr_assert(harness_handshake(&fx.h), "error %d", fx.h.error);
    bool resumed = SSL_session_reused(fx.h.client);
    sessions = 0;
    harness_receive(&fx.h, 1000); /* tickets come in front of it */
    harness_send(&fx.h, 1000, 500);
    SSL_shutdown(fx.h.client); /* else libssl takes the session for spoiled */
    harness_disconnect(&fx.h);
    return resumed;
}

static SSL_SESSION *ticket(void) {
    resumes(NULL);
    cr_assert_not_null(newest);
    return SSL_SESSION_dup(newest);
}

static const uint16_t versions[] = {TLS_V12, TLS_V13};

Test(tls_ticket_keys, across_a_reload) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        listen_with(versions[v]);
        SSL_SESSION *kept = ticket();
        cr_assert(fx_load());
        cr_expect(resumes(kept), "version %x", versions[v]);
        SSL_SESSION_free(kept);
        newest = (SSL_SESSION_free(newest), NULL);
        fx_fini();
        fx.config.n_certificates = 0;
    }
}

/* The same configuration, but keys of its own: another process. */
Test(tls_ticket_keys, not_under_keys_of_another_process) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        listen_with(versions[v]);
        SSL_SESSION *kept = ticket();
        tls_ctx_unref(fx.h.ctx);
        fx.h.ctx = NULL;
        cr_assert(fx_load());
        cr_expect(!resumes(kept), "version %x", versions[v]);
        SSL_SESSION_free(kept);
        newest = (SSL_SESSION_free(newest), NULL);
        fx_fini();
        fx.config.n_certificates = 0;
    }
}

/* By the clock: two rotations later the key still opens, three later it is gone. */
Test(tls_ticket_keys, rotation, .fini = done) {
    listen_with(TLS_V13);
    fx.config.ticket_rotate_s = 3600;
    cr_assert(fx_load());
    uint64_t now_us = HOUR_US;
    tls_ctx_tick(fx.h.ctx, now_us);
    SSL_SESSION *kept = ticket();
    cr_expect(resumes(kept));
    cr_expect_geq(sessions, 1, "tickets of 1.3 are for one use (RFC 8446 appendix C.4): there is a new one");
    tls_ctx_tick(fx.h.ctx, now_us += HOUR_US - 1);
    const struct tls_ticket_keys *before = fx.h.ctx->ticket_keys;
    tls_ctx_tick(fx.h.ctx, now_us += 1);
    tls_ctx_tick(fx.h.ctx, now_us += HOUR_US);
    cr_expect(resumes(kept), "two rotations later");
    cr_expect_eq(before, fx.h.ctx->ticket_keys);
    tls_ctx_tick(fx.h.ctx, now_us += HOUR_US);
    cr_expect(!resumes(kept), "three rotations later");
    SSL_SESSION_free(kept);
}

Test(tls_ticket_keys, older_than_they_live, .fini = done) {
    listen_with(TLS_V12);
    fx.config.ticket_rotate_s = 10;
    cr_assert(fx_load());
    resumes(NULL);
    cr_expect_eq(SSL_SESSION_get_ticket_lifetime_hint(newest), 20);
    SSL_CTX_set_timeout(fx.h.ctx->certs->sets[0].ssl, -1); /* tickets are a second too old when they are made */
    SSL_SESSION *kept = ticket();
    cr_expect(!resumes(kept));
    SSL_SESSION_free(kept);
}

Test(tls_ticket_keys, any_number_of_tickets) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        for (uint32_t n = 0; n <= 4; n++) {
            listen_with(versions[v]);
            fx.config.tickets = &n;
            cr_assert(fx_load());
            resumes(NULL);
            if (versions[v] == TLS_V13)
                cr_expect_eq(sessions, n, "%u tickets came of %u", sessions, n);
            SSL_SESSION *kept = newest ? SSL_SESSION_dup(newest) : NULL;
            cr_expect_eq(resumes(kept), n > 0 && kept != NULL, "version %x, %u tickets", versions[v], n);
            SSL_SESSION_free(kept);
            newest = (SSL_SESSION_free(newest), NULL);
            fx_fini();
            fx.config = (struct tls_ctx_config){0};
        }
    }
}

static void file_write(const char *text) {
    FILE *f = fopen(keys_file, "w");
    fputs(text, f);
    fclose(f);
}

static const char *line_of(uint8_t first) {
    static char lines[4][256];
    char *line = lines[first % 4];
    uint8_t raw[80];
    memset(raw, first, sizeof(raw));
    EVP_EncodeBlock((unsigned char *)line, raw, sizeof(raw));
    strcat(line, "\n");
    return line;
}

/* Two processes of a fleet: what one sealed the other opens; then the file moves on. */
Test(tls_ticket_keys, shared_file, .fini = done) {
    listen_with(TLS_V13);
    fx.config.ticket_keys_file = keys_file;
    file_write(line_of(1));
    cr_assert(fx_load(), "%s", fx.error);
    SSL_SESSION *kept = ticket();
    tls_ctx_unref(fx.h.ctx); /* nothing but the file survives */
    fx.h.ctx = NULL;
    cr_assert(fx_load());
    cr_expect(resumes(kept), "the other machine");
    char two[512];
    snprintf(two, sizeof(two), "%s%s", line_of(1), line_of(2));
    file_write(two);
    cr_assert(fx_load());
    cr_expect_eq(fx.refusals, 0, "%s", fx.told);
    cr_expect(resumes(kept), "a key is on its way");
    file_write("nonsense\n");
    cr_assert(fx_load());
    cr_expect(fx.refusals == 1 && strstr(fx.told, ":1: not a key"), "%s", fx.told);
    cr_expect(resumes(kept), "keys before a bad file serve on");
    file_write(line_of(2));
    cr_assert(fx_load());
    cr_expect(!resumes(kept), "the key is gone");
    SSL_SESSION_free(kept);
}

Test(tls_ticket_keys, malformed_file_at_start, .fini = done) {
    listen_with(TLS_V13);
    tls_ctx_unref(fx.h.ctx);
    fx.h.ctx = NULL;
    fx.config.ticket_keys_file = keys_file;
    cr_expect(!fx_load());
    cr_expect(strstr(fx.error, "ticket_keys /tmp/weir-ticket-keys-") && strstr(fx.error, "no key in it"), "%s",
              fx.error);
}

/* Handshakes look while control rotates: no set is freed, or zeroed, under anybody's eyes. */
static atomic_bool rotating;

static void *rotate_on(void *arg) {
    uint64_t now_us = 1;
    while (atomic_load(&rotating))
        tls_ctx_tick(arg, now_us += HOUR_US);
    return NULL;
}

/* Freed sets are zeroed, so one that somebody looks at shows whether it was. */
Test(tls_ticket_keys, a_set_that_is_looked_at_stays) {
    char error[256];
    struct tls_ticket_keys *keys = tls_ticket_keys_new(NULL, 3600, error, sizeof(error));
    cr_assert_not_null(keys, "%s", error);
    tls_ticket_keys_tick(keys, 1);
    const struct tls_ticket_set *seen = tls_ticket_set_look(keys);
    struct tls_ticket_set copy;
    memcpy(&copy, seen, sizeof(copy));
    for (uint64_t hour = 1; hour <= 40; hour++) /* more than there are places for sets: the rest waits */
        tls_ticket_keys_tick(keys, 1 + hour * HOUR_US);
    cr_expect_arr_eq(seen, &copy, sizeof(copy));
    cr_expect_neq(tls_ticket_set_look(keys), seen);
    tls_ticket_set_look_away(keys);
    tls_ticket_set_look_away(keys);
    tls_ticket_keys_tick(keys, 42 * HOUR_US);
    const struct tls_ticket_set *now = tls_ticket_set_look(keys);
    for (uint32_t i = 0; i < now->n; i++)
        cr_expect_neq(memcmp(now->keys[i].name, copy.keys[0].name, sizeof(copy.keys[0].name)), 0, "long gone");
    tls_ticket_set_look_away(keys);
    tls_ticket_keys_unref(keys);
}

Test(tls_ticket_keys, rotation_meanwhile, .fini = done) {
    listen_with(TLS_V13);
    fx.config.ticket_rotate_s = 3600;
    cr_assert(fx_load());
    pthread_t control;
    atomic_store(&rotating, true);
    cr_assert_eq(pthread_create(&control, NULL, rotate_on, fx.h.ctx), 0);
    for (int i = 0; i < 100; i++)
        resumes(newest); /* resumed or not, it is served */
    atomic_store(&rotating, false);
    pthread_join(control, NULL);
    tls_ctx_tick(fx.h.ctx, 1ull << 62);
    cr_expect_geq(sessions, 1);
}
