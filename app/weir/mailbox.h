/* SPDX-License-Identifier: BSD-3-Clause */
/* What control asks of a worker: small messages over one SPSC ring a worker, a bounded number served a turn. Control
 * waits for `done` on its own side; a worker never waits. */
#ifndef WEIR_MAILBOX_H
#define WEIR_MAILBOX_H

#include "base/base.h"
#include "lb/lb.h"

#include <rte_ring.h>

struct capture;
struct tcp_info;
struct worker;

enum mail_kind {
    MAIL_DRAIN,          /* stop accepting new connections and flows */
    MAIL_SERVER_EVENT,   /* pool, server, event: lb_server_event */
    MAIL_CAPTURE,        /* port, capture (NULL: stop) */
    MAIL_FLOWS,          /* fill a page of flows */
    MAIL_LINK,           /* port, up */
    MAIL_CLOSE_SESSIONS, /* end of the drain: close what is left, a bounded number a turn */
};

/* A line of `weirctl flows`. */
struct flow_row {
    uint32_t peer_addr_be, local_addr_be;
    uint16_t peer_port_be, local_port_be;
    uint16_t listener;     /* 0xffff: towards a server */
    uint16_t pool, server; /* 0xffff: none */
    uint8_t state, port, sack, timestamps, ecn, cc, snd_wscale, rcv_wscale, backoff, recovery, loss;
    uint16_t mss;
    uint32_t srtt_us, rttvar_us, rto_us, cwnd_bytes, ssthresh_bytes, snd_wnd_bytes, rcv_wnd_bytes, unacked_bytes,
        unsent_bytes, sacked_bytes, lost_bytes, rx_bytes, retransmits;
    char suite[40];   /* TLS suite, "" without */
    char alpn[32];    /* protocol agreed on, "" without */
    char subject[64]; /* common name of the client's certificate, or its PSK's identity, "" without */
};

/* Lives in control's memory until `done`. */
struct mail {
    enum mail_kind kind;
    uint16_t port, pool, server;
    bool up;
    enum lb_event event;
    struct capture *capture;
    struct flow_row *rows; /* MAIL_FLOWS: room for max_rows */
    uint32_t max_rows, n_rows;
    uint32_t after; /* FLOWS, CLOSE_SESSIONS: in: go on behind this flow; out: the last one seen, 0 at the end */
    uint32_t done;  /* atomic; set last by the worker */
};

struct mailbox {
    struct rte_ring *ring;
};

int mailbox_init(struct mailbox *b, const char *name, int socket_id);
void mailbox_fini(struct mailbox *b);
/* Control: hand a message to the worker. 0 or WEIR_EFULL. */
int mailbox_post(struct mailbox *b, struct mail *m);
/* Worker: serve at most `max`. Returns how many. */
uint32_t mailbox_serve(struct worker *w, uint32_t max);

#endif
