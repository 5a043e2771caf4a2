/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of lib/tcp: struct tcp_core, held by value in struct worker, and struct tcp_conn, one a flow. Only lib/tcp
 * and its tests look inside; everybody else goes through tcp.h. */
#ifndef WEIR_TCP_CORE_H
#define WEIR_TCP_CORE_H

#include "tcp.h"

/* A doubly linked list of connections by index: O(1) in and out wherever the flow stands. */
struct tcp_link {
    uint32_t next, prev;
};
struct tcp_list {
    uint32_t head, tail, count;
};

/* Lists a flow can be on, each at most once. */
enum tcp_list_id { TCP_LIST_READY, TCP_LIST_PENDING, TCP_LIST_TIME_WAIT, TCP_LIST_COUNT };

/* Deadlines of a flow; one wheel node serves them all. The keep-alive deadline follows from last_rx_ms. */
enum tcp_timer_id { TCP_TIMER_REXMIT, TCP_TIMER_ACK, TCP_TIMER_LIFE, TCP_TIMER_COUNT };

/* What congestion control keeps while the window is in full use (tcp_cc.h): gone with the flight. */
struct tcp_cc_state {
    uint32_t epoch_ms;                        /* CUBIC: when this stage of congestion avoidance began, less what the
                                                 application left unused; only where in_epoch */
    uint32_t grown_ms;                        /* CUBIC: the last ACK that it took into account */
    uint32_t k_ms;                            /* CUBIC: K */
    uint32_t w_est;                           /* CUBIC: Reno-friendly window */
    uint32_t w_est_part, cwnd_part;           /* CUBIC: parts of a byte that they are still to grow by, in 1/cwnd */
    uint32_t undo_w_max, undo_cwnd_prior;     /* CUBIC: before the last reduction */
    uint32_t round_end;                       /* HyStart++: the round ends when this is acknowledged */
    uint32_t last_min_rtt_us, now_min_rtt_us; /* HyStart++: of the round before, of this one */
    uint32_t css_base_us;                     /* HyStart++: cssBaselineMinRtt */
    uint8_t rtt_samples, css_rounds;          /* HyStart++ */
    bool in_epoch : 1, undo_epoch : 1, limited : 1, in_css : 1, in_rounds : 1;
};

/* A block of the SACK option (RFC 2018 3): left <= sequence number < right. */
struct tcp_sack {
    uint32_t left, right;
};

struct tcp_conn {
    /* Line 0: read and written for every segment that arrives in order. */
    uint8_t state;      /* enum tcp_state */
    uint8_t events;     /* TCP_EV_*, not yet fetched */
    uint8_t port : 4;   /* index into ports[] */
    uint8_t cc : 3;     /* enum tcp_cc_id */
    uint8_t no_ect : 1; /* ECN: agreed on, but our data must not say so (tcp_ecn.c) */
    uint8_t wscales;    /* low nibble: the peer's shift (snd), high nibble: ours (rcv) */
    uint32_t flags;     /* TCP_F_*, tcp_int.h */
    uint32_t rcv_nxt;   /* next byte expected */
    uint32_t rcv_adv;   /* right edge of the window we advertised; never moves left */
    uint32_t rcv_acked; /* RCV.NXT of the last ACK that left */
    uint32_t snd_una;   /* oldest unacknowledged; the send rope begins here (a SYN or FIN is not on it) */
    uint32_t snd_nxt;   /* next to send: one beyond the highest ever sent */
    uint32_t flight;    /* struct tcp_flight; 0: none */
    uint32_t snd_wnd;   /* the peer's window, scaled */
    uint32_t ts_recent; /* RFC 7323 4.3 */
    struct rope rx;     /* in order, waiting for the owner */

    /* Line 1: sending. */
    struct rope tx;          /* from snd_una on */
    struct rte_mbuf *cursor; /* mbuf of the send rope that holds snd_nxt; NULL: at its end, found again from the head */
    uint32_t cursor_off;     /* offset of snd_nxt within it */
    uint32_t cwnd;
    uint16_t mss; /* payload bytes a segment, options taken off */
    uint8_t dupacks;
    uint8_t ack_segs;                         /* segments with data since the last ACK left */
    struct tcp_link link[TCP_LIST_COUNT - 1]; /* READY, PENDING */
    uint32_t rexmit_ms;                       /* deadline; 0: off */

