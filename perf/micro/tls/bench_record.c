/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and sealing records through tls_input and tls_seal, beside what IPsec-MB alone takes for the same bytes in
 * the same run: in one call over one piece of memory that stays in cache ("IPsec-MB", and OpenSSL's "EVP" with the key
 * set beforehand), and where they lie in mbufs, part by part ("IPsec-MB in mbufs": the floor of the record layer).
 * Records of up to 1,400 bytes lie in one mbuf, larger ones in mbufs of 1,400 bytes, as segments carry them; "N conns"
 * goes round as many, of which the key cache holds 512. */
#include "tls/tls_msg.h"

#include "bench.h"

#include <intel-ipsec-mb.h>
#include <openssl/evp.h>

#define BATCH   64u
#define SEGMENT 1400u
#define CONNS   4096u

static struct tls_core core;
static struct rte_mempool *mbufs;

struct bench {
    tls_id server[CONNS], client[CONNS];
    uint32_t conns, n, next; /* conns: a power of two */
    const struct tls_suite *suite;
    struct rope rope[BATCH]; /* records to be opened, or plaintext to be sealed */
    struct rope done;
    struct rope alone[BATCH]; /* where each goes to a rope of its own */
    struct tls_op op;         /* IPsec-MB alone */
    EVP_CIPHER_CTX *evp;
    struct gcm_key_data *expanded;
    uint8_t *from, *to;
};

static tls_id conn_open(uint8_t row, const struct tls_dir_keys *in, const struct tls_dir_keys *out) {
    const struct tls_dir_keys keys[2] = {[TLS_READ] = *in, [TLS_WRITE] = *out};
    tls_id id = tls_conn_alloc(&core, 0);

    if (id == 0 || tls_conn_open(&core, tls_conn_get(&core, id), row, keys) < 0)
        exit(1);
    return id;
}

static void open_conns(struct bench *b, uint8_t row, uint32_t conns) {
    struct tls_dir_keys keys[2] = {0};

    b->suite = &tls_suites[row - 1];
    b->conns = conns;
    b->next = 0;
    for (uint32_t i = 0; i < conns; i++) {
        for (int dir = 0; dir < 2; dir++) {
            memcpy(keys[dir].secret, &i, sizeof(i));
            keys[dir].secret[8] = (uint8_t)dir;
            if (tls_keys_from_secret(core.kdf, b->suite, &keys[dir]) < 0)
                exit(1);
        }
        b->server[i] = conn_open(row, &keys[0], &keys[1]);
        b->client[i] = conn_open(row, &keys[1], &keys[0]);
    }
}

static void close_conns(struct bench *b) {
    for (uint32_t i = 0; i < b->conns; i++) {
        tls_conn_free(&core, b->server[i]);
        tls_conn_free(&core, b->client[i]);
    }
}

static void push(struct rope *r, const uint8_t *data, uint32_t n) {
    while (n > 0) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
        uint32_t part = weir_min_u32(n, n > SEGMENT + 64 ? SEGMENT : n);
        if (m == NULL)
            exit(1);
        memcpy(rte_pktmbuf_append(m, (uint16_t)part), data, part);
        rope_link(r, m);
        data += part;
        n -= part;
    }
}

static uint32_t conn_of(const struct bench *b, uint32_t i) {
    return (b->next + i) & (b->conns - 1); /* a division would take as long as much of what is measured */
}

static void plain_reset(void *arg, uint32_t rounds) {
    struct bench *b = arg;

    b->next += BATCH;
    rope_clear(&b->done);
    for (uint32_t i = 0; i < rounds; i++) {
        rope_clear(&b->rope[i]);
        rope_clear(&b->alone[i]);
        push(&b->rope[i], b->from, b->n);
    }
}

static void records_reset(void *arg, uint32_t rounds) {
    struct bench *b = arg;
    static uint8_t bytes[TLS_RECORD_MAX + TLS_WIRE_OVERHEAD_MAX];

    plain_reset(arg, rounds);
    for (uint32_t i = 0; i < rounds; i++) {
        struct rope record = {0};
        tls_id id = b->client[conn_of(b, i)];
        if (tls_record_seal(&core, tls_conn_get(&core, id), id, TLS_CT_DATA, &b->rope[i], b->n, &record) < 0)
            exit(1);
        uint32_t n = rope_copy(&record, 0, bytes, sizeof(bytes));
        rope_clear(&record);
        push(&b->rope[i], bytes, n);
    }
}

static void open_records(void *arg, uint32_t rounds) {
    struct bench *b = arg;
    struct rope answer = {0};

    for (uint32_t i = 0; i < rounds; i++) {
        if (tls_input(&core, b->server[conn_of(b, i)], &b->rope[i], &b->done, &answer, UINT32_MAX) != TLS_PLAIN)
            exit(1);
    }
}

static void seal_records(void *arg, uint32_t rounds) {
    struct bench *b = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        if (tls_seal(&core, b->server[conn_of(b, i)], &b->rope[i], &b->done, UINT32_MAX, 0) != (int)b->n)
            exit(1);
    }
}

