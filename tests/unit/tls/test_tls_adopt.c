/* SPDX-License-Identifier: BSD-3-Clause */
/* Two cores that were told what a handshake elsewhere agreed on: their records fit. */
#include "harness.h"

struct ends {
    struct tls_core core[2]; /* the server's, the client's */
    tls_id id[2];
    struct rope wire[2]; /* by who sealed it */
};

static void ends_init(struct ends *e, uint16_t suite) {
    struct tls_config config = {.max_conns = 4, .pool = harness_pool()};
    struct tls_agreed agreed = {.suite = suite, .read_seq = 5, .write_seq = 1u << 20};

    *e = (struct ends){0};
    for (size_t i = 0; i < sizeof(agreed.read_secret); i++) {
        agreed.read_secret[i] = (uint8_t)(i * 3);
        agreed.write_secret[i] = (uint8_t)(i * 5 + 1);
    }
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(tls_core_init(&e->core[i], &config), 0);
        e->id[i] = tls_conn_adopt(&e->core[i], &agreed, 9);
        cr_assert_neq(e->id[i], 0);
        cr_assert(tls_established(&e->core[i], e->id[i]));
        struct tls_agreed mirrored = {
            .suite = suite, .client = true, .read_seq = agreed.write_seq, .write_seq = agreed.read_seq};
        memcpy(mirrored.read_secret, agreed.write_secret, sizeof(agreed.write_secret));
        memcpy(mirrored.write_secret, agreed.read_secret, sizeof(agreed.read_secret));
        agreed = mirrored;
    }
}

static void ends_fini(struct ends *e) {
    for (int i = 0; i < 2; i++) {
        rope_clear(&e->wire[i]);
        tls_conn_free(&e->core[i], e->id[i]);
        cr_assert_eq(e->core[i].exts.used, 0);
        tls_core_fini(&e->core[i]);
    }
    cr_assert_eq(harness_mbufs_out(), 0, "%u mbufs lost", harness_mbufs_out());
}

/* `from` seals the text, the other opens just that; what it answers goes back and is read. */
static void say(struct ends *e, int from, const char *text) {
    int to = 1 - from;
    uint32_t n = (uint32_t)strlen(text);
    struct rope plain = {0}, none = {0};
    uint8_t got[64];

    cr_assert_eq(rope_append(&plain, harness_pool(), text, n), 0);
    cr_assert_eq(tls_seal(&e->core[from], e->id[from], &plain, &e->wire[from], 100, 0), (int)n);
    cr_assert(tls_input(&e->core[to], e->id[to], &e->wire[from], &plain, &e->wire[to], 8000) & TLS_PLAIN);
    cr_assert_eq(rope_copy(&plain, 0, got, sizeof(got)), n);
    cr_assert_arr_eq(got, text, n);
    cr_assert_geq(tls_input(&e->core[from], e->id[from], &e->wire[to], &none, &e->wire[from], 1000), 0);
    rope_clear(&plain);
    cr_assert_eq(none.len_bytes, 0);
}

static const uint16_t suites[] = {0x1301, 0x1302, 0x1303};

Test(tls_adopt, mirrored_secrets_fit) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++) {
        struct ends e;
        struct tls_info info;
        ends_init(&e, suites[i]);
        for (int round = 0; round < 3; round++) {
            say(&e, 1, "to the server");
            say(&e, 0, "to the client");
        }
        tls_conn_info(&e.core[1], e.id[1], &info);
        cr_assert_eq(info.version, TLS_V13);
        cr_assert(info.taken_over);
        cr_assert_eq(info.write_seq, 5 + 3);
        cr_assert_eq(info.read_seq, (1u << 20) + 3);
        cr_assert_eq(tls_core_stats(&e.core[1])->taken_over, 1);
        ends_fini(&e);
    }
}

/* Each end moves on to new keys, and asks the other to do so too. */
Test(tls_adopt, key_updates_both_ways) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++) {
        struct ends e;
        ends_init(&e, suites[i]);
        for (int round = 0; round < 4; round++) {
            int from = round % 2;
            cr_assert_eq(tls_key_update_send(&e.core[from], tls_conn_get(&e.core[from], e.id[from]), e.id[from],
                                             round >= 2, &e.wire[from]),
                         0);
            say(&e, from, "under a new key");
            say(&e, 1 - from, "the other way");
        }
        for (int end = 0; end < 2; end++) {
            cr_assert_eq(e.core[end].stats.key_updates_in, 3);
            cr_assert_eq(e.core[end].stats.key_updates_out, 3);
        }
        ends_fini(&e);
    }
}

Test(tls_adopt, close_notify) {
    struct ends e;
    struct rope plain = {0};

    ends_init(&e, 0x1301);
    cr_assert_eq(tls_close(&e.core[1], e.id[1], &e.wire[1]), 0);
    cr_assert_eq(tls_input(&e.core[0], e.id[0], &e.wire[1], &plain, &e.wire[0], 100), TLS_CLOSE);
    ends_fini(&e);
}

Test(tls_adopt, refused) {
    struct tls_config config = {.max_conns = 2, .pool = harness_pool()};
    struct tls_core core;
    static const uint16_t others[] = {0, 0x1304, 0x1305, 0xc02b, 0xffff};

    cr_assert_eq(tls_core_init(&core, &config), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(others); i++)
        cr_assert_eq(tls_conn_adopt(&core, &(struct tls_agreed){.suite = others[i]}, 0), 0, "%x", others[i]);
    cr_assert_eq(core.conns.used, 0, "nothing stays behind");
    for (uint32_t i = 0; i < 2; i++)
        cr_assert_neq(tls_conn_adopt(&core, &(struct tls_agreed){.suite = 0x1302}, 0), 0);
    cr_assert_eq(tls_conn_adopt(&core, &(struct tls_agreed){.suite = 0x1302}, 0), 0, "full");
    cr_assert_eq(core.exts.used, 2);
    tls_core_fini(&core);
}