    /* Line 2: estimators; per ACK. */
    uint32_t snd_wl1, snd_wl2, snd_wnd_max;
    uint32_t ssthresh, recover;
    uint32_t cc_state[2]; /* the congestion control's own */
    uint32_t srtt_us, rttvar_us, rto_us;
    uint32_t progress_seq; /* end of the send rope when progress_ms last became "now" */
    uint16_t sent_count;   /* records of outstanding segments */
    uint16_t mss_full;     /* what mss was before the path was found to take less */
    uint32_t drs_seq;      /* window auto-tuning (tcp_window.c): RCV.NXT when the round trip began */
    uint32_t ts_offset;    /* per flow, hides our uptime */
    uint32_t progress_ms;  /* last time an ACK took us further; the user timeout counts from here */
    uint32_t last_rx_ms;   /* keep-alive counts from here, and the 24 days after which PAWS expires */

    /* Line 3: identity and rare events. */
    struct flow_key key;
    uint32_t ack_ms, life_ms; /* deadlines; 0: off */
    uint32_t user;
    uint16_t listener;
    uint8_t reasm_count;
    uint8_t dup_owed;     /* out-of-order segments since the last ACK left */
    uint32_t reasm_head;  /* runs in sequence order */
    uint32_t reasm_last;  /* the last one that changed: insertion starts there */
    uint16_t rx_charged;  /* mbufs of rx as last counted in stats.rx_mbufs */
    uint16_t drs_ms;      /* when the round trip of drs_seq began, low 16 bits */
    uint16_t retransmits; /* stays at its maximum */
    uint16_t rcv_buf;     /* most this flow may advertise, in units of TCP_RCV_BUF_UNIT bytes; grows with the reader */
    union {
        struct tcp_link tw; /* TIME-WAIT: nothing is outstanding */
        struct {
            uint32_t seg_head, seg_tail; /* records of what is outstanding, in sequence order */
        };
    };
    uint32_t challenge_ms; /* when the last challenge ACK was granted */
    uint8_t backoff;       /* doublings of the RTO */
    uint8_t keep_sent;     /* keep-alive probes without an answer */
    uint8_t end : 7;       /* enum tcp_end */
    uint8_t no_df : 1;     /* its path takes less than TCP_PATH_MTU_MIN: routers may cut what we send (tcp_path.c) */
    uint8_t quick_acks;    /* ACKs still sent at once (start of a flow) */
};
static_assert(sizeof(struct tcp_conn) <= 256, "memory budget of a flow");
static_assert(offsetof(struct tcp_conn, rx) + sizeof(struct rope) == 64, "line 0: receive path");
static_assert(offsetof(struct tcp_conn, tx) == 64, "line 1: send path");
static_assert(offsetof(struct tcp_conn, rexmit_ms) + 4 == 128, "line 1 ends");
static_assert(offsetof(struct tcp_conn, key) == 192, "line 3: identity");

/* One segment that is outstanding (tcp_flight.c): SYN, payload or FIN, in a list by sequence number. Once a flow has a
 * struct tcp_flight its records are also in a list by time of departure, without those that are sacked or lost and not
 * sent again: RACK looks at the oldest only. */
struct tcp_sent {
    uint32_t next;         /* by sequence number */
    uint32_t later, older; /* by time of departure; later of one that is SACKed: one up to which all are; 0: unknown */
    uint32_t seq;
    uint32_t sent_us; /* of its last departure */
    uint16_t len;     /* sequence space, SYN and FIN included; never above 65,535 */
    uint8_t flags;    /* TCP_SENT_* */
    uint8_t times;    /* departures */
};
static_assert(sizeof(struct tcp_sent) == 24, "budget");

/* What a flow needs only while it is outstanding and something is unusual (a hole, a timeout, a window that the network
 * limits): taken when the first such thing happens, given back once all is acknowledged. */
