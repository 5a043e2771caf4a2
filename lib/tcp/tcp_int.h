/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of lib/tcp; nobody else includes it. */
#ifndef WEIR_TCP_INT_H
#define WEIR_TCP_INT_H

#include "../base/clock.h"
#include "../base/span.h"
#include "tcp_cc.h"
#include "tcp_core.h"

#include <netinet/in.h>
#include <string.h>

/* tcp_conn.flags */
#define TCP_F_PASSIVE      0x00000001u /* came from a listener */
#define TCP_F_OWNED        0x00000002u /* an owner knows the id: events are raised, the object outlives the flow */
#define TCP_F_RELEASED     0x00000004u /* the owner has let go: nobody reads what comes */
#define TCP_F_SHUTDOWN     0x00000008u /* FIN follows the send rope */
#define TCP_F_FIN_SENT     0x00000010u /* FIN has left at least once; it occupies snd_una + tx.len_bytes */
#define TCP_F_FIN_ACKED    0x00000020u /* ... and was acknowledged */
#define TCP_F_FIN_RCVD     0x00000040u /* the peer's FIN is in order */
#define TCP_F_TS           0x00000080u /* both sides sent timestamps */
#define TCP_F_SACK         0x00000100u /* both sides permit SACK */
#define TCP_F_WS           0x00000200u /* both sides scale windows */
#define TCP_F_ACK_NOW      0x00000400u /* an ACK is owed this turn */
#define TCP_F_RESEND       0x00000800u /* something lost waits to go out again; SYN states: the SYN does */
#define TCP_F_RECOVERY     0x00001000u /* fast recovery, until `recover` is acknowledged */
#define TCP_F_LOSS         0x00002000u /* after an RTO, until `recover` is acknowledged */
#define TCP_F_REO          0x00004000u /* rexmit_ms is the end of RACK's reordering window */
#define TCP_F_PERSIST      0x00008000u /* rexmit_ms is the persist timer */
#define TCP_F_PROBE        0x00010000u /* send a window probe now */
#define TCP_F_KEEP_PROBE   0x00020000u /* send a keep-alive probe now */
#define TCP_F_WANT_ROOM    0x00040000u /* the owner waits for TCP_EV_WRITABLE */
#define TCP_F_DETACHED     0x00080000u /* no longer in the flow table */
#define TCP_F_SYN_ACKED    0x00100000u /* our SYN was acknowledged: snd_una stands on data */
#define TCP_F_TLP          0x00200000u /* send a tail loss probe now */
#define TCP_F_PTO          0x00400000u /* rexmit_ms is a probe timeout */
#define TCP_F_PATH_PROBE   0x00800000u /* a segment larger than mss is out, to see whether it gets through */
#define TCP_F_ON_READY     0x01000000u
#define TCP_F_ON_PENDING   0x02000000u
#define TCP_F_ON_TIME_WAIT 0x04000000u
#define TCP_F_ECN          0x08000000u /* both sides said so in their SYNs (RFC 3168 6.1.1) */
#define TCP_F_ECE          0x10000000u /* our ACKs echo a mark until the peer says CWR */
#define TCP_F_CWR          0x20000000u /* the next new data says CWR */
#define TCP_F_DSACK        0x40000000u /* the next ACK reports what arrived twice (struct tcp_flight) */
#define TCP_F_MSS_LOW      0x80000000u /* the path takes less than mss_full, as far as is known */

#define TCP_RCV_BUF_UNIT 256u /* tcp_conn.rcv_buf counts in these */

/* Constants of the protocol. */
#define TCP_MSS_DEFAULT 536u /* no MSS option: RFC 9293 3.7.1 */
#define TCP_MSS_MIN                                                                                                    \
    88u /* a smaller announcement is raised to this: else a peer has us send a packet for every                        \
           byte or two (CVE-2019-11479); with 12 B of timestamps 76 B of payload remain */
