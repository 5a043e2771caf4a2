/* SPDX-License-Identifier: BSD-3-Clause */
/* When it is said that certificates expire: the test owns both clocks. */
#include <criterion/criterion.h>
#include <time.h>
#include <unistd.h>

#include "tests/self_signed.h"
#include "weir/cert_expiry.h"

#define DAY_S 86400
#define LIFE  (30 * DAY_S)

static char place[] = "weir.yaml:9:5: tls[0].certificates[0]", said[512];
static struct config_certificate certificate = {.where = place};
static struct config config; /* too large for a stack */
static struct snapshot snapshot;
static int64_t end_s; /* of the certificate */
static int times;

static void hear(void *arg, const char *text) {
    cr_assert_eq(arg, &times);
    snprintf(said, sizeof(said), "%s", text);
    times++;
}

static struct cert_expiry expiry = {.config = &config, .warn = hear, .arg = &times};

/* A self-signed pair of 30 days as the only entry. */
static void entry(void) {
    char file[] = "/tmp/weir-expiry-XXXXXX", error[256];
    self_signed_file(file, LIFE);
    struct tls_ctx_config tc = {.name = "t", .certificate_file = file, .key_file = file};
    snapshot.tls[0] = tls_ctx_new(&tc, error, sizeof(error));
    unlink(file);
    cr_assert_not_null(snapshot.tls[0], "%s", error);
    config.n_tls = 1;
    config.tls[0].certificates = &certificate;
    config.tls[0].n_certificates = 1;
    end_s = tls_ctx_cert(snapshot.tls[0], 0)->not_after_s;
}

static void entry_gone(void) {
    tls_ctx_unref(snapshot.tls[0]);
}

TestSuite(cert_expiry, .init = entry, .fini = entry_gone);

static void says(int64_t wall_s, const char *what) {
    int before = times;
    cert_expiry_tell(&expiry, &snapshot, 0, wall_s);
    cr_assert_eq(times, before + (what != NULL), "%s", said);
    if (what != NULL)
        cr_assert(strstr(said, what) && strncmp(said, place, strlen(place)) == 0, "%s", said);
}

Test(cert_expiry, days_are_counted) {
    says(end_s - LIFE, NULL);
    says(end_s - CERT_EXPIRY_DAYS * DAY_S, NULL);
    says(end_s - CERT_EXPIRY_DAYS * DAY_S + 1, "expires in less than 14 days");
    says(end_s - DAY_S, "expires in less than 2 days");
    says(end_s - DAY_S + 1, "expires in less than 1 days");
    says(end_s, "expires in less than 1 days");
    says(end_s + 1, "has expired: clients refuse it");
}

/* Once a day, not once a tick; a reload that has said it puts the next time off. */
Test(cert_expiry, repeated_every_day) {
    uint64_t now_us = 5000000;
    cert_expiry_tell(&expiry, &snapshot, now_us, end_s);
    cr_assert_eq(times, 1);
    for (int day = 1; day <= 3; day++) {
        for (int tick = 0; tick < 10; tick++)
            cr_assert_not(cert_expiry_tick(&expiry, &snapshot, now_us + (uint64_t)tick * 20000, end_s));
        cr_assert_not(cert_expiry_tick(&expiry, &snapshot, now_us + CERT_EXPIRY_EVERY_US - 1, end_s));
        now_us += CERT_EXPIRY_EVERY_US;
        cr_assert(cert_expiry_tick(&expiry, &snapshot, now_us, end_s));
        cr_assert_eq(times, 1 + day);
    }
    cert_expiry_tell(&expiry, &snapshot, now_us + CERT_EXPIRY_EVERY_US / 2, end_s);
    cr_assert_not(cert_expiry_tick(&expiry, &snapshot, now_us + CERT_EXPIRY_EVERY_US, end_s));
}

/* What was fine at start is told of once it is not. */
Test(cert_expiry, first_word_while_weir_runs) {
    cert_expiry_tell(&expiry, &snapshot, 0, end_s - LIFE);
    cr_assert_eq(times, 0);
    for (int day = 1; day <= 31; day++) {
        cr_assert(
            cert_expiry_tick(&expiry, &snapshot, (uint64_t)day * CERT_EXPIRY_EVERY_US, end_s - LIFE + day * DAY_S + 1));
        cr_assert_eq(times, day < 16 ? 0 : day - 15);
    }
    cr_assert(strstr(said, "has expired"));
}