struct tcp_flight {
    uint32_t oldest, latest; /* records by time of departure */
    uint32_t sacked, lost;   /* bytes SACKed (without SACK: what duplicate ACKs say); lost and not out again */
    uint32_t resent;         /* bytes out again and not SACKed */
    uint32_t fack;           /* end of the highest byte SACKed (RFC 8985 6.2 step 3) */
    uint32_t rack_us, rack_end, rack_rtt_us;     /* RACK.xmit_ts, RACK.end_seq, RACK.rtt */
    uint32_t min_rtt_us, min_rtt_ms;             /* lowest of late, and when it was seen */
    uint32_t dsack_round;                        /* SND.NXT when the last DSACK widened the reordering window */
    uint32_t prr_delivered, prr_out, recover_fs; /* RFC 6937 */
    uint32_t undo_marker, undo_end;              /* SND.UNA and SND.NXT at the reduction */
    uint32_t undo_retrans;                       /* bytes sent again since, and not yet called needless */
    uint32_t undo_cwnd, undo_ssthresh;           /* what they were */
    uint32_t full_seq, full_bytes;               /* SND.NXT and what was out when an ACK last found cwnd in use */
    uint32_t tlp_end;                            /* TLP.end_seq; the probe is out while tlp_out */
    uint32_t lost_hint, sack_hint;               /* records: no lost one lies before; SACKs begin their search here */
    uint32_t lost_end;                           /* end of the highest byte that RACK found lost in this recovery, or
                                                    what was outstanding at its start */
    struct rte_mbuf *rope_hint;                  /* mbuf of the send rope that begins with rope_seq */
    uint32_t rope_seq;
    uint32_t resent_us;            /* the last retransmission */
    uint32_t undo_ts;              /* our timestamp on the first retransmission since undo_marker */
    uint32_t reo_wait_us;          /* until the reordering window of the oldest ends; 0: nothing waits */
    uint16_t n_sacked;             /* records SACKed */
    uint16_t sack_steps;           /* records that the blocks of ACKs may still have us pass over (tcp_sack.c) */
    uint8_t reo_mult, reo_persist; /* RACK.reo_wnd_mult, RACK.reo_wnd_persist */
    bool reordering, tlp_out, tlp_resent, undo_possible;
    struct tcp_cc_state cc;
};
static_assert(sizeof(struct tcp_flight) <= 192, "budget of a flow with data outstanding");

/* Contiguous bytes behind a hole (tcp_reasm.c). */
struct tcp_reasm {
    struct rope bytes;   /* empty for a bare FIN */
    uint32_t next;       /* by sequence number */
    uint32_t seq;        /* of the first byte */
    uint32_t changed;    /* reasm_changes when it last grew or was hit: SACK reports the latest first (RFC 2018 4) */
    uint32_t since_ms;   /* in the flow's first run: when the hole before it was first seen */
    uint32_t flow_mbufs; /* in the flow's first run: what all its runs hold */
    bool fin;            /* FIN follows the last byte */
};
static_assert(sizeof(struct tcp_reasm) == 48, "budget");

/* Bytes that arrived twice (tcp_dsack.c). */
struct tcp_dsack {
    tcp_id id;
    struct tcp_sack block;
};
#define TCP_DSACKS 256u

/* An answer that belongs to no living flow, waiting for tcp_output (tcp_reply.c). */
struct tcp_reply {
    struct flow_key key;
    uint32_t seq, ack;
    uint32_t ts_val, ts_ecr; /* TCP_REPLY_TS */
    uint16_t window;
    uint8_t flags, port;
    uint8_t options; /* of a SYN-ACK: TCP_REPLY_*, and the MSS always */
};
#define TCP_REPLY_TS   0x01u
#define TCP_REPLY_SACK 0x02u
#define TCP_REPLY_WS   0x04u

/* What a packet to this address may have (tcp_path.c). */
struct tcp_path {
    uint32_t addr_be;
    uint32_t since_ms; /* when that was learnt, lower bits; wait_s later more may be tried */
    uint16_t mtu;      /* 0: empty */
    uint16_t wait_s;
    uint16_t tried;     /* more than that, and it did not arrive; 0: nothing was */
    uint8_t since_high; /* 49 days each */
    bool no_df;         /* less than TCP_PATH_MTU_MIN */
};
#define TCP_PATHS     1024u
#define TCP_PATH_WAYS 4u

enum tcp_reply_kind { TCP_REPLIES_RESET, TCP_REPLIES_COOKIE, TCP_REPLY_KINDS };
#define TCP_REPLIES 256u /* a power of two; what comes beyond it is lost, which TCP survives */
struct tcp_replies {
    struct tcp_reply ring[TCP_REPLIES];
    uint32_t head, tail;
};