#define TCP_PATH_MTU_MIN      552u /* ICMP never takes the path MTU below it (forged frag-needed, RFC 5927 7.2) */
#define TCP_HEADERS           40u  /* IPv4 and TCP without options */
#define TCP_OPT_TS_BYTES      12u  /* timestamps with two NOPs */
#define TCP_OPT_TS_PREFIX     0x0101080au /* NOP NOP TS 10: how those bytes begin */
#define TCP_OPTIONS_MAX       40u
#define TCP_RTO_INITIAL_US    1000000u      /* RFC 6298 2.1 */
#define TCP_RTO_LOST_SYN_US   3000000u      /* RFC 6298 5.7: where a SYN had to be repeated and nothing was measured */
#define TCP_RTO_MIN_US        200000u       /* beyond SRTT; RFC 6298 2.4 says 1 s in all, for coarse clocks */
#define TCP_RTO_MAX_US        60000000u     /* RFC 6298 2.5 */
#define TCP_DELAYED_ACK_MS    40u           /* well below every peer's minimum RTO; RFC 1122 4.2.3.2 allows 500 */
#define TCP_QUICK_ACKS        16u           /* first segments acknowledged at once: the peer is in slow start */
#define TCP_DUP_THRESHOLD     3u            /* RFC 5681 3.2 */
#define TCP_REASM_MAX         64u           /* runs of out-of-order data, that is holes, a flow may have */
#define TCP_TIMERS_WALKED     4096u         /* records and mbufs they may walk, with those of one flow on top */
#define TCP_OUT_VISITS        1024u         /* flows of a port a tcp_output call asks, whether they send or not */
#define TCP_QUANTUM_BYTES     65536u        /* a flow a tcp_output call */
#define TCP_COPY_MAX          ROPE_COPY_MAX /* payloads up to this are copied behind the header */
#define TCP_PAWS_IDLE_MS      (24u * 86400000u) /* ts_recent is void after 24 days: RFC 7323 5.5 */
#define TCP_RESETS_PER_S      1000u
#define TCP_RESETS_A_SOURCE   100u  /* of one class of sources */
#define TCP_CHALLENGES_PER_S  5000u /* plus up to as many again: RFC 5961 10 and CVE-2016-5696 (tcp_limit.c) */
#define TCP_CHALLENGE_FLOW_MS 500u  /* at most one a flow in so long */
#define TCP_WSCALE_MAX        14u   /* RFC 7323 2.3 */

/* Sequence space, RFC 9293 3.4: comparisons modulo 2^32. Two numbers exactly half the space apart are in no order: each
 * is lt the other, and neither leq, so that no window and no range of acknowledgements takes such a one in. */
static inline bool seq_lt(uint32_t a, uint32_t b) {
    return (int32_t)(a - b) < 0;
}
static inline bool seq_leq(uint32_t a, uint32_t b) {
    return (int32_t)(b - a) >= 0;
}
static inline uint32_t seq_max(uint32_t a, uint32_t b) {
    return seq_lt(a, b) ? b : a;
}

/* --- tcp_opts.c --- */
#define TCP_SACK_BLOCKS 4u /* what 40 bytes of options hold; one less with timestamps */
struct tcp_opts {
    uint32_t ts_val, ts_ecr;
    uint16_t mss; /* 0: none */
    uint8_t wscale, n_sacks;
    bool has_ts, has_wscale, sack_permitted;
    struct tcp_sack sacks[TCP_SACK_BLOCKS];
};
/* Options one by one into a zeroed `o`. */
int tcp_opts_walk(struct span s, bool syn, struct tcp_opts *o);
/* Read options, which span exactly `s`: nearly always none, or timestamps alone. Returns 0 or -TCP_DROP_OPTION. Unknown
 * kinds are skipped. */
static inline int tcp_opts_parse(struct span s, bool syn, struct tcp_opts *o) {
    memset(o, 0, offsetof(struct tcp_opts, sacks)); /* n_sacks says how many of those count */
    if (!span_left(&s))
        return 0;
    struct span fast = s;
    if (span_left(&s) != TCP_OPT_TS_BYTES || span_u32(&fast) != TCP_OPT_TS_PREFIX)
        return tcp_opts_walk(s, syn, o);
    o->has_ts = true;
    o->ts_val = span_u32(&fast);
    o->ts_ecr = span_u32(&fast);
    return 0;
}
/* Write those of a SYN (as our side offers or, in a SYN-ACK, agrees to them); of any other segment. 4-byte multiples.
 * tcp_opts_write_syn writes exactly those in `o`. */
void tcp_opts_write_syn(struct span_writer *w, const struct tcp_opts *o);
void tcp_opts_put_syn(struct span_writer *w, const struct tcp_core *core, const struct tcp_conn *c);
void tcp_opts_put(struct span_writer *w, const struct tcp_core *core, const struct tcp_conn *c, bool with_sacks);
/* Take over what both sides agreed on, from the peer's SYN. */
void tcp_opts_negotiate(struct tcp_core *core, struct tcp_conn *c, const struct tcp_opts *o);