static void open_alone(void *arg, uint32_t rounds) {
    struct bench *b = arg;
    struct rope answer = {0};

    for (uint32_t i = 0; i < rounds; i++) {
        if (tls_input(&core, b->server[conn_of(b, i)], &b->rope[i], &b->alone[i], &answer, UINT32_MAX) != TLS_PLAIN)
            exit(1);
    }
}

/* As many records of one connection in a turn, an mbuf each. */
#define TOGETHER 8u

static void together_reset(void *arg, uint32_t rounds) {
    struct bench *b = arg;

    records_reset(arg, rounds * TOGETHER);
    for (uint32_t i = 0; i < rounds; i++) {
        for (uint32_t j = 1; j < TOGETHER; j++) {
            struct rope *r = &b->rope[i * TOGETHER + j];
            rope_link(&b->rope[i * TOGETHER], r->head);
            *r = (struct rope){0};
        }
    }
}

static void open_together(void *arg, uint32_t rounds) {
    struct bench *b = arg;
    struct rope answer = {0};

    for (uint32_t i = 0; i < rounds; i++) {
        if (tls_input(&core, b->server[0], &b->rope[i * TOGETHER], &b->alone[i], &answer, UINT32_MAX) != TLS_PLAIN)
            exit(1);
    }
}

static void seal_alone(void *arg, uint32_t rounds) {
    struct bench *b = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        if (tls_seal(&core, b->server[conn_of(b, i)], &b->rope[i], &b->alone[i], UINT32_MAX, 0) != (int)b->n)
            exit(1);
    }
}

/* IPsec-MB: one call with nothing in between, or with ChaCha20 the three of a record. */
static void raw(const struct bench *b, bool seal, uint8_t *dst, const uint8_t *src, uint32_t n, uint8_t *tag) {
    const struct tls_op *o = &b->op;

    if (b->suite->aead->expand == NULL)
        (seal ? b->suite->aead->seal : b->suite->aead->open)(o, dst, src, n, tag);
    else if (b->suite->aead->key_bytes == 16)
        (seal ? core.mgr->gcm128_enc : core.mgr->gcm128_dec)(o->key, o->ctx, dst, src, n, o->nonce, o->aad,
                                                             o->aad_bytes, tag, TLS_TAG_BYTES);
    else
        (seal ? core.mgr->gcm256_enc : core.mgr->gcm256_dec)(o->key, o->ctx, dst, src, n, o->nonce, o->aad,
                                                             o->aad_bytes, tag, TLS_TAG_BYTES);
}

static void raw_open(void *arg, uint32_t rounds) {
    struct bench *b = arg;
    uint8_t tag[TLS_TAG_BYTES];

    for (uint32_t i = 0; i < rounds; i++)
        raw(b, false, b->to, b->from, b->n + b->suite->inner_bytes, tag);
}

static void raw_seal(void *arg, uint32_t rounds) {
    struct bench *b = arg;
    uint8_t tag[TLS_TAG_BYTES];

    for (uint32_t i = 0; i < rounds; i++)
        raw(b, true, b->to, b->from, b->n + b->suite->inner_bytes, tag);
}

static void evp_crypt(void *arg, uint32_t rounds, bool seal) {
    struct bench *b = arg;
    uint8_t tag[TLS_TAG_BYTES] = {0};
    int n;

    for (uint32_t i = 0; i < rounds; i++) {
        EVP_CipherInit_ex(b->evp, NULL, NULL, NULL, b->op.nonce, seal);
        EVP_CipherUpdate(b->evp, NULL, &n, b->op.aad, (int)b->op.aad_bytes);
        EVP_CipherUpdate(b->evp, b->to, &n, b->from, (int)(b->n + b->suite->inner_bytes));
        if (!seal)
            EVP_CIPHER_CTX_ctrl(b->evp, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag);
        (void)EVP_CipherFinal_ex(b->evp, b->to + n, &n); /* the tag does not fit, which takes as long */
        if (seal)
            EVP_CIPHER_CTX_ctrl(b->evp, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag);
    }
}

static void evp_open(void *arg, uint32_t rounds) {
    evp_crypt(arg, rounds, false);
}

static void evp_seal(void *arg, uint32_t rounds) {
    evp_crypt(arg, rounds, true);
}

/* Every record where it lies. */
static void raw_in_mbufs(struct bench *b, uint32_t rounds, bool seal) {
    const struct tls_aead *aead = b->suite->aead;
    uint8_t tag[TLS_TAG_BYTES];

    for (uint32_t i = 0; i < rounds; i++) {
        struct rte_mbuf *m = b->rope[i].head;
        if (m->next == NULL) {
            uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
            raw(b, seal, p, p, m->data_len + b->suite->inner_bytes, tag);
            continue;
        }
        aead->begin(&b->op);
        for (; m; m = m->next) {
            uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
            (seal ? aead->seal_part : aead->open_part)(&b->op, p, p, m->data_len);
        }
        aead->end(&b->op, tag);
    }
}

