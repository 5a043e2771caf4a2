/* SPDX-License-Identifier: BSD-3-Clause */
/* A socket: byte queues over a flow of the host's TCP core, with libssl between them where it speaks TLS. */
#include "sim.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX  65536 /* ciphertext made ahead of TCP */
#define PIECE_MAX 65536u

void sim_sock_connect(struct sim_sock *s, struct sim_host *h, uint32_t laddr_be, uint16_t lport, uint16_t rport) {
    memset(s, 0, sizeof(*s));
    s->host = h;
    s->lport = lport;
    if (tcp_connect(h->tcp, 0, laddr_be, rte_cpu_to_be_16(lport), SIM_WEIR_FRONT, rte_cpu_to_be_16(rport), 0,
                    h->sim->now_us, &s->id) != 0)
        sim_fail(h->sim, "the client's own stack refuses to connect");
    else
        h->socks[s->id] = s;
}

void sim_sock_adopt(struct sim_sock *s, struct sim_host *h, tcp_id id) {
    s->host = h;
    s->id = id;
    s->connected = true;
    s->lport = rte_be_to_cpu_16(tcp_conn_key(h->tcp, id)->local_port_be);
    h->socks[id] = s;
}

static void tls_make(struct sim_sock *s, SSL_CTX *ctx) {
    s->ssl = SSL_new(ctx);
    s->rbio = BIO_new(BIO_s_mem());
    s->wbio = BIO_new(BIO_s_mem());
    if (!s->ssl || !s->rbio || !s->wbio)
        abort();
    SSL_set_bio(s->ssl, s->rbio, s->wbio);
}

void sim_sock_tls(struct sim_sock *s, SSL_CTX *ctx) {
    tls_make(s, ctx);
    SSL_set_connect_state(s->ssl);
}

void sim_sock_tls_accept(struct sim_sock *s, SSL_CTX *ctx) {
    tls_make(s, ctx);
    SSL_set_accept_state(s->ssl);
    if (s->in.len != 0 && BIO_write(s->rbio, sim_bytes_at(&s->in), (int)s->in.len) != (int)s->in.len)
        abort();
    sim_bytes_skip(&s->in, s->in.len);
    s->eof = false;
    s->news = true;
}

void sim_sock_write(struct sim_sock *s, const void *data, size_t n) {
    sim_bytes_put(&s->out, data, n);
    s->news = true;
}

/* --- reading --- */

/* Everything on the receive rope, to libssl or to the reader. */
static void take_rope(struct sim_sock *s) {
    struct rope *rx = tcp_conn_rx(s->host->tcp, s->id);
    for (const struct rte_mbuf *m = rx->head; m != NULL; m = m->next) {
        const void *data = rte_pktmbuf_mtod(m, const void *);
        if (s->ssl == NULL)
            sim_bytes_put(&s->in, data, m->data_len);
        else if (BIO_write(s->rbio, data, m->data_len) != m->data_len)
            abort();
    }
    if (rx->len_bytes == 0)
        return;
    rope_clear(rx);
    tcp_conn_consumed(s->host->tcp, s->id);
}

static void tls_error(struct sim_sock *s, int rc) {
    int e = SSL_get_error(s->ssl, rc);
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE && e != SSL_ERROR_ZERO_RETURN)
        s->tls_failed = true;
    ERR_clear_error();
}

static void tls_read(struct sim_sock *s) {
    uint8_t buf[4096];
    int n;
    if (s->tls_failed)
        return;
    while ((n = SSL_read(s->ssl, buf, sizeof(buf))) > 0) {
        sim_bytes_put(&s->in, buf, (size_t)n);
        s->host->sim->opened[s->host->side] += (uint64_t)n;
    }
    tls_error(s, n);
    if (SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN)
        s->eof = true;
}

/* --- writing --- */

