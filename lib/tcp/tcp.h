/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/tcp: TCP of both roles, one core an instance, no thread, no clock, no socket: packets and time in, packets and
 * events out.
 *
 * in
 *   path.c -> tcp_input_burst (tcp_in.c: one bulk flow lookup, header prediction) -> tcp_state.c (RFC 9293 3.10.7 as a
 *   table of steps x state) -> tcp_loss.c (ACKs), tcp_text.c (payload, FIN) -> tcp_reasm.c (out of order); to no flow:
 *   tcp_listen.c, tcp_cookie.c; options: tcp_opts.c
 * up
 *   in-order payload lies on the receive rope, a flow with news on the READY list: session.c pops it, takes bytes from
 *   tcp_conn_rx, tells tcp_conn_consumed, queues with tcp_conn_send (tcp_conn.c)
 * out
 *   flows with something to send are on the PENDING list: tcp_output (tcp_out.c) serves it by deficit round robin,
 *   tcp_build.c makes each segment; an ACK leaves once a flow a turn; what belongs to no flow waits in tcp_reply.c
 * loss
 *   tcp_flight.c keeps a record of each segment that is out; tcp_sack.c, tcp_rack.c, tcp_prr.c, tcp_rtt.c tell
 *   tcp_loss.c what to send again and when; tcp_cc.c, tcp_hystart.c and cc_*.c say how much may be out; tcp_ecn.c
 *   hears what routers mark, tcp_dsack.c tells the peer what came twice
 * strangers
 *   tcp_cookie.c answers SYNs without memory, tcp_isn.c makes numbers that nobody can guess, tcp_limit.c says how often
 *   we answer
 * time
 *   one lazy wheel node a flow (tcp_timer.c)
 * memory
 *   tcp_core.c; windows and budgets: tcp_window.c; who holds too much of it: tcp_reclaim.c; looking on: tcp_info.c;
 *   ICMP errors: tcp_icmp.c; path MTU: tcp_path.c
 *
 * RFCs here: 9293 (state machine), 7323 (window scale, timestamps, PAWS), 2018 and 2883 (SACK, DSACK), 8985
 * (RACK-TLP), 6937 (PRR), 3522 and 3708 (undo), 5681, 6582, 3042 and 5827 (Reno, NewReno, limited and early
 * retransmit), 9438 and 9406 (CUBIC, HyStart++), 6298 (RTO), 6928 (IW10), 3168 (ECN), 4987 (SYN cookies), 5927 (ICMP),
 * 5961 (blind attacks), 6528 (ISN), 1122 4.2 (keep-alive, delayed ACK, silly window), 6191 (TIME-WAIT reuse).
 *
 * Names and ownership: a connection is a tcp_id (pool index; 0 none), the owner's until it releases or aborts the flow:
 * then the index is used again. Everything reached through it belongs to the core. Once tcp_conn_release is called the
 * id is the core's own: it goes through FIN, TIME-WAIT and so on alone and raises no more events.
 *
 * Memory: struct tcp_conn <= 256 B, hot fields in the first two cache lines; ropes hold mbufs only while data waits;
 * pools and table are made at init. Limits: max_conns; out-of-order data per flow bounded by the advertised window, by
 * the number of holes and by what it leaves of the core's budget; half-open flows bounded by max_half_open (then SYN
 * cookies, or dropped and counted).
 *
 * Threading: one struct tcp_core a worker, touched by that worker only. Statistics may be read, torn, by others. */
#ifndef WEIR_TCP_H
#define WEIR_TCP_H

#include "../base/base.h"
#include "../base/flow_table.h"
#include "../base/pool.h"
#include "../base/rope.h"
#include "../base/timer_wheel.h"
#include "../net/net.h"

typedef uint32_t tcp_id;

#define TCP_MAX_PORTS     16
#define TCP_MAX_LISTENERS 256
#define TCP_BURST         64 /* most segments in a tcp_input_burst call */

