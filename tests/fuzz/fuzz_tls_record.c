/* SPDX-License-Identifier: BSD-3-Clause */
/* Records off the wire of a connection with keys. An input is a suite and a row of steps: the peer seals a record of
 * any type and content, of which bytes may be flipped, doubled or cut off; raw bytes come; a few bytes or all of it are
 * delivered, in segments of some size; the pool runs empty for a while. Whatever comes: plaintext is exactly what the
 * peer sealed as data, in order and before the first damage; what we answer opens with the peer's keys or is nothing;
 * no mbuf and no key is left behind. Where the first byte says so we are the client, who gets tickets too.
 *
 * Or it is what one end of a real connection sent, with the keys (tls_transcript.h). */
#include "tests/eal.h"
#include "tls/tls_msg.h"
#include "tls_transcript.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MBUFS = 511, SENT_MAX = 1 << 16 };
enum step { SEAL, SEAL_DAMAGED, RAW, DELIVER, UPDATE, OUR_DATA, STARVE, CLOSE, STEPS };

static struct rte_mempool *mbufs;
static struct tls_core core;

struct run {
    tls_id server, client;
    struct rope held, wire, plain, answer; /* held: sealed, not yet delivered */
    uint8_t sent[SENT_MAX];                /* data sealed by the peer */
    uint32_t sent_bytes, read_bytes, honest_bytes;
    bool damaged, dead;
};

static void start(void) {
    if (!test_eal(64))
        abort();
    mbufs = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (tls_core_init(&core, &(struct tls_config){.max_conns = 4, .key_cache = 8, .pool = mbufs}) < 0)
        abort();
    core.gcm_record_limit = 20;
}

static tls_id conn_open(uint8_t row, const struct tls_dir_keys *in, const struct tls_dir_keys *out) {
    const struct tls_dir_keys keys[2] = {[TLS_READ] = *in, [TLS_WRITE] = *out};
    tls_id id = tls_conn_alloc(&core, 0);

    if (id == 0 || tls_conn_open(&core, tls_conn_get(&core, id), row, keys) < 0)
        abort();
    return id;
}

static void open_both(struct run *r, uint8_t row) {
    struct tls_dir_keys keys[2] = {0};

    for (int i = 0; i < 2; i++) {
        memset(keys[i].secret, i + 1, sizeof(keys[i].secret));
        if (tls_keys_from_secret(core.kdf, &tls_suites[row - 1], &keys[i]) < 0)
            abort();
    }
    r->server = conn_open(row, &keys[0], &keys[1]);
    r->client = conn_open(row, &keys[1], &keys[0]);
}

static void push(struct rope *r, const uint8_t *p, uint32_t n, uint32_t piece) {
    while (n > 0) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
        uint32_t part = weir_min_u32(n, piece);
        if (m == NULL)
            return;
        memcpy(rte_pktmbuf_append(m, (uint16_t)part), p, part);
        rope_link(r, m);
        p += part;
        n -= part;
    }
}

/* The peer seals `body` as a record of `type`; `damage` says what happens to it on the way. */
static void seal(struct run *r, uint8_t type, struct span body, uint8_t damage) {
    static uint8_t bytes[4096];
    struct tls_conn *c = tls_conn_get(&core, r->client);
    struct rope plain = {0}, record = {0};
    uint32_t n = (uint32_t)span_left(&body);

    if (rope_append(&plain, mbufs, body.cur, n) < 0 ||
        tls_record_seal(&core, c, r->client, type, &plain, n, &record) < 0) {
        rope_clear(&plain);
        return;
    }
    uint32_t total = rope_copy(&record, 0, bytes, sizeof(bytes));
    rope_clear(&record);
    if (type == 0 && tls_conn_suite(c)->version == TLS_V13) { /* padding: the type is the last byte that is not 0 */
        while (n > 0 && body.cur[n - 1] == 0)
            n--;
        type = n > 0 ? body.cur[--n] : 0;
    }
    if (damage) {
        if (damage & 1)
            bytes[damage * 7u % total] ^= damage;
        else
            total -= damage % total;
        r->damaged = true;
    } else if (type == TLS_CT_DATA && r->sent_bytes + n <= SENT_MAX) {
        memcpy(r->sent + r->sent_bytes, body.cur, n);
        r->sent_bytes += n;
        if (!r->damaged)
            r->honest_bytes = r->sent_bytes;
    }
    push(&r->held, bytes, total, 1400);
}