/* --- tcp_in.c --- a segment, parsed */
struct tcp_seg {
    struct rte_mbuf *m;
    struct flow_key key;
    uint32_t seq, ack;
    uint32_t len;     /* payload bytes, as trimmed to the window so far */
    uint32_t wnd;     /* scaled once the flow is known */
    uint32_t payload; /* offset of the payload in m: the frame of the longest datagram is above 64 KB */
    uint8_t flags;
    uint8_t ecn;     /* the ECN field of its IP header */
    bool kept;       /* m belongs to the core now */
    bool window_cut; /* bytes beyond the window were cut off */
    bool ts_due;     /* its timestamp becomes TS.Recent where its ACK is acceptable */
    struct tcp_opts opts;
};
/* Returns 0 or -TCP_DROP_*. */
int tcp_seg_parse(struct rte_mbuf *m, struct tcp_seg *seg);
/* Sequence space taken: payload, SYN and FIN. */
static inline uint32_t tcp_seg_space(const struct tcp_seg *seg) {
    return seg->len + !!(seg->flags & WIRE_TCP_SYN) + !!(seg->flags & WIRE_TCP_FIN);
}

/* --- tcp_state.c --- Run the segment through the table. Returns a verdict of tcp_input_burst. */
int tcp_state_run(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg);
/* The FIN of ours was acknowledged: next state. */
void tcp_state_fin_acked(struct tcp_core *core, struct tcp_conn *c);

/* --- tcp_text.c --- payload and FIN in order or not. Returns 0, or -TCP_DROP_* with the mbuf untouched. */
int tcp_text(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg);
/* Leave of its mbufs only the payload, as trimmed; segments that end up empty are freed by rope_push. */
void tcp_seg_keep_payload(struct tcp_seg *seg);
/* The peer's FIN is next in order. */
void tcp_fin_in_order(struct tcp_core *core, struct tcp_conn *c);
/* Settle stats.rx_mbufs after the receive rope has changed. */
void tcp_rx_settle(struct tcp_core *core, struct tcp_conn *c);
/* Owe an ACK: delayed or at once. */
void tcp_ack_soon(struct tcp_core *core, struct tcp_conn *c);
void tcp_ack_now(struct tcp_core *core, struct tcp_conn *c);

/* --- tcp_listen.c --- */
/* A segment to no flow: a SYN for a listener, an ACK that brings a cookie back, or a stray. Returns a verdict. */
int tcp_listen_input(struct tcp_core *core, struct tcp_seg *seg);
/* A SYN that the TIME-WAIT flow `c` yields to: `c` ends where a listener takes the SYN. Returns a verdict. */
int tcp_listen_reuse(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg);
/* The listener, accepting or not; NULL: none. */
const struct tcp_listener *tcp_listener_find(const struct tcp_core *core, uint32_t addr_be, uint16_t port_be);
/* The half-open flow of a SYN with number `irs` and these options, answered with `iss`; `seg` says who. NULL: the pool
 * is used up (counted). */
struct tcp_conn *tcp_listen_open(struct tcp_core *core, const struct tcp_listener *l, const struct tcp_seg *seg,
                                 uint32_t irs, const struct tcp_opts *opts, uint32_t iss);
/* A segment that belongs to nothing: RST within the rate limit. Returns a verdict. */
int tcp_no_flow(struct tcp_core *core, const struct tcp_seg *seg, enum tcp_drop reason);
/* RFC 6191: may this SYN take the place of a flow in TIME-WAIT? */
bool tcp_time_wait_yields(const struct tcp_conn *c, const struct tcp_seg *seg);
/* The flow pool is empty: end the oldest TIME-WAIT flow that nobody owns. False: there is none. */
bool tcp_make_room(struct tcp_core *core);

/* --- tcp_cookie.c --- */
/* Does a SYN to this listener get a cookie now? */
bool tcp_cookie_wanted(struct tcp_core *core, const struct tcp_listener *l);
/* Answer a SYN with a cookie. Returns a verdict. */
int tcp_cookie_answer(struct tcp_core *core, const struct tcp_listener *l, const struct tcp_seg *seg);
/* Is a cookie of ours still good? If not, an ACK to no flow brings none back, and costs no hash. */
bool tcp_cookie_recent(const struct tcp_core *core);
/* An ACK to no flow while one may be: makes the flow it stands for. Returns a verdict. */
int tcp_cookie_input(struct tcp_core *core, struct tcp_seg *seg);
/* The window on a cookie: what the flow must keep to. */
uint16_t tcp_cookie_window(const struct tcp_core *core);

/* --- tcp_reply.c --- */
/* Queue an answer. False: its ring is full. */
bool tcp_reply_push(struct tcp_core *core, enum tcp_reply_kind kind, const struct tcp_reply *r);
bool tcp_replies_full(const struct tcp_core *core, enum tcp_reply_kind kind);
bool tcp_replies_wait(const struct tcp_core *core);
/* Build what waits, at most `max`; with `half` at most half of it and of each port's room. Returns how many. */
uint16_t tcp_replies_send(struct tcp_core *core, struct rte_mbuf **to, uint16_t max, bool half);
/* Queue a RST with these numbers. */
void tcp_reset(struct tcp_core *core, const struct flow_key *key, uint8_t port, uint32_t seq, uint32_t ack,
               uint8_t flags);