/* RFC 9293 3.3.2 */
/* clang-format off */
#define TCP_STATES(X)                                                                                                  \
    X(CLOSED) X(SYN_SENT) X(SYN_RECEIVED) X(ESTABLISHED) X(FIN_WAIT_1) X(FIN_WAIT_2) X(CLOSE_WAIT) X(CLOSING)          \
    X(LAST_ACK) X(TIME_WAIT)
/* clang-format on */
enum tcp_state {
#define X(name) TCP_##name,
    TCP_STATES(X)
#undef X
        TCP_STATE_COUNT
};
const char *tcp_state_name(enum tcp_state s); /* "ESTABLISHED" */

/* Why a segment was discarded. X(NAME, text) in tcp_drops.def */
enum tcp_drop {
    TCP_DROP_NONE,
#define X(name, text) TCP_DROP_##name,
#include "tcp_drops.def"
#undef X
    TCP_DROP_COUNT
};
const char *tcp_drop_name(enum tcp_drop d);
const char *tcp_drop_text(enum tcp_drop d);

/* Why a connection ended. X(NAME, text) in tcp_ends.def: FIN (both sides closed), PEER_RESET, ABORTED (by us), REFUSED
 * (RST to our SYN), CONNECT_TIMEOUT, RTO_TIMEOUT, KEEPALIVE_TIMEOUT, PERSIST_TIMEOUT, HALF_OPEN_TIMEOUT, UNREACHABLE,
 * NO_MEMORY, LINGER_TIMEOUT, UNREAD and so on */
enum tcp_end {
    TCP_END_NONE,
#define X(name, text) TCP_END_##name,
#include "tcp_ends.def"
#undef X
    TCP_END_COUNT
};
const char *tcp_end_name(enum tcp_end e);

/* Events of a READY flow, a bit set that tcp_conn_events reads and clears. */
#define TCP_EV_ACCEPTED  0x01 /* passive open complete: the owner adopts it (tcp_conn_set_user) or aborts it */
#define TCP_EV_CONNECTED 0x02 /* active open complete */
#define TCP_EV_READABLE  0x04 /* the receive rope grew */
#define TCP_EV_PEER_FIN  0x08 /* the peer's FIN is in order: nothing follows what lies on the rope */
#define TCP_EV_WRITABLE  0x10 /* send room grew after room had come back short */
#define TCP_EV_CLOSED    0x20 /* over: tcp_conn_end says why; unread bytes are still on the rope; release it */

/* Congestion control of a flow. */
enum tcp_cc_id { TCP_CC_CUBIC, TCP_CC_RENO, TCP_CC_COUNT };

const char *tcp_cc_name(enum tcp_cc_id id); /* "cubic" */

/* When a listener answers SYNs with cookies (RFC 4987 3.6): under backlog pressure, always, never. */
enum tcp_cookie_mode { TCP_COOKIES_AUTO, TCP_COOKIES_ALWAYS, TCP_COOKIES_OFF };

/* What flows of a listener or towards a pool may differ in; all zeroes is the default. */
struct tcp_options {
    uint8_t cc;      /* enum tcp_cc_id */
    uint8_t cookies; /* enum tcp_cookie_mode; listeners only */
    bool ecn;        /* offer and accept ECN (RFC 3168) */
};

/* What tcp_input_burst did with mbuf i. */
#define TCP_SEG_FREE 0 /* taken note of; the caller frees it, it is no drop */
#define TCP_SEG_KEPT 1 /* the core owns it */
                       /* < 0: minus an enum tcp_drop, counted in the core's stats; the caller frees it */

/* How to send out of one port; the owner fills it before tcp_output and keeps tx_room current. */
struct tcp_port {
    struct rte_mempool *pool; /* header mbufs, and whole frames on single-segment ports */
    uint16_t mtu;             /* IP bytes */
    uint16_t mss_clamp;       /* most payload bytes of a segment either way; 0: what the MTU takes */
    uint16_t tx_room;         /* packets the port takes this turn; tcp_output stops at 0 and lowers it */
    bool multi_seg;           /* payload attached (indirect), not copied, */
    uint16_t max_mbufs;       /* ... in a packet of so many mbufs at most, the header's included; 0: of any number */
    bool hw_ip_cksum, hw_tcp_cksum;
    bool tso;          /* cuts segments larger than the MTU itself (RTE_MBUF_F_TX_TCP_SEG, never on smaller ones) */
    uint16_t tso_segs; /* most mbufs of such a one, its header's included */
    uint16_t tso_max;  /* most IP bytes of it */
};