/* What came out is what went in. */
static void check_plain(struct run *r) {
    static uint8_t got[SENT_MAX];
    uint32_t n = rope_copy(&r->plain, 0, got, sizeof(got));

    if (r->read_bytes + n > r->honest_bytes || memcmp(got, r->sent + r->read_bytes, n) != 0)
        abort();
    r->read_bytes += n;
    rope_clear(&r->plain);
}

static void deliver(struct run *r, uint32_t n, uint32_t piece) {
    static uint8_t bytes[SENT_MAX];

    n = rope_copy(&r->held, 0, bytes, weir_min_u32(n, sizeof(bytes)));
    rope_trim(&r->held, n);
    push(&r->wire, bytes, n, piece);
    uint32_t before = r->wire.len_bytes;
    int rc = tls_input(&core, r->server, &r->wire, &r->plain, &r->answer, 1000);
    while (rc >= 0 && rc & TLS_MORE_WORK && r->wire.len_bytes < before) { /* else mbufs ran out */
        check_plain(r);
        before = r->wire.len_bytes;
        rc = tls_input(&core, r->server, &r->wire, &r->plain, &r->answer, 1000);
    }
    if (rc < 0 && rc > -(int)TLS_DROP_COUNT)
        r->dead = true;
    else if (rc < 0)
        abort();
    check_plain(r);
}

/* Everything we sent opens with the peer's keys, in order. */
static void check_answer(struct run *r) {
    struct tls_conn *c = tls_conn_get(&core, r->client);
    struct tls_frame f;

    while (r->answer.len_bytes > 0) {
        struct rope content = {0};
        uint8_t body[8] = {0};
        if (tls_frame_peek(&r->answer, TLS_RECORD_WIRE_MAX, &f) != 1 ||
            tls_record_open(&core, c, r->client, &f, &r->answer, &content) != 0)
            abort();
        rope_copy(&content, 0, body, sizeof(body));
        if (tls_conn_suite(c)->version == TLS_V13 && content.len_bytes == 6 && body[5] == TLS_CT_HANDSHAKE)
            tls_conn_rekey(&core, c, r->client, TLS_READ);
        rope_clear(&content);
    }
}

static void starve(struct run *r, uint32_t left) {
    static struct rte_mbuf *hoard[MBUFS];
    uint32_t n = 0;

    while (rte_mempool_avail_count(mbufs) > left)
        hoard[n++] = rte_pktmbuf_alloc(mbufs);
    deliver(r, UINT32_MAX, 1400);
    while (n > 0)
        rte_pktmbuf_free(hoard[--n]);
}

static void step(struct run *r, struct span *s) {
    uint8_t what = span_u8(s) % STEPS, a = span_u8(s), b = span_u8(s);
    static const uint8_t types[] = {TLS_CT_DATA, TLS_CT_DATA, TLS_CT_ALERT, TLS_CT_HANDSHAKE, TLS_CT_CCS, 0, 99};
    struct span body = span_sub(s, weir_min_u32(b, (uint32_t)span_left(s)));
    const uint8_t update[5] = {24, 0, 0, 1, a & 1};

    switch (what) {
    case SEAL:
        seal(r, types[a % sizeof(types)], body, 0);
        break;
    case SEAL_DAMAGED:
        seal(r, types[a % sizeof(types)], body, b | 1);
        break;
    case RAW:
        if (span_left(&body) > 0)
            r->damaged = true;
        push(&r->held, body.cur, (uint32_t)span_left(&body), 1400);
        break;
    case DELIVER:
        deliver(r, a & 1 ? UINT32_MAX : b, 1u + a);
        break;
    case UPDATE:
        if (tls_conn_suite(tls_conn_get(&core, r->client))->version != TLS_V13)
            break;
        seal(r, TLS_CT_HANDSHAKE, span_of(update, sizeof(update)), 0);
        tls_conn_rekey(&core, tls_conn_get(&core, r->client), r->client, TLS_WRITE);
        break;
    case OUR_DATA:
        push(&r->plain, body.cur, (uint32_t)span_left(&body), 1u + a);
        tls_seal(&core, r->server, &r->plain, &r->answer, 1u << 16, a * 8u);
        rope_clear(&r->plain);
        break;
    case STARVE:
        starve(r, a % 4);
        break;
    default:
        tls_close(&core, r->server, &r->answer);
    }
}

