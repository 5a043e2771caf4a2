/* SPDX-License-Identifier: BSD-3-Clause */
/* NewSessionTickets as a client gets them: alone, together, in pieces, padded; and what is none of that. */
#include "harness.h"

#include <stdlib.h>

#define V13 1

struct heard { /* what the callback got */
    uint32_t count, user, bytes;
    uint8_t last[TLS_TICKET_MAX];
};

static void hear(void *ctx, uint32_t user, const uint8_t *message, uint32_t n) {
    struct heard *heard = ctx;

    heard->count++;
    heard->user = user;
    heard->bytes += n;
    memcpy(heard->last, message, n);
}

/* A pair whose receiving end is a client. */
static void pair_of_client(struct pair *p, struct heard *heard) {
    pair_init(p, V13);
    *heard = (struct heard){0};
    p->core.ticket = hear;
    p->core.ticket_ctx = heard;
    struct tls_conn *c = tls_conn_get(&p->core, p->server);
    c->is_client = 1;
    c->user = 1234;
}

static uint32_t ticket(uint8_t *out, uint32_t body_bytes, uint8_t fill) {
    const uint8_t header[4] = {4, 0, (uint8_t)(body_bytes >> 8), (uint8_t)body_bytes};

    memcpy(out, header, sizeof(header));
    memset(out + 4, fill, body_bytes);
    return 4 + body_bytes;
}

static int input(struct pair *p, struct rope *wire) {
    struct rope answer = {0};
    int rc = pair_input(p, wire, &answer, NULL);

    rope_clear(&answer);
    rope_clear(wire);
    return rc;
}

/* One ticket in records of `piece` bytes each. */
static int in_pieces(struct pair *p, const uint8_t *message, uint32_t n, uint32_t piece) {
    struct rope wire = {0};
    int rc = 0;

    for (uint32_t at = 0; at < n && rc >= 0; at += piece) {
        pair_seal(p, TLS_CT_HANDSHAKE, message + at, weir_min_u32(piece, n - at), &wire);
        rc = input(p, &wire);
    }
    return rc;
}

Test(tls_ticket, alone_and_in_pieces) {
    static const uint32_t sizes[] = {0, 1, 200, 3000, TLS_TICKET_MAX - 4}, pieces[] = {1, 2, 3, 5, 100, 1u << 14};
    static uint8_t message[TLS_TICKET_MAX];
    static struct heard heard;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(sizes); i++) {
        for (size_t k = sizes[i] > 3000 ? 4 : 0; k < WEIR_ARRAY_LEN(pieces); k++) {
            struct pair p;
            pair_of_client(&p, &heard);
            uint32_t n = ticket(message, sizes[i], 0xa0);
            cr_assert_eq(in_pieces(&p, message, n, pieces[k]), 0);
            cr_assert_eq(heard.count, 1, "%u bytes in pieces of %u", n, pieces[k]);
            cr_assert_eq(heard.user, 1234);
            cr_assert_eq(heard.bytes, n);
            cr_assert_eq(memcmp(heard.last, message, n), 0);
            cr_assert_eq(p.core.stats.tickets_in, 1);
            cr_assert_eq(p.core.tickets.used, 0, "nothing waits any more");
            pair_fini(&p);
        }
    }
}

/* Three in one record; and records that end in the middle of the second. */
Test(tls_ticket, several_in_a_record) {
    static struct heard heard;
    uint8_t messages[400];
    uint32_t n = 0;

    for (uint8_t i = 0; i < 3; i++)
        n += ticket(messages + n, 100u + i, i);
    for (uint32_t piece = 1; piece <= n; piece++) {
        struct pair p;
        pair_of_client(&p, &heard);
        cr_assert_eq(in_pieces(&p, messages, n, piece), 0);
        cr_assert_eq(heard.count, 3);
        cr_assert_eq(heard.bytes, n);
        pair_fini(&p);
    }
}

Test(tls_ticket, padded) {
    static struct heard heard;
    struct pair p;
    uint8_t content[300] = {0};

    pair_of_client(&p, &heard);
    uint32_t n = ticket(content, 50, 1);
    content[n] = TLS_CT_HANDSHAKE; /* the inner type; what follows, and the sealer's own type of 0, is padding */
    struct rope wire = {0};
    pair_seal(&p, 0, content, sizeof(content), &wire);
    cr_assert_eq(input(&p, &wire), 0);
    cr_assert_eq(heard.count, 1);
    cr_assert_eq(heard.bytes, n);
    pair_fini(&p);
}

Test(tls_ticket, data_and_key_updates_around) {
    static const uint8_t key_update[] = {24, 0, 0, 1, 0};
    static struct heard heard;
    struct pair p;
    struct rope wire = {0}, answer = {0};
    uint8_t content[128];
    uint32_t bytes = 0;

    pair_of_client(&p, &heard);
    uint32_t n = ticket(content, 64, 1);
    memcpy(content + n, key_update, sizeof(key_update));
    pair_seal(&p, TLS_CT_DATA, "before", 6, &wire);
    pair_seal(&p, TLS_CT_HANDSHAKE, content, n, &wire);
    pair_seal(&p, TLS_CT_DATA, "between", 7, &wire);
    pair_seal(&p, TLS_CT_HANDSHAKE, content, n + sizeof(key_update), &wire); /* the last of its record, as it must be */
    tls_conn_rekey(&p.core, tls_conn_get(&p.core, p.client), p.client, TLS_WRITE);
    pair_seal(&p, TLS_CT_DATA, "behind", 6, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), TLS_PLAIN);
    cr_assert_eq(bytes, 19);
    cr_assert_eq(heard.count, 2);
    cr_assert_eq(p.core.stats.key_updates_in, 1);
    pair_fini(&p);
}