/* --- tcp_reasm.c --- */
/* Queue out-of-order payload and FIN. Returns 0 (seg->kept) or -TCP_DROP_*. */
int tcp_reasm_insert(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg);
/* How many records may be in use where a bare FIN takes another: those of data need an mbuf each, of which there are
 * few enough, and find a record always. */
static inline uint32_t tcp_reasm_fins(const struct tcp_core *core) {
    return core->cfg.rx_budget_mbufs / 16 + 64;
}
/* Move what has become in order to the receive rope; processes a queued FIN. Returns true where anything moved. */
bool tcp_reasm_drain(struct tcp_core *core, struct tcp_conn *c);
void tcp_reasm_clear(struct tcp_core *core, struct tcp_conn *c);
/* Blocks for the SACK option, those that changed last first (RFC 2018 4). Returns how many, at most max, which is at
 * most TCP_SACK_BLOCKS. */
uint8_t tcp_reasm_sacks(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_sack *blocks, uint8_t max);
/* The first run; when the hole before it was first seen. Only where reasm_count != 0. */
struct tcp_sack tcp_reasm_first(const struct tcp_core *core, const struct tcp_conn *c);
uint32_t tcp_reasm_since_ms(const struct tcp_core *core, const struct tcp_conn *c);

/* --- tcp_dsack.c --- */
/* [left, right) arrived once more: the next bare ACK says so, where the peer understands SACK. */
void tcp_dsack_note(struct tcp_core *core, struct tcp_conn *c, uint32_t left, uint32_t right);
/* The block to report. Returns 1, or 0: there is none. */
uint8_t tcp_dsack_block(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_sack *block);

/* --- tcp_out.c --- */
/* Put a flow on the PENDING list where it is not yet. */
void tcp_pending(struct tcp_core *core, struct tcp_conn *c);
/* RST that kills the peer's side of this flow, where it has one. False: too many answers wait. */
bool tcp_reset_flow(struct tcp_core *core, const struct tcp_conn *c);
/* snd_nxt moves on by `n` bytes of the rope. */
void tcp_snd_skip(struct tcp_conn *c, uint32_t n);
/* Drop `n` acknowledged bytes off the send rope; snd_una and snd_nxt still hold their old values. */
void tcp_snd_trim(struct tcp_core *core, struct tcp_conn *c, uint32_t n);
/* Payload bytes a segment towards a peer that announced `peer_mss`, options not yet taken off. */
uint16_t tcp_mss_towards(const struct tcp_core *core, uint8_t port, uint16_t peer_mss);
/* The MSS that we announce. */
uint16_t tcp_mss_announced(const struct tcp_core *core, uint8_t port);

/* --- tcp_build.c --- one segment */
/* The segment of `len` bytes at `offset` of rope mbuf `from`. NULL: no mbuf. */
struct rte_mbuf *tcp_build(struct tcp_core *core, struct tcp_conn *c, uint32_t seq, uint8_t flags,
                           struct rte_mbuf *from, uint32_t offset, uint32_t len);
struct rte_mbuf *tcp_build_reply(struct tcp_core *core, const struct tcp_reply *r);

/* --- tcp_flight.c --- what is outstanding, segment by segment */
#define TCP_SENT_SACKED 0x01u
#define TCP_SENT_LOST   0x02u /* lost, and not out again */
#define TCP_SENT_RESENT 0x04u /* out again */
#define TCP_SENT_FIN    0x08u /* its last number is the FIN's */
#define TCP_SENT_TIMED  0x10u /* in the list by time */
#define TCP_SENT_PROBE  0x20u /* larger than mss, whole, and sent once: tries the path (tcp_path.c) */

/* What an ACK brought. */
struct tcp_news {
    uint32_t acked;                   /* by how much SND.UNA moved */
    uint32_t delivered;               /* bytes acknowledged or SACKed for the first time */
    uint32_t rtt_us;                  /* of the latest segment delivered that was sent once; 0: none */
    uint32_t rtt_max_us;              /* of the earliest: what the RTO must cover, a delayed ACK included */
    uint32_t dsack_left, dsack_right; /* reported as received twice (RFC 2883); equal: nothing */
    uint16_t probed;                  /* the segment that tries the path has arrived: its length; 0: has not */
    bool sacked;                      /* a record was SACKed */
    bool lost;                        /* a record was found lost */
};

