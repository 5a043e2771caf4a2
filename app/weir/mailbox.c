/* SPDX-License-Identifier: BSD-3-Clause */
#include "mailbox.h"

#include "session_server.h"

#include <stdio.h>
#include <string.h>

#define MAILBOX_SIZE 64u
#define CLOSE_BATCH  256u /* flows looked at a turn at the end of a drain, to end their sessions */

int mailbox_init(struct mailbox *b, const char *name, int socket_id) {
    b->ring = rte_ring_create(name, MAILBOX_SIZE, socket_id, RING_F_SP_ENQ | RING_F_SC_DEQ);
    return b->ring != NULL ? 0 : WEIR_ENOMEM;
}

void mailbox_fini(struct mailbox *b) {
    rte_ring_free(b->ring);
    b->ring = NULL;
}

int mailbox_post(struct mailbox *b, struct mail *m) {
    return rte_ring_sp_enqueue(b->ring, m) == 0 ? 0 : WEIR_EFULL;
}

static void drain(struct worker *w) {
    w->draining = true;
    for (uint16_t i = 0; i < w->n_listeners; i++)
        tcp_listen_accepting(&w->tcp, i, false);
}

/* Which client and server a flow belongs to. */
static void row_place(const struct worker *w, const struct tcp_info *info, struct flow_row *row) {
    row->listener = row->pool = row->server = LB_NONE;
    if (info->user >> 2 == 0 || (info->user & 3) == SIDE_PROBE)
        return;
    const struct session *s = pool_get(&w->sessions, info->user >> 2);
    if ((info->user & 3) == SIDE_CLIENT)
        row->listener = s->listener;
    if (s->server_index != LB_NONE) {
        row->pool = s->pool;
        row->server = s->server_index;
    }
    bool is_client = (info->user & 3) == SIDE_CLIENT;
    tls_id id = is_client ? s->tls : s->server_tls != 0 ? session_server_of(w, s)->tls : 0;
    if (id != 0) {
        struct tls_info tls;
        tls_conn_info(&w->tls, id, &tls);
        snprintf(row->suite, sizeof(row->suite), "%s", tls.suite);
    }
    if (is_client && s->tls != 0) {
        const struct tls_identity *who = tls_conn_identity(&w->tls, s->tls);
        if (who == NULL)
            return;
        snprintf(row->alpn, sizeof(row->alpn), "%.31s", who->alpn);
        snprintf(row->subject, sizeof(row->subject), "%.63s", who->certificate ? who->common_name : who->psk);
    }
}

static void row_fill(const struct worker *w, tcp_id id, struct flow_row *row) {
    struct tcp_info i;
    memset(row, 0, sizeof(*row));
    tcp_conn_info(&w->tcp, id, &i);
    row->peer_addr_be = i.key.remote_addr_be;
    row->local_addr_be = i.key.local_addr_be;
    row->peer_port_be = i.key.remote_port_be;
    row->local_port_be = i.key.local_port_be;
    row->state = (uint8_t)i.state;
    row->port = i.port;
    row->sack = i.sack;
    row->timestamps = i.timestamps;
    row->ecn = i.ecn;
    row->cc = (uint8_t)i.cc;
    row->snd_wscale = i.snd_wscale;
    row->rcv_wscale = i.rcv_wscale;
    row->backoff = i.backoff;
    row->recovery = i.recovery;
    row->loss = i.loss;
    row->mss = i.mss;
    row->srtt_us = i.srtt_us;
    row->rttvar_us = i.rttvar_us;
    row->rto_us = i.rto_us;
    row->cwnd_bytes = i.cwnd_bytes;
    row->ssthresh_bytes = i.ssthresh_bytes;
    row->snd_wnd_bytes = i.snd_wnd_bytes;
    row->rcv_wnd_bytes = i.rcv_wnd_bytes;
    row->unacked_bytes = i.unacked_bytes;
    row->unsent_bytes = i.unsent_bytes;
    row->sacked_bytes = i.sacked_bytes;
    row->lost_bytes = i.lost_bytes;
    row->rx_bytes = i.rx_bytes;
    row->retransmits = i.retransmits;
    row_place(w, &i, row);
}

static void flows(struct worker *w, struct mail *m) {
    tcp_id id = tcp_conn_next(&w->tcp, m->after);
    m->n_rows = 0;
    while (id != 0 && m->n_rows < m->max_rows) {
        row_fill(w, id, &m->rows[m->n_rows++]);
        m->after = id;
        id = tcp_conn_next(&w->tcp, id);
    }
    if (id == 0)
        m->after = 0;
}

/* Returns false where the message wants another turn. */
static bool serve(struct worker *w, struct mail *m) {
    switch (m->kind) {
    case MAIL_DRAIN:
        drain(w);
        return true;
    case MAIL_SERVER_EVENT:
        lb_server_event(&w->pools[m->pool].servers[m->server], m->event, w->now_us);
        return true;
    case MAIL_CAPTURE:
        w->ports[m->port].capture = m->capture;
        return true;
    case MAIL_FLOWS:
        flows(w, m);
        return true;
    case MAIL_LINK:
        w->ports[m->port].link_up = m->up;
        return true;
    case MAIL_CLOSE_SESSIONS:
        return !session_close_some(w, &m->after, CLOSE_BATCH);
    }
    return true;
}

uint32_t mailbox_serve(struct worker *w, uint32_t max) {
    uint32_t n = 0;
    void *m;
    if (w->mail == NULL && rte_ring_sc_dequeue(w->mailbox.ring, &m) == 0)
        w->mail = m;
    while (w->mail != NULL && n < max) {
        n++;
        if (!serve(w, w->mail))
            return n;
        __atomic_store_n(&w->mail->done, 1, __ATOMIC_RELEASE);
        w->mail = rte_ring_sc_dequeue(w->mailbox.ring, &m) == 0 ? m : NULL;
    }
    return n;
}
