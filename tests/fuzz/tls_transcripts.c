/* SPDX-License-Identifier: BSD-3-Clause */
/* tls_transcripts FOLDER: makes real connections between libssl's clients and lib/tls, in memory, and writes what went
 * over the wire as seeds: FOLDER/fuzz_tls_handover has all a client sent, FOLDER/fuzz_tls_record what either end sent
 * after the handshake, with the keys. Each suite, full and resumed, with a client's certificate and without. */
#include "tls_transcript.h"
#include "tls_world.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/stat.h>

struct tape { /* of one direction */
    uint8_t bytes[TRANSCRIPT_MAX];
    struct span_writer w;
    uint32_t plain_bytes;
    bool runs;
};

struct talk {
    size_t suite;
    bool certificate, resumed;
    SSL *client;
    tls_id id;
    struct tls_world_served server;
    struct tape said, heard;     /* by the client */
    struct tls_dir_keys keys[2]; /* the server's, when its records begin */
    uint8_t row;                 /* 0: libssl carries the records */
    uint32_t piece;              /* of the next block */
};

static void need(bool fine, const struct talk *t, const char *what) {
    if (fine)
        return;
    fprintf(stderr, "tls_transcripts: %s: %s\n", tls_world_suites[t->suite].name, what);
    exit(1);
}

static void block_put(struct talk *t, struct tape *tape, const uint8_t *bytes, uint32_t n) {
    static const uint8_t pieces[] = {255, 0, 99, 6}; /* segments of a byte as well, not so many that mbufs run out */

    if (!tape->runs || n == 0)
        return;
    span_put_u16(&tape->w, (uint16_t)n);
    span_put_u8(&tape->w, n <= 200 ? pieces[t->piece++ % WEIR_ARRAY_LEN(pieces)] : 255);
    span_put_bytes(&tape->w, bytes, n);
}

static void tape_begin(struct tape *tape) {
    *tape = (struct tape){.runs = true};
    tape->w = span_writer_of(tape->bytes, sizeof(tape->bytes));
}

/* --- a conversation --- */

static void keys_note(struct talk *t) {
    const struct tls_core *core = &tls_world()->core;
    const struct tls_conn *c = tls_conn_get(core, t->id);

    t->row = c->phase == TLS_PHASE_OPEN ? c->suite : 0;
    for (int dir = TLS_READ; t->row && dir <= TLS_WRITE; dir++) {
        struct tls_dir_keys *keys = &t->keys[dir];
        *keys = (struct tls_dir_keys){.seq = c->seq[dir]};
        memcpy(keys->key, tls_conn_key(core, c, dir), tls_conn_suite(c)->aead->key_bytes);
        memcpy(keys->iv, c->iv[dir], sizeof(keys->iv));
        if (tls_conn_suite(c)->version == TLS_V13)
            tls_conn_secret_load(core, c, dir, keys->secret);
    }
}

/* What the server has to say goes to the client. */
static void server_out(struct talk *t) {
    static uint8_t bytes[TRANSCRIPT_MAX];
    uint32_t n = rope_copy(&t->server.out, 0, bytes, sizeof(bytes));

    rope_clear(&t->server.out);
    block_put(t, &t->heard, bytes, n);
    BIO_write(SSL_get_rbio(t->client), bytes, (int)n);
}

/* What the client has to say goes to the server, and its answer back. */
static void client_out(struct talk *t) {
    static uint8_t bytes[TRANSCRIPT_MAX];
    int n = BIO_read(SSL_get_wbio(t->client), bytes, sizeof(bytes));
    bool v13 = tls_world_suites[t->suite].version == TLS_V13;

    if (n > 0) {
        block_put(t, &t->said, bytes, (uint32_t)n);
        tls_world_push(tls_world()->mbufs, &t->server.wire, bytes, (uint32_t)n, 1400);
    }
    if (tls_world_serve(t->id, &t->server) & TLS_DONE) {
        keys_note(t);
        /* A server's tickets of 1.3 are the first records under its keys; its Finished of 1.2 is record 0. */
        if (v13) {
            tape_begin(&t->heard);
            t->keys[TLS_WRITE].seq = 0;
            server_out(t);
        } else {
            server_out(t);
            tape_begin(&t->heard);
        }
    }
    server_out(t);
    need(!t->server.dead, t, "the server gives up");
    need(transcript_counts(&t->server.plain, t->said.plain_bytes - t->server.plain.len_bytes), t, "other bytes arrive");
    rope_clear(&t->server.plain);
}

/* The client takes what came. */
static void client_in(struct talk *t) {
    uint8_t bytes[4096];

    tls_world_draws(TLS_WORLD_CLIENT);
    ERR_clear_error();
    if (SSL_do_handshake(t->client) == 1)
        while (SSL_read(t->client, bytes, sizeof(bytes)) > 0)
            ;
    tls_world_draws(TLS_WORLD_SERVER);
}