static void raw_open_in_mbufs(void *arg, uint32_t rounds) {
    raw_in_mbufs(arg, rounds, false);
}

static void raw_seal_in_mbufs(void *arg, uint32_t rounds) {
    raw_in_mbufs(arg, rounds, true);
}

static void raw_set(struct bench *b) {
    static uint8_t key[TLS_KEY_MAX], iv[TLS_NONCE_BYTES];

    b->op = (struct tls_op){.mgr = core.mgr, .ctx = core.work->ctx, .key = key};
    if (b->suite->aead->expand) {
        b->suite->aead->expand(core.mgr, key, b->expanded);
        b->op.key = b->expanded;
    }
    tls_op_set(&b->op, b->suite, iv, 1, TLS_CT_DATA, 64, NULL);
    const EVP_CIPHER *cipher = b->suite->aead->expand == NULL    ? EVP_chacha20_poly1305()
                               : b->suite->aead->key_bytes == 16 ? EVP_aes_128_gcm()
                                                                 : EVP_aes_256_gcm();
    EVP_CIPHER_CTX_free(b->evp);
    b->evp = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(b->evp, cipher, NULL, key, iv, 1);
}

/* `more`: what else the name is to say; `ops`: records a round. */
static void run_ops(struct bench *b, const char *what, const char *more, uint32_t ops, bench_step once,
                    bench_step reset) {
    char name[64];
    bool v12 = b->suite->version == TLS_V12;
    const char *cipher = v12 ? strstr(b->suite->name, "WITH_") + strlen("WITH_") : b->suite->name + strlen("TLS_");
    const char *hash = strstr(cipher, "_SHA");

    snprintf(name, sizeof(name), "%s %u B%s, %.*s%s", what, b->n, more, (int)(hash - cipher), cipher,
             v12 ? " 1.2" : "");
    bench_run(name, ops, BATCH / ops, once, reset, b);
}

static void run(struct bench *b, const char *what, const char *more, bench_step once, bench_step reset) {
    run_ops(b, what, more, 1, once, reset);
}

int main(void) {
    static const uint32_t sizes[] = {16, 64, 256, 1400, 16384};
    const uint8_t rows[] = {
        1, 2, 3, tls_suite_find(TLS_V12, 0xc02b), tls_suite_find(TLS_V12, 0xc02c), tls_suite_find(TLS_V12, 0xcca9)};
    static struct bench b;

    bench_eal("64");
    mbufs = bench_mbufs(8191);
    if (tls_core_init(&core, &(struct tls_config){.max_conns = 2 * CONNS, .pool = mbufs}) < 0)
        return 1;
    b.expanded = aligned_alloc(64, (sizeof(*b.expanded) + 63) / 64 * 64);
    b.from = calloc(1, TLS_RECORD_MAX + 64);
    b.to = calloc(1, TLS_RECORD_MAX + 64);
    for (size_t r = 0; r < WEIR_ARRAY_LEN(rows); r++) {
        open_conns(&b, rows[r], 1);
        raw_set(&b);
        for (size_t s = 0; s < WEIR_ARRAY_LEN(sizes); s++) {
            b.n = sizes[s];
            run(&b, "IPsec-MB open", "", raw_open, NULL);
            run(&b, "EVP open", "", evp_open, NULL);
            run(&b, "IPsec-MB open in mbufs", "", raw_open_in_mbufs, plain_reset);
            run(&b, "tls_input", "", open_records, records_reset);
            run(&b, "tls_input alone", "", open_alone, records_reset);
            if (b.n < SEGMENT)
                run_ops(&b, "tls_input", ", 8 a turn", TOGETHER, open_together, together_reset);
            run(&b, "IPsec-MB seal", "", raw_seal, NULL);
            run(&b, "EVP seal", "", evp_seal, NULL);
            run(&b, "IPsec-MB seal in mbufs", "", raw_seal_in_mbufs, plain_reset);
            run(&b, "tls_seal", "", seal_records, plain_reset);
            run(&b, "tls_seal alone", "", seal_alone, plain_reset);
        }
        close_conns(&b);
    }
    for (uint32_t conns = 256; conns <= CONNS; conns *= 4) {
        char more[40];
        open_conns(&b, 1, conns);
        b.n = 64;
        snprintf(more, sizeof(more), ", %u conns", conns);
        run(&b, "tls_input", more, open_records, records_reset);
        close_conns(&b);
    }
    for (uint32_t i = 0; i < BATCH; i++)
        rope_clear(&b.rope[i]);
    for (uint32_t i = 0; i < BATCH; i++)
        rope_clear(&b.alone[i]);
    rope_clear(&b.done);
    tls_core_fini(&core);
    EVP_CIPHER_CTX_free(b.evp);
    free(b.expanded);
    free(b.from);
    free(b.to);
    return 0;
}