static inline struct tcp_sent *tcp_sent_of(const struct tcp_core *core, uint32_t i) {
    return pool_get_sized(&core->sents, i, sizeof(struct tcp_sent));
}
static inline uint32_t tcp_sent_end(const struct tcp_sent *s) {
    return s->seq + s->len;
}
/* The flow's block, or NULL. */
static inline struct tcp_flight *tcp_flight_of(const struct tcp_core *core, const struct tcp_conn *c) {
    return c->flight ? pool_get_sized(&core->flights, c->flight, sizeof(struct tcp_flight)) : NULL;
}
/* The flow's block, taken where it has none; never NULL. */
struct tcp_flight *tcp_flight_take(struct tcp_core *core, struct tcp_conn *c);
/* Give the block back where nothing is outstanding and nothing waits in it. */
void tcp_flight_rest(struct tcp_core *core, struct tcp_conn *c);
/* Everything of the flow, records and block. */
void tcp_flight_clear(struct tcp_core *core, struct tcp_conn *c);
/* How many more segments may be out. 0: the flow waits for its own ACKs. */
uint32_t tcp_sent_room(const struct tcp_core *core, const struct tcp_conn *c);
/* May one more? The first always may. */
static inline bool tcp_sent_may(const struct tcp_core *core, const struct tcp_conn *c) {
    return !c->sent_count || tcp_sent_room(core, c);
}
/* [snd_nxt, snd_nxt + len) leaves now; there is room. */
void tcp_sent_add(struct tcp_core *core, struct tcp_conn *c, uint16_t len, uint8_t flags);
/* This record has just gone out once more. */
void tcp_sent_again(struct tcp_core *core, struct tcp_conn *c, uint32_t i);
/* Cut record i behind its first `len` bytes. False: no record is left. */
bool tcp_sent_split(struct tcp_core *core, struct tcp_conn *c, uint32_t i, uint16_t len);
/* Join to record i what follows it and is lost as well, up to `max` bytes of payload: small segments that were lost
 * together go out again as one. */
void tcp_sent_join(struct tcp_core *core, struct tcp_conn *c, uint32_t i, uint32_t max);
/* State changes of a record that keep all sums and lists. */
void tcp_sent_lost(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, uint32_t i);
void tcp_sent_sacked(struct tcp_core *core, struct tcp_flight *f, uint32_t i);
/* What was lost is not, after all. */
void tcp_sent_restore(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f);
/* The peer has let go of what it SACKed (RFC 2018 8): it is lost. */
void tcp_sent_forget_sacks(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f);
/* Records below `ack` go. */
void tcp_sent_acked(struct tcp_core *core, struct tcp_conn *c, uint32_t ack, const struct tcp_opts *opts,
                    struct tcp_news *news);
/* The first record that is lost and not out again; 0: none. */
uint32_t tcp_sent_next_lost(struct tcp_core *core, const struct tcp_conn *c);
/* Bytes in the network: what is outstanding less what has arrived or got lost (RFC 6675 4). */
static inline uint32_t tcp_pipe(const struct tcp_core *core, const struct tcp_conn *c) {
    const struct tcp_flight *f = tcp_flight_of(core, c);
    return c->snd_nxt - c->snd_una - (f ? f->sacked + f->lost : 0);
}

/* --- tcp_sack.c --- the blocks of an ACK (RFC 2018, RFC 2883) */
void tcp_sack_take(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_seg *seg,
                   struct tcp_news *news);
#define TCP_SACK_STEPS_MAX      32768u /* struct tcp_flight.sack_steps */
#define TCP_SACK_STEPS_A_RECORD 256u   /* ... earned by a record that arrives */

/* --- tcp_rack.c --- RFC 8985 */
/* Step 2, for a record that an ACK delivers. */
void tcp_rack_delivered(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_flight *f,
                        const struct tcp_sent *s, const struct tcp_opts *opts);
/* Step 4: a DSACK widens the reordering window. */
void tcp_rack_dsack(const struct tcp_conn *c, struct tcp_flight *f);
/* Step 5. Returns true where something is lost; f->reo_wait_us says when to look again. */
bool tcp_rack_detect(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f);
/* Time until this record is certainly lost; <= 0: it is. */
int32_t tcp_rack_remaining(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_flight *f,
                           const struct tcp_sent *s);
/* A recovery has ended: the wider window wears off. */
void tcp_rack_recovered(struct tcp_flight *f);
/* The probe timeout in milliseconds (7.2); 0: none now. */
uint32_t tcp_tlp_pto_ms(const struct tcp_core *core, const struct tcp_conn *c);
/* It fired. */
void tcp_tlp_fired(struct tcp_core *core, struct tcp_conn *c);
/* The probe is out; `again`: it repeated the last segment. */
void tcp_tlp_sent(struct tcp_core *core, struct tcp_conn *c, bool again);
/* 7.4.2. Returns true where the probe has repaired a loss. */
bool tcp_tlp_ack(struct tcp_flight *f, const struct tcp_seg *seg, const struct tcp_news *news);