struct tcp_config {
    uint32_t max_conns;                                    /* flows, both roles together */
    uint32_t max_half_open;                                /* SYN_RECEIVED */
    uint32_t max_time_wait;                                /* beyond it the oldest goes */
    uint32_t rcv_buf_bytes;                                /* most a flow may advertise (default 64 KB where 0) */
    uint32_t snd_buf_bytes;                                /* most on the send rope (default 64 KB where 0) */
    uint32_t rcv_buf_initial_bytes, snd_buf_initial_bytes; /* where a flow begins; 0: 64 KB, or the most if less */
    uint32_t rx_budget_mbufs; /* mbufs all receive ropes and reassembly queues may hold; windows shrink towards it */
    uint32_t
        tx_budget_mbufs; /* mbufs all send ropes may hold; beyond it only flows that hold none get room, and little */
    uint32_t connect_timeout_ms, half_open_timeout_ms, user_timeout_ms; /* 0: 5 s, 10 s, 60 s */
    uint32_t keepalive_idle_ms, keepalive_interval_ms;                  /* 0: 300 s, 15 s */
    uint8_t keepalive_probes;                                           /* 0: 5 */
    uint32_t time_wait_ms;                                              /* 0: 60 s */
    uint32_t linger_ms;   /* a released flow may stay so long without progress before it is reset; 0: 30 s */
    uint64_t secret[2];   /* SipHash key of ISNs (RFC 6528) and table; random per boot */
    uint16_t core, cores; /* which of how many with that secret; 0: the only one */
};

/* X(name, what it counts in a sentence): monotonic counters */
/* clang-format off */
#define TCP_COUNTERS(X)                                                                                                \
    X(segs_in, "Segments received.")                                                                                   \
    X(segs_out, "Segments sent.")                                                                                      \
    X(bytes_in, "Payload bytes received in order.")                                                                    \
    X(bytes_out, "Payload bytes sent, retransmissions included.")                                                      \
    X(syns_in, "SYNs received for a listener.")                                                                        \
    X(accepted, "Connections of clients established.")                                                                 \
    X(connects, "Connections towards servers begun.")                                                                  \
    X(connected, "Connections towards servers established.")                                                           \
    X(retransmits, "Segments sent again.")                                                                             \
    X(fast_retransmits, "Fast retransmissions (RFC 5681).")                                                            \
    X(rto_fired, "Retransmission timeouts (RFC 6298).")                                                                \
    X(tlp_probes, "Tail loss probes (RFC 8985).")                                                                      \
    X(rack_lost, "Segments found lost by RACK (RFC 8985).")                                                            \
    X(undone, "Loss recoveries that were needless and undone.")                                                        \
    X(dsacks_in, "Reports of segments received twice (RFC 2883).")                                                     \
    X(dup_acks_in, "Duplicate acknowledgements received.")                                                             \
    X(ooo_in, "Segments received out of order.")                                                                       \
    X(ooo_dropped, "Out-of-order segments beyond the bounds of reassembly.")                                           \
    X(overlaps_in, "Segments that overlapped bytes received before, of which the first copy is kept.")                 \
    X(challenge_acks, "Challenge ACKs sent (RFC 5961).")                                                               \
    X(resets_in, "Resets accepted.")                                                                                   \
    X(resets_out, "Resets sent.")                                                                                      \
    X(persist_probes, "Zero-window probes sent.")                                                                      \
    X(keepalive_probes, "Keep-alive probes sent.")                                                                     \
    X(predicted_in, "Segments that took the fast path.")                                                               \
    X(delayed_acks, "ACKs sent by the delayed-ACK timer.")                                                             \
    X(no_mbuf, "Times a segment had to wait because no mbuf was left.")                                                \
    X(half_open_refused, "SYNs dropped because too many connections were half open.")                                  \
    X(cookies_sent, "SYNs answered with a cookie (RFC 4987 3.6).")                                                     \
    X(cookies_accepted, "Connections established by a cookie that came back.")                                         \
    X(cookies_bad, "ACKs that brought no valid cookie back while some were out.")                                      \
    X(replies_lost, "Resets and SYN cookies lost because too many waited to be sent.")                                 \
    X(conns_refused, "Connections refused because the flow pool was empty.")                                           \
    X(time_wait_reused, "TIME-WAIT flows that gave way to a new connection (RFC 6191).")                               \
    X(icmp_ignored, "ICMP errors about nothing that is outstanding (RFC 5927 4.1).")                                   \
    X(pmtu_lowered, "Times ICMP made a flow's segments smaller (RFC 1191).")                                           \
    X(pmtu_held, "ICMP reports of a smaller MTU not believed while large segments get through (RFC 5927 7.2).")        \
    X(reneged, "Times out-of-order data was given up because buffers were short (RFC 2018 8).")                        \
    X(windows_reopened, "Window updates sent because receive buffers were no longer short.")                           \
    X(pmtu_blackholes, "Times silence about large segments made a flow's smaller (RFC 4821 7.7).")                     \
    X(pmtu_probes, "Segments sent to see whether the path takes larger ones by now (RFC 4821 7.5).")                   \
    X(pmtu_raised, "Times one of those arrived and made a flow's segments larger.")                                    \
    X(ecn_ce_in, "Segments received with a congestion mark (CE, RFC 3168), on flows that agreed on it.")               \
    X(ecn_ece_in, "Segments received whose sender was told of a congestion mark (ECE, RFC 3168).")                     \
    X(ecn_reductions, "Congestion windows reduced because of ECE.")