Test(tls_ticket, nobody_listens) {
    static struct heard heard;
    struct pair p;
    uint8_t message[64];

    pair_of_client(&p, &heard);
    p.core.ticket = NULL;
    cr_assert_eq(in_pieces(&p, message, ticket(message, 60, 1), 64), 0);
    cr_assert_eq(heard.count, 0);
    cr_assert_eq(p.core.stats.tickets_in, 1);
    pair_fini(&p);
}

/* --- what is refused --- */

static void refused(const uint8_t *content, uint32_t n, enum tls_drop drop) {
    static struct heard heard;
    struct pair p;
    struct rope wire = {0};

    pair_of_client(&p, &heard);
    pair_seal(&p, TLS_CT_HANDSHAKE, content, n, &wire);
    cr_assert_eq(input(&p, &wire), -(int)drop);
    cr_assert_eq(p.core.tickets.used, 0);
    pair_fini(&p);
}

Test(tls_ticket, other_messages_stay_refused) {
    uint8_t message[128];

    for (uint32_t type = 0; type < 256; type++) {
        message[0] = (uint8_t)type;
        memset(message + 1, 0, 3);
        if (type == 4)
            continue;
        refused(message, 4, type == 24 ? TLS_DROP_UPDATE_LENGTH : TLS_DROP_UNEXPECTED_HANDSHAKE);
    }
    uint32_t n = ticket(message, 40, 1);
    message[n] = 13; /* a CertificateRequest behind a ticket */
    memset(message + n + 1, 0, 3);
    refused(message, n + 4, TLS_DROP_UNEXPECTED_HANDSHAKE);
}

Test(tls_ticket, a_server_gets_none) {
    static struct heard heard;
    struct pair p;
    struct rope wire = {0};
    uint8_t message[64];

    pair_of_client(&p, &heard);
    tls_conn_get(&p.core, p.server)->is_client = 0;
    pair_seal(&p, TLS_CT_HANDSHAKE, message, ticket(message, 60, 1), &wire);
    cr_assert_eq(input(&p, &wire), -TLS_DROP_UNEXPECTED_HANDSHAKE);
    cr_assert_eq(heard.count, 0);
    pair_fini(&p);
}

Test(tls_ticket, too_long) {
    const uint8_t whole[] = {4, 0, 0x40, 0, 0}, huge[] = {4, 0xff, 0xff, 0xff};
    static struct heard heard;
    struct pair p;

    refused(whole, sizeof(whole), TLS_DROP_TICKET_TOO_LONG);
    refused(huge, sizeof(huge), TLS_DROP_TICKET_TOO_LONG);
    pair_of_client(&p, &heard); /* the length comes in a later record than the type */
    cr_assert_eq(in_pieces(&p, huge, sizeof(huge), 1), -TLS_DROP_TICKET_TOO_LONG);
    cr_assert_eq(p.core.tickets.used, 0);
    pair_fini(&p);
}

Test(tls_ticket, torn) {
    static struct heard heard;
    struct pair p;
    struct rope wire = {0};
    uint8_t message[64];

    for (uint32_t i = 0; i < 4; i++) { /* an empty record, and one of data; with the others, and alone */
        pair_of_client(&p, &heard);
        pair_seal(&p, TLS_CT_HANDSHAKE, message, ticket(message, 60, 1) - 1, &wire);
        if (i & 2)
            cr_assert_eq(input(&p, &wire), 0);
        pair_seal(&p, TLS_CT_DATA, "x", i & 1, &wire);
        cr_assert_eq(input(&p, &wire), -TLS_DROP_TICKET_TORN);
        cr_assert_eq(heard.count, 0);
        cr_assert_eq(p.core.tickets.used, 0);
        pair_fini(&p);
    }
}

Test(tls_ticket, flood) {
    static struct heard heard;
    struct pair p;
    struct rope wire = {0};
    uint8_t message[64];
    int rc = 0;

    pair_of_client(&p, &heard);
    for (int i = 0; i < 32; i++)
        cr_assert_eq(in_pieces(&p, message, ticket(message, 60, 1), 40), 0);
    pair_seal(&p, TLS_CT_DATA, "x", 1, &wire); /* data in between starts the count anew */
    cr_assert_eq(input(&p, &wire), TLS_PLAIN);
    for (int i = 0; i < 33 && rc >= 0; i++)
        rc = in_pieces(&p, message, ticket(message, 60, 1), 64);
    cr_assert_eq(rc, -TLS_DROP_UPDATE_FLOOD);
    cr_assert_eq(heard.count, 64);
    pair_fini(&p);
}

/* Freed in the middle of a ticket; and no place or no mbuf for the part that came. */
Test(tls_ticket, goes_with_its_connection) {
    static struct heard heard;
    struct pair p;
    uint8_t message[64];

    pair_of_client(&p, &heard);
    cr_assert_eq(in_pieces(&p, message, ticket(message, 60, 1) - 1, 10), 0);
    cr_assert_eq(p.core.tickets.used, 1);
    tls_conn_free(&p.core, p.server);
    cr_assert_eq(p.core.tickets.used, 0);
    cr_assert_eq(harness_mbufs_out(), 0);
    pair_fini(&p);

    pair_of_client(&p, &heard);
    while (pool_alloc(&p.core.tickets) != POOL_NONE)
        ;
    cr_assert_eq(in_pieces(&p, message, 40, 40), -TLS_DROP_NO_MEMORY);
    pair_fini(&p);
}