/* --- tcp_prr.c --- RFC 6937 */
void tcp_prr_start(const struct tcp_conn *c, struct tcp_flight *f);
/* cwnd after an ACK in fast recovery that delivered so much; `good`: it moved SND.UNA and showed no further loss. */
void tcp_prr_ack(const struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, uint32_t delivered, bool good);

/* --- tcp_rtt.c --- RFC 6298 */
/* One measurement, of `n` in a round trip (0 counts as 1). */
void tcp_rtt_sample(struct tcp_conn *c, uint32_t sample_us, uint32_t n);
/* What an ACK measures. */
void tcp_rtt_ack(const struct tcp_core *core, struct tcp_conn *c, const struct tcp_opts *opts,
                 const struct tcp_news *news, uint32_t flight);
/* What the echo of a first copy measures, after a timeout that was needless. */
void tcp_rtt_first_copy(const struct tcp_core *core, struct tcp_conn *c, const struct tcp_opts *opts);
/* The RTO with its backoff, in milliseconds. */
uint32_t tcp_rtt_rto_ms(const struct tcp_conn *c);

/* --- tcp_loss.c --- */
/* An acceptable ACK (snd_una <= ack <= snd_nxt). */
void tcp_loss_ack(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg);
/* Our SYN was acknowledged. */
void tcp_loss_syn_acked(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg);
/* The retransmission timer fired. Returns false where the flow is over. */
bool tcp_loss_rto(struct tcp_core *core, struct tcp_conn *c);
/* The reordering window of the oldest segment ended. */
void tcp_loss_reo(struct tcp_core *core, struct tcp_conn *c);
/* Start or restart the timer of what is outstanding: reordering window, probe timeout or RTO. */
void tcp_loss_arm(struct tcp_core *core, struct tcp_conn *c);
/* New data has left: the probe timeout counts from the last segment, the RTO does not. */
void tcp_loss_sent(struct tcp_core *core, struct tcp_conn *c);
#define TCP_IW_BYTES 14600u
/* Initial congestion window (RFC 6928). */
uint32_t tcp_loss_iw(const struct tcp_conn *c);

/* c->mss has become smaller: what is outstanding and larger is lost, without a reduction of cwnd. */
void tcp_loss_mss_lowered(struct tcp_core *core, struct tcp_conn *c);

/* --- tcp_window.c --- windows within the budgets */
#define TCP_MBUF_BYTES 2368u /* what an mbuf really takes: header, struct rte_mbuf, headroom, room */
/* Most bytes the flow may offer its peer now, before what it holds and the budget. */
uint32_t tcp_rcv_buf(const struct tcp_core *core, const struct tcp_conn *c);
/* A new flow; its handshake is complete. */
void tcp_window_new(const struct tcp_core *core, struct tcp_conn *c);
void tcp_window_established(const struct tcp_core *core, struct tcp_conn *c);
/* Right edge we could advertise now, never left of rcv_adv. */
uint32_t tcp_rx_right_edge(const struct tcp_core *core, const struct tcp_conn *c);
/* What a SYN advertises. */
uint16_t tcp_window_of_syn(const struct tcp_core *core, const struct tcp_conn *c);
/* The owner has taken bytes, or there is more room than there was: is an ACK worth it? */
bool tcp_window_update_due(const struct tcp_core *core, const struct tcp_conn *c);
/* Receive buffers are so short that everybody's window is smaller than it would be. */
bool tcp_windows_squeezed(const struct tcp_core *core);
/* Data came in order with this segment: grow with the reader. */
void tcp_window_tune(const struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg);
/* Most bytes on the send rope. */
uint32_t tcp_snd_buf(const struct tcp_core *core, const struct tcp_conn *c);

/* --- tcp_reclaim.c --- */
#define TCP_PROGRESS_BYTES_PER_S 100u  /* a peer that takes less is not reading */
#define TCP_RECLAIM_LEAST_MS     5000u /* whoever waits for less is not touched */
#define TCP_RECLAIM_STEP_MS      100u
/* So many bytes are about to be queued, or a FIN: from here on progress counts where nothing waited before. */
void tcp_progress_begins(struct tcp_core *core, struct tcp_conn *c, uint32_t bytes);
/* `acked` bytes have left the send rope; SND.UNA stands behind them. */
void tcp_progress(const struct tcp_core *core, struct tcp_conn *c, uint32_t acked);
/* While buffers are short: end what holds them without progress. When they no longer are: open the windows that this
 * has squeezed. Bounded work; once a turn. */
void tcp_reclaim(struct tcp_core *core);
/* Windows are being opened: the next calls have work. */
bool tcp_reclaim_reopens(const struct tcp_core *core);