/* clang-format on */
struct tcp_stats {
#define X(name, help) uint64_t name;
    TCP_COUNTERS(X)
#undef X
    uint64_t drops[TCP_DROP_COUNT];
    uint64_t ends[TCP_END_COUNT];
    uint32_t by_state[TCP_STATE_COUNT]; /* gauge */
    uint32_t rx_mbufs;                  /* gauge: held by receive ropes and reassembly, or kept by the owner */
    uint32_t tx_mbufs;                  /* gauge: held by send ropes */
};

struct tcp_listener {
    uint32_t addr_be;
    uint16_t port_be;
    uint16_t listener_id; /* the owner's number */
    bool accepting;       /* false: SYNs are answered with RST (draining) */
    bool used;
    struct tcp_options options;
};

struct tcp_core; /* tcp_core.h lays it out; struct worker holds it by value */

/* Returns 0 or a negative weir_error. `core` must be zeroed. */
int tcp_core_init(struct tcp_core *core, const struct tcp_config *config, uint64_t now_us);
/* Have the memory now that n flows take (at most all), and that what many of them have under way does, on the NUMA node
 * of who calls: no packet waits for a page then. Takes some milliseconds per 10,000 flows. */
void tcp_core_populate(const struct tcp_core *core, uint32_t n);
/* Frees every flow, mbuf and table. */
void tcp_core_fini(struct tcp_core *core);
/* Bytes a connection costs: base object, timer node; for the memory plan. */
uint32_t tcp_conn_bytes(void);
/* Segments that may be out beyond one a flow, for this budget of send ropes. */
static inline uint32_t tcp_sent_extra(uint32_t tx_budget_mbufs) {
    return 2 * tx_budget_mbufs + 1024;
}

/* Accept on addr:port. Returns 0, WEIR_EEXIST or WEIR_EFULL. Connections arrive READY with TCP_EV_ACCEPTED. */
int tcp_listen(struct tcp_core *core, uint32_t addr_be, uint16_t port_be, uint16_t listener_id);
/* Stop or resume accepting on all listeners of that id; established flows stay. */
void tcp_listen_accepting(struct tcp_core *core, uint16_t listener_id, bool accepting);
/* What flows accepted from here on get, on all listeners of that id. */
void tcp_listen_options(struct tcp_core *core, uint16_t listener_id, const struct tcp_options *options);