/* So many events a second, counted from the first. */
struct tcp_limit {
    uint64_t window_us;
    uint32_t left;
};
#define TCP_RESET_SOURCES 256u /* classes of addresses that share a bucket of resets */

/* The key of initial sequence numbers (tcp_isn.c). */
struct tcp_isn_key {
    uint64_t key[2], until_us;
    uint32_t step;
};

/* SYN cookies (tcp_cookie.c). */
struct tcp_cookies {
    uint64_t key[2][2]; /* by the lowest bit of the generation: this one's and the last one's */
    uint64_t until_us;  /* end of this generation */
    uint64_t sent_us;   /* the last cookie; 0: never */
    uint32_t generation;
    bool pressed; /* so many flows are half open that TCP_COOKIES_AUTO sends them */
};

#define TCP_LISTENER_SLOTS (2u * TCP_MAX_LISTENERS) /* a power of two */

#define TCP_TIMERS_FIRED 256u /* flows a tcp_timers call wakes: bounded work a turn */

/* Flows whose timers have fired. Who is beyond the budget of a call (TCP_TIMERS_WALKED) is first in the next; one that
 * is over by then is found not to be used, and whoever has its place fires for nothing. */
struct tcp_due {
    uint32_t next, count; /* of ids */
    tcp_id ids[TCP_TIMERS_FIRED];
};

struct tcp_core {
    struct tcp_config cfg; /* defaults filled in */
    uint64_t now_us;       /* of the last call that carried the time */
    struct pool conns;     /* struct tcp_conn */
    struct pool reasm;     /* struct tcp_reasm */
    struct pool sents;     /* struct tcp_sent: one a flow, and sent_extra for those with more than one segment out */
    struct pool flights;   /* struct tcp_flight: as many as flows, so that nobody waits for one; touched on use only */
    uint32_t sent_flows;   /* flows with at least one record */
    uint32_t sent_extra;
    uint64_t *used; /* bit i: connection i exists (freed objects are poisoned and may not be read) */
    struct flow_table table;
    struct timer_wheel wheel; /* node i serves connection i */
    struct tcp_list ready, time_wait;
    struct tcp_list pending[TCP_MAX_PORTS]; /* by the port they leave through, so that a full port costs nothing */
    uint32_t pending_ports;                 /* bit i: pending[i] may not be empty */
    uint32_t quantum_left[TCP_MAX_PORTS];   /* of the flow at the head: a flow cut short by the port goes on with it */
    struct tcp_replies replies[TCP_REPLY_KINDS];
    struct tcp_limit challenge_limit;
    uint64_t reset_bucket, reset_sources[TCP_RESET_SOURCES]; /* time up to which their resets are spent (tcp_limit.c) */
    struct tcp_isn_key isn;
    struct tcp_cookies cookies;
    uint16_t listener_slots[TCP_LISTENER_SLOTS]; /* by hash of the address, open addressing: index + 1 */
    struct tcp_dsack dsacks[TCP_DSACKS];         /* by tcp_id modulo their number; valid with TCP_F_DSACK */
    uint32_t reasm_changes;                      /* counts changes of runs */
    struct tcp_path paths[TCP_PATHS];
    bool paths_learnt;         /* something was ever entered */
    uint32_t reclaim_hand;     /* tcp_reclaim.c: the flow looked at last */
    uint32_t reclaim_after_ms; /* data that has waited for longer goes, while buffers are short; 0: they are not; */
    uint32_t reclaim_step_ms;  /* when that was set */
    uint8_t reopen_rounds;     /* ends of rounds of the hand until nobody's window is squeezed any more */
    struct tcp_port ports[TCP_MAX_PORTS];
    struct tcp_listener listeners[TCP_MAX_LISTENERS];
    uint32_t n_listeners;
    uint32_t half_open;   /* passive flows in SYN_RECEIVED */
    uint32_t table_epoch; /* changes with every entry made or removed: a burst's bulk lookup may have gone stale */
    uint32_t cut_id; /* of datagrams without DF, of which there are few: 2^16 of them take long enough (RFC 6864 4.3) */
    uint8_t next_port; /* tcp_output begins with it, or the next one that has something */
    uint8_t rcv_wscale;
    struct tcp_stats stats;
    struct tcp_due due;
};

#endif