/* --- tcp_path.c --- */
#define TCP_PATH_WAIT_S         600u /* no larger segment for so long after ICMP, as RFC 1191 3 recommends; */
#define TCP_PATH_GUESS_S        5u   /* ... after timeouts, which an outage causes as well; twice that after each try */
#define TCP_PATH_KEEP_S         60u  /* the time to try has come and nobody has: then it is forgotten */
#define TCP_BLACKHOLE_RTOS      3u   /* timeouts in a row per step: two in a row are no rarity on a lossy path */
#define TCP_BLACKHOLE_MTU       1064u /* the first step: what tunnels and old links take */
#define TCP_BLACKHOLE_MTU_LEAST 576u  /* the last: RFC 9293 3.7.1's default */
/* c->mss_full of a flow that starts is known: c->mss is that, or less where it is known that the path takes less. */
void tcp_path_start(struct tcp_core *core, struct tcp_conn *c);
/* ICMP says that a segment of this flow, which is outstanding, was too large. next_hop_mtu 0: it does not say why. */
void tcp_path_frag_needed(struct tcp_core *core, struct tcp_conn *c, uint16_t next_hop_mtu);
/* A segment of a flow with no_df, with `len` bytes is ready: without DF where it may be cut. */
void tcp_path_unlock(struct tcp_core *core, const struct tcp_conn *c, struct rte_mbuf *m, uint32_t len);
/* The retransmission timer has fired; c->backoff still counts the timeouts before this one. */
void tcp_path_rto(struct tcp_core *core, struct tcp_conn *c);
/* New data is about to leave a flow with TCP_F_MSS_LOW: the length of a segment to try the path with; 0: none now. */
uint32_t tcp_path_probe_len(struct tcp_core *core, const struct tcp_conn *c);
/* It has left, the last segment of all. */
void tcp_path_probe_sent(struct tcp_core *core, struct tcp_conn *c);
/* It has arrived, and was so long. */
void tcp_path_probe_acked(struct tcp_core *core, struct tcp_conn *c, uint16_t len);
/* Is it the one segment that is lost? */
bool tcp_path_probe_lost(const struct tcp_core *core, const struct tcp_conn *c);

/* --- tcp_ecn.c --- RFC 3168 */
/* Our SYN will offer it, or not. */
void tcp_ecn_offer(struct tcp_conn *c, bool wanted);
/* The peer's SYN, or its SYN-ACK to ours: do both want it? */
void tcp_ecn_agree(struct tcp_conn *c, uint8_t syn_flags, bool willing);
/* The same SYN again: the peer may have given it up, because our answer did not arrive. */
void tcp_ecn_syn_again(struct tcp_conn *c, uint8_t syn_flags);
/* Of a segment of a flow with TCP_F_ECN that leaves: adds its flags, returns its ECN field. */
uint8_t tcp_ecn_out(struct tcp_conn *c, uint32_t seq, uint32_t len, uint8_t *flags);
/* Payload within the window arrived: is it marked, does it say CWR? */
void tcp_ecn_data(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg);
/* An acceptable ACK says ECE; before SND.UNA moves. */
void tcp_ecn_echo(struct tcp_core *core, struct tcp_conn *c, uint32_t ack);
/* Has ECE brought the window down already, for what is outstanding? */
bool tcp_ecn_reduced(const struct tcp_conn *c);

/* --- tcp_timer.c --- */
void tcp_timer_set(struct tcp_core *core, struct tcp_conn *c, enum tcp_timer_id id, uint32_t in_ms);
void tcp_timer_stop(struct tcp_conn *c, enum tcp_timer_id id);
/* Keep-alive starts to run. */
void tcp_timer_keepalive(struct tcp_core *core, struct tcp_conn *c);

/* --- tcp_isn.c --- */
uint64_t tcp_siphash(const uint64_t key[2], const void *data, size_t len);
/* A key of its own for a purpose and a number (a period of time), from the boot secret. */
void tcp_key_derive(const struct tcp_core *core, uint32_t label, uint64_t number, uint64_t key[2]);
uint32_t tcp_isn(struct tcp_core *core, const struct flow_key *key);
uint32_t tcp_ts_offset(const struct tcp_core *core, const struct flow_key *key);

/* --- tcp_limit.c --- */
/* Take one from a per-second budget of `per_s` plus up to `jitter` drawn from the secret. */
bool tcp_limit_take(struct tcp_core *core, struct tcp_limit *l, uint32_t per_s, uint32_t jitter);
/* Challenge ACK within its limits (RFC 5961 10). */
void tcp_challenge(struct tcp_core *core, struct tcp_conn *c);
/* May a segment of this source that belongs to nothing be answered with a RST? Takes from the budget. */
bool tcp_reset_allowed(struct tcp_core *core, uint32_t source_be);