/* Process up to TCP_BURST validated IPv4 packets (l2_len, l3_len set, TCP checksum already verified or offloaded).
 * verdicts[i] as above. m->port is the core's port number (index into ports[]). */
void tcp_input_burst(struct tcp_core *core, struct rte_mbuf **m, uint16_t n, uint64_t now_us, int16_t *verdicts);

/* TCP checksum of one such packet where the PMD left it UNKNOWN or marked it BAD; header length. 0 or -NET_DROP_TCP_*.
 */
int tcp_validate(const struct rte_mbuf *m);

/* An ICMP error about a segment of ours (RFC 5927: sequence checked; hard errors are soft once established). */
void tcp_icmp_error(struct tcp_core *core, const struct icmp_error *err, uint64_t now_us);

/* Fire what is due: so many flows, and so many records and mbufs of what they send, a call. The next one goes on. */
void tcp_timers(struct tcp_core *core, uint64_t now_us);

/* Cut segments for flows with something to send, round robin, at most 64 KB a flow a call, and RST or challenge
 * replies. Writes IPv4 packets without Ethernet header (RTE_PKTMBUF_HEADROOM left for it), m->port = port number,
 * ol_flags and l2_len/l3_len/l4_len set for offload. Returns how many, at most `max`. */
uint16_t tcp_output(struct tcp_core *core, struct rte_mbuf **out, uint16_t max, uint64_t now_us);

/* Is anything READY, PENDING to be sent, or due and not fired yet? (the worker's idle back-off asks) */
bool tcp_busy(const struct tcp_core *core);

/* Next READY flow, or 0. Each is returned once per call to tcp_input_burst/tcp_timers that gave it news. */
tcp_id tcp_ready_next(struct tcp_core *core);
/* How many are READY now: an owner that visits so many does not meet those again that it puts back. */
uint32_t tcp_ready_count(const struct tcp_core *core);
/* The first READY flows, at most `max`, which stay on the list: an owner that knows whom it will visit can fetch ahead
 * what they need. Returns how many. */
uint32_t tcp_ready_peek(const struct tcp_core *core, tcp_id *ids, uint32_t max);
/* A hint: this flow will be used soon. */
void tcp_conn_fetch(const struct tcp_core *core, tcp_id id);
/* Put a flow on the READY list again with these events (the owner wants another visit next turn). */
void tcp_conn_again(struct tcp_core *core, tcp_id id, uint8_t events);
/* Events since the last call, cleared. */
uint8_t tcp_conn_events(struct tcp_core *core, tcp_id id);

/* Active open from laddr:lport out of `port`. Sends SYN with the next tcp_output. Returns 0, WEIR_EEXIST (4-tuple in
 * use; a TIME-WAIT one is reused where RFC 6191 permits), WEIR_ENOMEM. `user` as for tcp_conn_set_user. */
int tcp_connect(struct tcp_core *core, uint8_t port, uint32_t laddr_be, uint16_t lport_be, uint32_t raddr_be,
                uint16_t rport_be, uint32_t user, uint64_t now_us, tcp_id *id);

/* Right after tcp_connect, before tcp_output has sent the SYN. */
void tcp_conn_options(struct tcp_core *core, tcp_id id, const struct tcp_options *options);

void tcp_conn_set_user(struct tcp_core *core, tcp_id id, uint32_t user);
uint32_t tcp_conn_user(const struct tcp_core *core, tcp_id id);
uint16_t tcp_conn_mss(const struct tcp_core *core, tcp_id id);      /* payload bytes of a full segment on its path */
uint16_t tcp_conn_listener(const struct tcp_core *core, tcp_id id); /* of an accepted flow */
enum tcp_end tcp_conn_end(const struct tcp_core *core, tcp_id id);
enum tcp_state tcp_conn_state(const struct tcp_core *core, tcp_id id);
bool tcp_conn_peer_fin(const struct tcp_core *core, tcp_id id); /* the FIN has arrived in order */

/* The receive rope: the owner takes bytes off its head by any rope_ function, then calls tcp_conn_consumed, which opens
 * the window (silly-window rules of RFC 1122 4.2.3.3) and queues an update where worth it. */
