/* SPDX-License-Identifier: BSD-3-Clause */
/* Real libssl clients: every suite and version is taken over, and nothing is lost on the way. */
#include "harness.h"

static const struct {
    enum key_kind kind;
    uint16_t version;
    const char *suite, *name;
    uint32_t bytes;
} cases[] = {
    {KEY_EC, TLS_V13, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", 160},
    {KEY_EC, TLS_V13, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", 224},
    {KEY_RSA, TLS_V13, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", 224},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 160},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 224},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 224},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 160},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 224},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 224},
};

/* The handshake and traffic both ways, in pieces of up to `piece_max` bytes. */
static void exchange(uint32_t piece_max, bool share, uint32_t bytes) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct harness h;
        struct tls_info info;
        harness_init(&h, &(struct harness_options){.kind = cases[i].kind,
                                                   .version = cases[i].version,
                                                   .suite = cases[i].suite,
                                                   .piece_max = piece_max,
                                                   .share = share});
        cr_assert(harness_handshake(&h), "%s: %s", cases[i].suite, tls_drop_text((enum tls_drop) - h.error));
        tls_conn_info(&h.core, h.id, &info);
        cr_assert_str_eq(info.suite, cases[i].name);
        cr_assert_eq(info.version, cases[i].version);
        cr_assert(info.taken_over);
        cr_assert_eq(h.core.places.used, 0, "the SSL object is gone");
        cr_assert_eq(tls_conn_bytes(&h.core, h.id), cases[i].bytes);
        for (int round = 0; round < 3; round++) {
            harness_send(&h, bytes, 100);
            harness_receive(&h, bytes);
            harness_send(&h, bytes, TLS_RECORD_MAX);
            harness_receive(&h, 1);
        }
        cr_assert_eq(h.core.stats.taken_over, 1);
        cr_assert_eq(h.core.stats.libssl_records, 0);
        cr_assert_gt(h.core.stats.records_opened, 0);
        cr_assert_gt(h.core.stats.records_sealed, 0);
        harness_fini(&h);
    }
}

Test(tls_handover, every_suite_in_full_segments) {
    exchange(0, false, 40000);
}

Test(tls_handover, every_suite_in_random_segments) {
    exchange(700, false, 40000);
}

Test(tls_handover, every_suite_in_shared_segments) {
    exchange(900, true, 20000);
}

Test(tls_handover, every_suite_in_single_bytes) {
    exchange(1, false, 300);
}