/* --- tcp_core.c --- life of a connection object */
static inline struct tcp_conn *tcp_conn_of(const struct tcp_core *core, tcp_id id) {
    return pool_get_sized(&core->conns, id, sizeof(struct tcp_conn));
}
static inline tcp_id tcp_id_of(const struct tcp_core *core, const struct tcp_conn *c) {
    return pool_index_sized(&core->conns, c, sizeof(struct tcp_conn));
}
/* A zeroed flow in `state`, entered in the table. NULL: no room, or the 4-tuple exists. */
struct tcp_conn *tcp_conn_new(struct tcp_core *core, const struct flow_key *key, uint8_t port, enum tcp_state state);
/* Give everything back: at once, but for the object of one that still owes its peer a RST. */
void tcp_conn_free(struct tcp_core *core, struct tcp_conn *c);
/* The flow is over: out of the table, CLOSED. The owner gets TCP_EV_CLOSED; without an owner the object is freed. */
void tcp_conn_over(struct tcp_core *core, struct tcp_conn *c, enum tcp_end end);
/* The same, and its peer is told. Where too many answers wait already the flow waits for its turn on the PENDING list:
 * a server that dies with all its flows leaves no client in the dark. */
void tcp_conn_reset(struct tcp_core *core, struct tcp_conn *c, enum tcp_end end);
/* Both FINs are through. */
void tcp_conn_time_wait(struct tcp_core *core, struct tcp_conn *c);
/* A TIME-WAIT flow gives its 4-tuple away or expires. */
void tcp_conn_time_wait_end(struct tcp_core *core, struct tcp_conn *c);
void tcp_conn_set_state(struct tcp_core *core, struct tcp_conn *c, enum tcp_state state);
/* Raise events for the owner. */
void tcp_conn_raise(struct tcp_core *core, struct tcp_conn *c, uint8_t events);
/* Handshake complete. */
void tcp_conn_established(struct tcp_core *core, struct tcp_conn *c);

void tcp_list_push(struct tcp_core *core, struct tcp_list *l, enum tcp_list_id which, struct tcp_conn *c);
void tcp_list_remove(struct tcp_core *core, struct tcp_list *l, enum tcp_list_id which, struct tcp_conn *c);

static inline uint8_t tcp_snd_wscale(const struct tcp_conn *c) {
    return c->wscales & 15;
}
static inline uint8_t tcp_rcv_wscale(const struct tcp_conn *c) {
    return c->wscales >> 4;
}
/* A segment touches all four lines of a flow: rope, lists, estimators, timers. */
static inline void tcp_conn_prefetch(const struct tcp_core *core, tcp_id id) {
    const uint8_t *c = (const uint8_t *)tcp_conn_of(core, id);
    for (unsigned line = 0; line < sizeof(struct tcp_conn); line += WEIR_CACHE_LINE)
        rte_prefetch0(c + line);
}
/* One beyond the last byte on the send rope. */
static inline uint32_t tcp_snd_end(const struct tcp_conn *c) {
    return c->snd_una + !(c->flags & TCP_F_SYN_ACKED) + c->tx.len_bytes;
}
static inline uint32_t tcp_now_ms(const struct tcp_core *core) {
    return clock_ms(core->now_us);
}
/* Our timestamp clock: 1 ms (RFC 7323 5.4). */
static inline uint32_t tcp_ts_now(const struct tcp_core *core, const struct tcp_conn *c) {
    return tcp_now_ms(core) + c->ts_offset;
}
/* After a full handshake, before the end. */
static inline bool tcp_synchronised(const struct tcp_conn *c) {
    return c->state >= TCP_ESTABLISHED;
}
/* Over, and PENDING: nothing else would be left for it to send. */
static inline bool tcp_owes_reset(const struct tcp_conn *c) {
    return c->state == TCP_CLOSED && (c->flags & TCP_F_ON_PENDING);
}
/* The peer may send more. */
static inline bool tcp_receives(const struct tcp_conn *c) {
    return c->state >= TCP_ESTABLISHED && c->state <= TCP_FIN_WAIT_2;
}
static_assert(TCP_FIN_WAIT_1 == TCP_ESTABLISHED + 1 && TCP_FIN_WAIT_2 == TCP_FIN_WAIT_1 + 1, "tcp_receives");

/* A timer of `ms` that finds a flow whose user timeout is over in time (tcp_reclaim.c); each ACK asks. */
static inline uint32_t tcp_progress_clamp(const struct tcp_core *core, const struct tcp_conn *c, uint32_t ms) {
    uint32_t waited_ms = tcp_now_ms(core) - c->progress_ms, most_ms = core->cfg.user_timeout_ms;
    if (WEIR_LIKELY(waited_ms < most_ms && ms <= most_ms - waited_ms) || !tcp_synchronised(c))
        return ms;
    return waited_ms < most_ms ? most_ms - waited_ms : 1;
}

#endif