struct rope *tcp_conn_rx(struct tcp_core *core, tcp_id id);
void tcp_conn_consumed(struct tcp_core *core, tcp_id id);
/* The owner keeps so many more (or fewer) mbufs that it took off receive ropes: they go on counting towards the budget.
 */
void tcp_rx_kept(struct tcp_core *core, int32_t mbufs);
/* Is the budget nearly used up? Then an owner leaves on the ropes what it cannot pass on at once. */
bool tcp_rx_pressed(const struct tcp_core *core);

/* Bytes the send rope takes now: what cwnd and the peer's window allow beyond what is queued already, plus `extra` (one
 * TLS record), within snd_buf_bytes; 0 after shutdown or close. A short answer arms TCP_EV_WRITABLE. */
uint32_t tcp_conn_send_room(struct tcp_core *core, tcp_id id, uint32_t extra);
/* How many of `want` bytes it takes, by the same measure. TCP_EV_WRITABLE is armed only where those are fewer: an owner
 * with nothing more to send is not visited for each ACK. */
uint32_t tcp_conn_room_for(struct tcp_core *core, tcp_id id, uint32_t want, uint32_t extra);
/* Queue all of `src` (moved; empty afterwards). Returns 0 or WEIR_ESTATE (src untouched). */
int tcp_conn_send(struct tcp_core *core, tcp_id id, struct rope *src);
/* Bytes queued and not yet acknowledged. */
uint32_t tcp_conn_unacked(const struct tcp_core *core, tcp_id id);

/* FIN after what is queued. Receiving goes on. */
void tcp_conn_shutdown(struct tcp_core *core, tcp_id id);
/* RST now; the flow ends with TCP_END_ABORTED, without an event, and is released. */
void tcp_conn_abort(struct tcp_core *core, tcp_id id);
/* The owner is done: shutdown where that has not happened, drop what is unread and what comes, no more events. After
 * TCP_EV_CLOSED this frees the flow.
 * Where bytes are unread the peer learns that they are lost, by a RST in place of the FIN (RFC 1122 4.2.2.13, RFC 2525
 * 2.17): an owner that does not care takes them off the rope first. Not while bytes of the owner's own are still to be
 * acknowledged, as Linux does even then: a RST takes them away from the peer, an alert or a CONNACK that says why among
 * them, and such last words tell more than a RST. Those leave, then the FIN; what the peer sends then draws the RST. */
void tcp_conn_release(struct tcp_core *core, tcp_id id);

/* Everything `ss -ti` would show. */
struct tcp_info {
    struct flow_key key;
    enum tcp_state state;
    uint8_t port, snd_wscale, rcv_wscale;
    uint8_t backoff; /* doublings of rto_us */
    bool sack, timestamps, ecn;
    bool recovery, loss; /* repairing losses that ACKs showed, that a timeout showed */
    enum tcp_cc_id cc;
    uint16_t mss, listener_id;
    uint32_t user, srtt_us, rttvar_us, rto_us, cwnd_bytes, ssthresh_bytes, snd_wnd_bytes, rcv_wnd_bytes;
    uint32_t unacked_bytes;            /* on the send rope, */
    uint32_t unsent_bytes;             /* ... of which so many were never sent */
    uint32_t sacked_bytes, lost_bytes; /* ... and of those that were */
    uint32_t rx_bytes, retransmits;
};
void tcp_conn_info(const struct tcp_core *core, tcp_id id, struct tcp_info *info);
/* Walk the flows in use: the first id after `after` (0: from the start), or 0. */
tcp_id tcp_conn_next(const struct tcp_core *core, tcp_id after);
/* Local and remote address of a flow (PROXY protocol, logs). */
const struct flow_key *tcp_conn_key(const struct tcp_core *core, tcp_id id);
uint8_t tcp_conn_port(const struct tcp_core *core, tcp_id id);

const struct tcp_stats *tcp_core_stats(const struct tcp_core *core);
struct tcp_port *tcp_core_port(struct tcp_core *core, uint8_t port);

#endif