static void client_write(struct talk *t, uint32_t n) {
    uint8_t bytes[4096];

    for (uint32_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(t->said.plain_bytes + i);
    tls_world_draws(TLS_WORLD_CLIENT);
    need(SSL_write(t->client, bytes, (int)n) == (int)n, t, "the client does not write");
    tls_world_draws(TLS_WORLD_SERVER);
    t->said.plain_bytes += n;
    client_out(t);
}

static void server_write(struct talk *t, uint32_t n) {
    struct tls_world *w = tls_world();
    struct rope plain = {0};
    uint8_t bytes[4096];

    for (uint32_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(t->heard.plain_bytes + i);
    tls_world_push(w->mbufs, &plain, bytes, n, 1400);
    need(tls_seal(&w->core, t->id, &plain, &t->server.out, n, 0) == (int)n, t, "the server does not write");
    t->heard.plain_bytes += n;
    server_out(t);
    client_in(t);
}

static void shake(struct talk *t, SSL_SESSION *session) {
    tls_world_again();
    tls_world_draws(TLS_WORLD_CLIENT);
    t->client = tls_world_client(t->suite);
    if (session)
        SSL_set_session(t->client, session);
    tls_world_draws(TLS_WORLD_SERVER);
    t->id = tls_conn_new(&tls_world()->core, tls_world()->contexts[t->suite][t->certificate], 0);
    for (int i = 0; i < 6; i++) {
        client_in(t);
        client_out(t);
    }
    client_in(t);
    need(t->server.verdicts & TLS_DONE, t, "no handshake");
    need(SSL_session_reused(t->client) == (session != NULL), t, "resumed or not");
}

static void hang_up(struct talk *t) {
    uint32_t news[4];

    tls_conn_free(&tls_world()->core, t->id);
    SSL_set_shutdown(t->client, SSL_SENT_SHUTDOWN); /* or libssl takes the session for a broken one */
    SSL_free(t->client);
    rope_clear(&t->server.wire);
    rope_clear(&t->server.out);
    t->server = (struct tls_world_served){0};
    for (int i = 0; i < 3; i++)
        tls_poll(&tls_world()->core, 4, news, 4);
}

/* Records of all sizes both ways, new keys, and the end. */
static void converse(struct talk *t) {
    static const uint32_t sizes[] = {1, 16, 100, 1400, 2500};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(sizes); i++) {
        client_write(t, sizes[i]);
        server_write(t, sizes[WEIR_ARRAY_LEN(sizes) - 1 - i]);
        if (i % 2 == 0 && SSL_version(t->client) == TLS_V13) {
            SSL_key_update(t->client, SSL_KEY_UPDATE_REQUESTED);
            client_write(t, 50);
        }
    }
    SSL_shutdown(t->client);
    client_out(t);
    need(t->server.verdicts & TLS_CLOSE, t, "no end");
    (void)tls_close(&tls_world()->core, t->id, &t->server.out);
    server_out(t);
}

/* --- seeds --- */

static void seed_write(const struct talk *t, const char *folder, const char *fuzzer, const char *what, uint8_t head,
                       const struct tape *tape, const struct tls_dir_keys *in, const struct tls_dir_keys *out) {
    static uint8_t bytes[2 * TRANSCRIPT_MAX];
    struct span_writer w = span_writer_of(bytes, sizeof(bytes));
    char path[4096];

    span_put_u8(&w, head);
    uint8_t *seal = span_put(&w, TRANSCRIPT_SEAL);
    span_put_u16(&w, (uint16_t)tape->plain_bytes);
    if (in) {
        transcript_keys_put(&w, in);
        transcript_keys_put(&w, out);
    }
    span_put_bytes(&w, tape->bytes, span_written(&tape->w));
    need(!w.failed && !tape->w.failed && transcript_seal(bytes, span_written(&w), seal), t, "too large");
    snprintf(path, sizeof(path), "%s/%s", folder, fuzzer);
    need(mkdir(path, 0777) == 0 || errno == EEXIST, t, path);
    snprintf(path, sizeof(path), "%s/%s/%s%s%s%s", folder, fuzzer, tls_world_suites[t->suite].name,
             t->resumed ? "-resumed" : "", t->certificate ? "-certificate" : "", what);
    FILE *f = fopen(path, "w");
    need(f && fwrite(bytes, span_written(&w), 1, f) == 1 && fclose(f) == 0, t, path);
}

static void record(struct talk *t, const char *folder) {
    SSL_SESSION *session = NULL;

    if (t->resumed) {
        shake(t, NULL);
        session = SSL_get1_session(t->client);
        hang_up(t);
    }
    tape_begin(&t->said);
    shake(t, session);
    size_t handshake = span_written(&t->said.w);
    converse(t);
    hang_up(t);
    SSL_SESSION_free(session);
    uint8_t head = (uint8_t)(TRANSCRIPT | t->suite | (t->resumed ? TRANSCRIPT_RESUMED : 0) |
                             (t->certificate ? TRANSCRIPT_ASKED : 0));
    seed_write(t, folder, "fuzz_tls_handover", "", head, &t->said, NULL, NULL);
    if (t->row == 0 || t->resumed || t->certificate) /* records are the same */
        return;
    head = (uint8_t)(TRANSCRIPT | (t->row - 1));
    seed_write(t, folder, "fuzz_tls_record", "-heard", head | TRANSCRIPT_HEARD, &t->heard, &t->keys[TLS_WRITE],
               &t->keys[TLS_READ]);
    memmove(t->said.bytes, t->said.bytes + handshake, span_written(&t->said.w) - handshake);
    t->said.w.cur -= handshake;
    seed_write(t, folder, "fuzz_tls_record", "-said", head, &t->said, &t->keys[TLS_READ], &t->keys[TLS_WRITE]);
}

int main(int argc, char **argv) {
    static struct talk t;

    if (argc != 2) {
        fprintf(stderr, "usage: tls_transcripts FOLDER\n");
        return 2;
    }
    (void)tls_world();
    for (uint32_t i = 0; i < 4 * TLS_WORLD_SUITES; i++) {
        t = (struct talk){.suite = i / 4, .resumed = i & 1, .certificate = i & 2};
        if (!t.certificate || !tls_world_suites[t.suite].psk)
            record(&t, argv[1]);
    }
    return 0;
}
