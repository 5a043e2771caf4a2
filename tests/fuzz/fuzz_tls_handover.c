/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole handshakes with a libssl client whose bytes are cut, flipped, doubled or mixed with others on the way. An input
 * is a suite and a row of steps. Whatever comes: where nothing was changed, both ends agree and each byte arrives once;
 * where something was, no byte arrives that the client did not write; every SSL object and mbuf is given back.
 *
 * Or it is all that a client sent in a connection once recorded (tls_transcript.h), which the fuzzer may change inside
 * its records and handshake messages, too. */
#include "tls_transcript.h"
#include "tls_world.h"

#include <openssl/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCKS = 200 };
enum step { PASS, FLIP, INSERT, DOUBLE, WRITE, TURN, RENEW, STEPS };

struct run {
    struct tls_world *w;
    SSL *client;
    tls_id id;
    struct rope wire, plain, out;
    bool changed, dead;
    uint32_t written, read;
};

/* Written bytes count up, so that one lost, doubled or invented shows. */
static void check_plain(struct run *r) {
    uint8_t byte;

    for (uint32_t i = 0; i < r->plain.len_bytes; i++) {
        if (rope_copy(&r->plain, i, &byte, 1) != 1 || r->read >= r->written || byte != (uint8_t)r->read++)
            abort();
    }
    rope_clear(&r->plain);
}

static void turn(struct run *r) {
    uint32_t news[4];

    tls_poll(&r->w->core, 4, news, 4);
    if (!r->dead)
        r->dead = tls_input(&r->w->core, r->id, &r->wire, &r->plain, &r->out, 1u << 16) < 0;
    check_plain(r);
    for (const struct rte_mbuf *m = r->out.head; m; m = m->next)
        BIO_write(SSL_get_rbio(r->client), rte_pktmbuf_mtod(m, const void *), m->data_len);
    rope_clear(&r->out);
    ERR_clear_error();
    if (SSL_do_handshake(r->client) == 1) {
        uint8_t ignored[64];
        SSL_read(r->client, ignored, sizeof(ignored));
    }
}

static void step(struct run *r, struct span *s) {
    static uint8_t bytes[8192];
    uint8_t what = span_u8(s) % STEPS, a = span_u8(s), b = span_u8(s);
    BIO *out = SSL_get_wbio(r->client);
    int n;

    if (what == WRITE && SSL_is_init_finished(r->client)) {
        for (uint32_t i = 0; i < (uint32_t)a + 1; i++)
            bytes[i] = (uint8_t)(r->written + i);
        if (SSL_write(r->client, bytes, a + 1) == a + 1)
            r->written += a + 1u;
        return;
    }
    if (what == RENEW && SSL_is_init_finished(r->client)) {
        if (SSL_version(r->client) == TLS_V13)
            SSL_key_update(r->client, a & 1);
        return;
    }
    if (what == TURN || what == WRITE || what == RENEW) {
        turn(r);
        return;
    }
    n = BIO_read(out, bytes, a == 0 ? (int)sizeof(bytes) : a * 8);
    if (what == INSERT) {
        const uint8_t record[10] = {20 + (a & 3), 3, b & 3, 0, 5, a, b};
        tls_world_push(r->w->mbufs, &r->wire, record, sizeof(record), 1400);
        r->changed = true;
    }
    if (n <= 0)
        return;
    if (what == FLIP) {
        bytes[(uint32_t)b * 9 % (uint32_t)n] ^= (uint8_t)(a | 1);
        r->changed = true;
    }
    tls_world_push(r->w->mbufs, &r->wire, bytes, (uint32_t)n, 1u + b);
    if (what == DOUBLE) {
        tls_world_push(r->w->mbufs, &r->wire, bytes, (uint32_t)n, 1u + b);
        r->changed = true;
    }
}

/* Nothing was changed: let the rest through, then all must be well. */
static void settle(struct run *r) {
    static uint8_t bytes[8192];
    int n;

    for (int i = 0; i < 12; i++) {
        while ((n = BIO_read(SSL_get_wbio(r->client), bytes, sizeof(bytes))) > 0)
            tls_world_push(r->w->mbufs, &r->wire, bytes, (uint32_t)n, 1400);
        turn(r);
    }
    if (r->changed)
        return;
    if (r->dead || !SSL_is_init_finished(r->client) || !tls_established(&r->w->core, r->id) || r->read != r->written)
        abort();
}

static void steps_run(struct tls_world *w, const uint8_t *data, size_t size) {
    struct span s = span_of(data, size);
    size_t suite = span_u8(&s) % TLS_WORLD_SUITES;
    struct run r = {.w = w, .client = tls_world_client(suite)};

    r.id = tls_conn_new(&w->core, w->contexts[suite][0], 0);
    SSL_do_handshake(r.client);
    for (int i = 0; i < 60 && span_left(&s) > 0; i++)
        step(&r, &s);
    settle(&r);
    tls_conn_free(&w->core, r.id);
    SSL_free(r.client);
    rope_clear(&r.wire);
    rope_clear(&r.plain);
    rope_clear(&r.out);
}

/* As recorded: the same handshake, the same bytes, the same end. */
static void replay(struct tls_world *w, const uint8_t *data, size_t size) {
    bool genuine = transcript_genuine(data, size);
    struct span s = span_of(data, size);
    struct tls_world_served served = {0};
    uint8_t head = span_u8(&s);
    uint32_t read = 0;

    span_skip(&s, TRANSCRIPT_SEAL);
    uint16_t claim = span_u16(&s);
    tls_id id = tls_conn_new(&w->core, w->contexts[(head & TRANSCRIPT_SUITE) % TLS_WORLD_SUITES][head >> 7], 0);
    for (int i = 0; i < BLOCKS && span_left(&s) > 0 && !served.dead; i++) {
        uint32_t n = span_u16(&s), piece = span_u8(&s) + 1u;
        struct span block = span_sub(&s, weir_min_u32(n, (uint32_t)span_left(&s)));
        tls_world_push(w->mbufs, &served.wire, block.cur, (uint32_t)span_left(&block), piece == 256 ? 1400 : piece);
        tls_world_serve(id, &served);
        if (genuine && !transcript_counts(&served.plain, read))
            abort();
        read += served.plain.len_bytes;
        rope_clear(&served.plain);
        rope_clear(&served.out);
    }
    struct tls_info info = {0};
    if (genuine && !served.dead)
        tls_conn_info(&w->core, id, &info);
    if (genuine && (served.dead || read != claim || info.resumed != ((head & TRANSCRIPT_RESUMED) != 0) ||
                    (served.verdicts & (TLS_DONE | TLS_CLOSE)) != (TLS_DONE | TLS_CLOSE)))
        abort();
    tls_conn_free(&w->core, id);
    rope_clear(&served.wire);
    rope_clear(&served.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tls_world *w = tls_world();
    uint32_t news[4];

    tls_world_again();
    if (size > 0 && data[0] & TRANSCRIPT)
        replay(w, data, size);
    else
        steps_run(w, data, size);
    for (int i = 0; i < 3; i++)
        tls_poll(&w->core, 4, news, 4);
    if (rte_mempool_in_use_count(w->mbufs) != 0 || w->core.places.used != 0 || w->core.conns.used != 0 ||
        w->core.exts.used != 0)
        abort();
    return 0;
}