static void tls_write(struct sim_sock *s) {
    while (!s->tls_failed && SSL_is_init_finished(s->ssl) && s->out.len != 0 && BIO_pending(s->wbio) < WIRE_MAX) {
        int n = SSL_write(s->ssl, sim_bytes_at(&s->out), (int)weir_min_u32((uint32_t)s->out.len, 16384));
        if (n <= 0) {
            tls_error(s, n);
            return;
        }
        sim_bytes_skip(&s->out, (size_t)n);
    }
}

static void give(struct sim_sock *s, const void *data, uint32_t n) {
    struct rope r = {0};
    if (rope_append(&r, s->host->pool, data, n) != 0)
        abort(); /* hosts have plenty */
    if (tcp_conn_send(s->host->tcp, s->id, &r) != 0)
        rope_clear(&r);
}

static void give_wire(struct sim_sock *s) {
    uint8_t *data;
    long have = BIO_get_mem_data(s->wbio, (char **)&data);
    uint32_t n = weir_min_u32(tcp_conn_send_room(s->host->tcp, s->id, PIECE_MAX), (uint32_t)have);
    static uint8_t taken[PIECE_MAX];
    n = weir_min_u32(n, PIECE_MAX);
    if (n == 0)
        return;
    if (BIO_read(s->wbio, taken, (int)n) != (int)n)
        abort();
    give(s, taken, n);
}

static void give_plain(struct sim_sock *s) {
    uint32_t n = weir_min_u32(tcp_conn_send_room(s->host->tcp, s->id, PIECE_MAX), (uint32_t)s->out.len);
    if (n == 0)
        return;
    give(s, sim_bytes_at(&s->out), n);
    sim_bytes_skip(&s->out, n);
}

static void close_behind(struct sim_sock *s) {
    if (!s->close_out || s->shut || s->out.len != 0)
        return;
    if (s->ssl != NULL && s->notify) {
        s->notify = false;
        if (SSL_is_init_finished(s->ssl))
            SSL_shutdown(s->ssl);
        ERR_clear_error();
        give_wire(s);
    }
    if (s->ssl != NULL && BIO_pending(s->wbio) > 0)
        return;
    tcp_conn_shutdown(s->host->tcp, s->id);
    s->shut = true;
}

static void let_go(struct sim_sock *s) {
    s->host->socks[s->id] = NULL;
    s->id = 0;
}

void sim_sock_pump(struct sim_sock *s) {
    s->news = false;
    if (s->id == 0)
        return;
    if (!s->paused || s->over)
        take_rope(s);
    if (s->ssl != NULL) {
        tls_read(s);
        tls_write(s);
    }
    if (!s->over && s->connected) {
        if (s->ssl != NULL)
            give_wire(s);
        else
            give_plain(s);
        close_behind(s);
    }
    if (tcp_conn_peer_fin(s->host->tcp, s->id) && tcp_conn_rx(s->host->tcp, s->id)->len_bytes == 0) {
        s->fin = true;
        s->eof |= s->ssl == NULL;
    }
    if (!s->over)
        return;
    s->end = tcp_conn_end(s->host->tcp, s->id);
    tcp_conn_release(s->host->tcp, s->id);
    let_go(s);
}

void sim_sock_abort(struct sim_sock *s) {
    if (s->id == 0)
        return;
    tcp_conn_abort(s->host->tcp, s->id);
    let_go(s);
    s->over = true;
    s->end = TCP_END_ABORTED;
}

void sim_sock_vanish(struct sim_sock *s) {
    sim_host_deafen(s->host, rte_cpu_to_be_16(s->lport));
    sim_sock_abort(s);
}

void sim_sock_free(struct sim_sock *s) {
    if (s->id != 0) {
        tcp_conn_release(s->host->tcp, s->id);
        let_go(s);
    }
    SSL_free(s->ssl);
    sim_bytes_free(&s->in);
    sim_bytes_free(&s->out);
    memset(s, 0, sizeof(*s));
}