static void steps_run(const uint8_t *data, size_t size) {
    static struct run r;
    struct span s = span_of(data, size);

    memset(&r, 0, offsetof(struct run, sent));
    r.sent_bytes = r.read_bytes = r.honest_bytes = 0;
    r.damaged = r.dead = false;
    uint8_t first = span_u8(&s);
    open_both(&r, (uint8_t)(1 + first % tls_suites_count));
    tls_conn_get(&core, r.server)->is_client = first >> 7;
    for (int i = 0; i < 200 && span_left(&s) > 0 && !r.dead; i++) {
        step(&r, &s);
        if (!r.dead)
            check_answer(&r);
    }
    rope_clear(&r.held);
    rope_clear(&r.wire);
    rope_clear(&r.answer);
    tls_conn_free(&core, r.server);
    tls_conn_free(&core, r.client);
}

/* Records as they come off the wire. Returns how much plaintext they held; *verdicts: what tls_input said, -1: it is
 * over. */
static uint32_t records_take(tls_id id, struct span *s, bool genuine, int *verdicts) {
    struct rope wire = {0}, plain = {0}, out = {0};
    uint32_t read = 0;

    for (int i = 0; i < 200 && span_left(s) > 0 && *verdicts >= 0; i++) {
        uint32_t n = span_u16(s), piece = span_u8(s) + 1u;
        struct span block = span_sub(s, weir_min_u32(n, (uint32_t)span_left(s)));
        push(&wire, block.cur, (uint32_t)span_left(&block), piece == 256 ? 1400 : piece);
        int rc = tls_input(&core, id, &wire, &plain, &out, 1u << 16);
        *verdicts = rc < 0 ? -1 : *verdicts | rc;
        if (genuine && !transcript_counts(&plain, read))
            abort();
        read += plain.len_bytes;
        rope_clear(&plain);
        rope_clear(&out);
    }
    rope_clear(&wire);
    return read;
}

static void replay(const uint8_t *data, size_t size) {
    bool genuine = transcript_genuine(data, size);
    struct span s = span_of(data, size);
    struct tls_dir_keys keys[2];
    uint8_t head = span_u8(&s);
    int verdicts = 0;

    span_skip(&s, TRANSCRIPT_SEAL);
    uint16_t claim = span_u16(&s);
    transcript_keys_get(&s, &keys[TLS_READ]);
    transcript_keys_get(&s, &keys[TLS_WRITE]);
    tls_id id = conn_open((uint8_t)(1 + (head & TRANSCRIPT_SUITE) % tls_suites_count), &keys[0], &keys[1]);
    tls_conn_get(&core, id)->is_client = head >> 7;
    uint32_t read = records_take(id, &s, genuine, &verdicts);
    if (genuine && (verdicts < 0 || read != claim || !(verdicts & TLS_CLOSE)))
        abort();
    tls_conn_free(&core, id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (mbufs == NULL)
        start();
    if (size > 0 && data[0] & TRANSCRIPT)
        replay(data, size);
    else
        steps_run(data, size);
    if (rte_mempool_in_use_count(mbufs) != 0 || core.conns.used != 0 || core.exts.used != 0 || core.tickets.used != 0)
        abort();
    return 0;
}
