/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of what is outstanding, and the sums over them. A segment is out, SACKed, lost, or out again; it changes
 * here and nowhere else, so that the sums, the list by time and the hints hold. */
#include "tcp_int.h"

#define SENT_MAX 1024u /* records a flow: what a walk over all of them may cost */

/* --- the list by time of departure --- */

static void time_append(struct tcp_core *core, struct tcp_flight *f, uint32_t i) {
    struct tcp_sent *s = tcp_sent_of(core, i);
    s->older = f->latest;
    s->later = 0;
    if (f->latest)
        tcp_sent_of(core, f->latest)->later = i;
    else
        f->oldest = i;
    f->latest = i;
    s->flags |= TCP_SENT_TIMED;
}

static void time_remove(struct tcp_core *core, struct tcp_flight *f, struct tcp_sent *s) {
    if (!(s->flags & TCP_SENT_TIMED))
        return;
    s->flags &= (uint8_t)~TCP_SENT_TIMED;
    if (s->older)
        tcp_sent_of(core, s->older)->later = s->later;
    else
        f->oldest = s->later;
    if (s->later)
        tcp_sent_of(core, s->later)->older = s->older;
    else
        f->latest = s->older;
}

static bool left_before(const struct tcp_sent *a, const struct tcp_sent *b) {
    return seq_lt(a->sent_us, b->sent_us) || (a->sent_us == b->sent_us && seq_lt(a->seq, b->seq));
}

/* Where its time of departure puts it, searched from `near` on in either direction (0: from the oldest). */
static void time_insert(struct tcp_core *core, struct tcp_flight *f, uint32_t i, uint32_t near) {
    struct tcp_sent *s = tcp_sent_of(core, i);
    while (near && left_before(s, tcp_sent_of(core, near)))
        near = tcp_sent_of(core, near)->older;
    uint32_t next = near ? tcp_sent_of(core, near)->later : f->oldest;
    while (next && left_before(tcp_sent_of(core, next), s))
        next = tcp_sent_of(core, next)->later;
    if (!next) {
        time_append(core, f, i);
        return;
    }
    struct tcp_sent *n = tcp_sent_of(core, next);
    s->later = next;
    s->older = n->older;
    if (n->older)
        tcp_sent_of(core, n->older)->later = i;
    else
        f->oldest = i;
    n->older = i;
    s->flags |= TCP_SENT_TIMED;
}

/* --- the block --- */

struct tcp_flight *tcp_flight_take(struct tcp_core *core, struct tcp_conn *c) {
    if (c->flight)
        return tcp_flight_of(core, c);
    c->flight = pool_alloc(&core->flights);
    assert(c->flight); /* as many as flows */
    struct tcp_flight *f = tcp_flight_of(core, c);
    f->reo_mult = 1;
    f->sack_steps = TCP_SACK_STEPS_MAX;
    f->fack = f->full_seq = c->snd_una;
    f->min_rtt_us = c->srtt_us;
    f->min_rtt_ms = tcp_now_ms(core);
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next)
        time_append(core, f, i);
    return f;
}

void tcp_flight_rest(struct tcp_core *core, struct tcp_conn *c) {
    if (!c->flight || c->snd_una != c->snd_nxt || (c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
        return;
    pool_free(&core->flights, c->flight);
    c->flight = 0;
}

static void free_head(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t i = c->seg_head;
    c->seg_head = tcp_sent_of(core, i)->next;
    if (!c->seg_head) {
        c->seg_tail = 0;
        core->sent_flows--;
    }
    c->sent_count--;
    pool_free(&core->sents, i);
}

void tcp_flight_clear(struct tcp_core *core, struct tcp_conn *c) {
    if (c->state != TCP_TIME_WAIT) /* seg_head is something else there */
        while (c->sent_count)
            free_head(core, c);
    if (c->flight)
        pool_free(&core->flights, c->flight);
    c->flight = 0;
    c->flags &= ~(TCP_F_RECOVERY | TCP_F_LOSS | TCP_F_RESEND | TCP_F_TLP);
}

/* --- records --- */

static void forget_hints(struct tcp_flight *f, uint32_t i) {
    if (f->lost_hint == i)
        f->lost_hint = 0;
    if (f->sack_hint == i)
        f->sack_hint = 0;
}

/* A flow may always have one segment out; those with more share sent_extra. Nobody may have more than half of what is
 * left of it: so it never runs out, and however many flows with tiny segments came before, who comes next gets about as
 * much as each of them. */
uint32_t tcp_sent_room(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t extra = core->sents.used - core->sent_flows,
             left = core->sent_extra - weir_min_u32(extra, core->sent_extra);
    uint32_t most = weir_min_u32(SENT_MAX, 1 + left / 2);
    return most - weir_min_u32(c->sent_count, most);
}

void tcp_sent_add(struct tcp_core *core, struct tcp_conn *c, uint16_t len, uint8_t flags) {
    uint32_t i = pool_alloc_dirty(&core->sents);
    assert(i && len);
    *tcp_sent_of(core, i) =
        (struct tcp_sent){.seq = c->snd_nxt, .len = len, .flags = flags, .times = 1, .sent_us = (uint32_t)core->now_us};
    if (c->seg_tail) {
        tcp_sent_of(core, c->seg_tail)->next = i;
    } else {
        c->seg_head = i;
        core->sent_flows++;
    }
    c->seg_tail = i;
    c->sent_count++;
    if (c->flight)
        time_append(core, tcp_flight_of(core, c), i);
}

/* Cut, or sent again: when this is acknowledged that says nothing about the path. */
static void no_probe(struct tcp_conn *c, struct tcp_sent *s) {
    if (WEIR_LIKELY(!(s->flags & TCP_SENT_PROBE)))
        return;
    s->flags &= (uint8_t)~TCP_SENT_PROBE;
    c->flags &= ~TCP_F_PATH_PROBE;
}

void tcp_sent_again(struct tcp_core *core, struct tcp_conn *c, uint32_t i) {
    struct tcp_sent *s = tcp_sent_of(core, i);
    struct tcp_flight *f = tcp_flight_of(core, c);
    no_probe(c, s);
    s->sent_us = (uint32_t)core->now_us;
    s->times += s->times != UINT8_MAX;
    if (!f)
        return; /* a SYN */
    if (s->flags & TCP_SENT_LOST)
        f->lost -= s->len;
    if (!(s->flags & TCP_SENT_RESENT))
        f->resent += s->len;
    s->flags = (uint8_t)((s->flags & ~TCP_SENT_LOST) | TCP_SENT_RESENT);
    time_remove(core, f, s);
    time_append(core, f, i);
    f->resent_us = s->sent_us;
    if (!(c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
        return;
    if (!f->undo_retrans)
        f->undo_ts = tcp_ts_now(core, c);
    f->undo_retrans += s->len;
    f->prr_out += s->len;
}

/* The rest takes the place behind i in both lists. */
bool tcp_sent_split(struct tcp_core *core, struct tcp_conn *c, uint32_t i, uint16_t len) {
    bool room = c->sent_count < 2 * SENT_MAX && core->sents.used - core->sent_flows < core->sent_extra;
    uint32_t r = room ? pool_alloc_dirty(&core->sents) : 0;
    if (!r)
        return false;
    struct tcp_sent *s = tcp_sent_of(core, i), *rest = tcp_sent_of(core, r);
    struct tcp_flight *f = tcp_flight_of(core, c);
    no_probe(c, s);
    *rest = *s;
    rest->seq += len;
    rest->len = (uint16_t)(rest->len - len);
    s->len = len;
    s->flags &= (uint8_t)~TCP_SENT_FIN;
    s->next = r;
    if (c->seg_tail == i)
        c->seg_tail = r;
    c->sent_count++;
    f->n_sacked = (uint16_t)(f->n_sacked + !!(s->flags & TCP_SENT_SACKED));
    if (s->flags & TCP_SENT_TIMED) {
        rest->older = i;
        s->later = r;
        if (rest->later)
            tcp_sent_of(core, rest->later)->older = r;
        else
            f->latest = r;
    }
    return true;
}

void tcp_sent_join(struct tcp_core *core, struct tcp_conn *c, uint32_t i, uint32_t max) {
    struct tcp_sent *s = tcp_sent_of(core, i);
    struct tcp_flight *f = tcp_flight_of(core, c);
    for (uint32_t n; (s->flags & TCP_SENT_LOST) && (n = s->next) != 0;) {
        const struct tcp_sent *next = tcp_sent_of(core, n);
        if (!(next->flags & TCP_SENT_LOST) || s->len + (uint32_t)next->len > max + !!(next->flags & TCP_SENT_FIN))
            return;
        s->len = (uint16_t)(s->len + next->len);
        s->flags |= next->flags & TCP_SENT_FIN;
        s->times = RTE_MAX(s->times, next->times);
        s->next = next->next;
        if (c->seg_tail == n)
            c->seg_tail = i;
        c->sent_count--;
        forget_hints(f, n);
        pool_free(&core->sents, n);
    }
}

void tcp_sent_lost(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, uint32_t i) {
    struct tcp_sent *s = tcp_sent_of(core, i);
    if (s->flags & (TCP_SENT_LOST | TCP_SENT_SACKED))
        return;
    time_remove(core, f, s);
    if (s->flags & TCP_SENT_RESENT)
        f->resent -= s->len;
    s->flags = (uint8_t)((s->flags & ~TCP_SENT_RESENT) | TCP_SENT_LOST);
    f->lost += s->len;
    if (f->lost_hint && seq_lt(s->seq, tcp_sent_of(core, f->lost_hint)->seq))
        f->lost_hint = i;
    c->flags |= TCP_F_RESEND;
}

/* What has been delivered pays for the search of what comes next. */
static void pay_sack_steps(struct tcp_flight *f) {
    f->sack_steps = (uint16_t)weir_min_u32(f->sack_steps + TCP_SACK_STEPS_A_RECORD, TCP_SACK_STEPS_MAX);
}

static void leave_sums(struct tcp_flight *f, const struct tcp_sent *s, uint32_t bytes) {
    if (s->flags & TCP_SENT_LOST)
        f->lost -= bytes;
    if (s->flags & TCP_SENT_RESENT)
        f->resent -= bytes;
    if (s->flags & TCP_SENT_SACKED)
        f->sacked -= bytes;
}

void tcp_sent_sacked(struct tcp_core *core, struct tcp_flight *f, uint32_t i) {
    struct tcp_sent *s = tcp_sent_of(core, i);
    time_remove(core, f, s);
    leave_sums(f, s, s->len);
    s->flags = (uint8_t)((s->flags & ~(TCP_SENT_LOST | TCP_SENT_RESENT)) | TCP_SENT_SACKED);
    s->later = 0;
    f->sacked += s->len;
    f->n_sacked++;
    pay_sack_steps(f);
}

void tcp_sent_restore(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    uint32_t near = 0;
    for (uint32_t i = c->seg_head; i && f->lost; i = tcp_sent_of(core, i)->next) {
        struct tcp_sent *s = tcp_sent_of(core, i);
        if (!(s->flags & TCP_SENT_LOST))
            continue;
        s->flags &= (uint8_t)~TCP_SENT_LOST;
        f->lost -= s->len;
        time_insert(core, f, i, near);
        near = i;
    }
}

void tcp_sent_forget_sacks(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    for (uint32_t i = c->seg_head; i && f->n_sacked; i = tcp_sent_of(core, i)->next) {
        struct tcp_sent *s = tcp_sent_of(core, i);
        if (!(s->flags & TCP_SENT_SACKED))
            continue;
        s->flags = (uint8_t)((s->flags & ~TCP_SENT_SACKED) | TCP_SENT_LOST);
        f->sacked -= s->len;
        f->lost += s->len;
        f->n_sacked--;
    }
    f->lost_hint = 0;
    f->fack = c->snd_una;
    c->flags |= f->lost ? TCP_F_RESEND : 0;
}

/* Round-trip times come from what was sent once (Karn), and not from what a SACK had reported before. */
static void measure(const struct tcp_core *core, const struct tcp_sent *s, struct tcp_news *news) {
    if (s->times != 1 || (s->flags & TCP_SENT_SACKED))
        return;
    news->rtt_us = weir_max_u32((uint32_t)core->now_us - s->sent_us, 1);
    if (!news->rtt_max_us)
        news->rtt_max_us = news->rtt_us;
}

/* The record at the head is wholly acknowledged. */
static void head_delivered(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_opts *opts,
                           struct tcp_news *news) {
    struct tcp_sent *s = tcp_sent_of(core, c->seg_head);
    if (!(s->flags & TCP_SENT_SACKED)) {
        news->delivered += s->len;
        news->probed |= s->flags & TCP_SENT_PROBE ? s->len : 0;
        tcp_rack_delivered(core, c, f, s, opts);
        pay_sack_steps(f);
    }
    time_remove(core, f, s);
    leave_sums(f, s, s->len);
    f->n_sacked = (uint16_t)(f->n_sacked - !!(s->flags & TCP_SENT_SACKED));
    forget_hints(f, c->seg_head);
}

/* Its bytes below `ack` are acknowledged. */
static void head_cut(struct tcp_flight *f, struct tcp_sent *s, uint32_t ack, struct tcp_news *news) {
    uint32_t part = ack - s->seq;
    news->delivered += s->flags & TCP_SENT_SACKED ? 0 : part;
    if (f)
        leave_sums(f, s, part);
    s->seq = ack;
    s->len = (uint16_t)(s->len - part);
}

void tcp_sent_acked(struct tcp_core *core, struct tcp_conn *c, uint32_t ack, const struct tcp_opts *opts,
                    struct tcp_news *news) {
    struct tcp_flight *f = tcp_flight_of(core, c);
    bool again = false;
    if (f && seq_lt(f->rope_seq, ack))
        f->rope_hint = NULL; /* its mbuf goes */
    while (c->seg_head && seq_lt(tcp_sent_of(core, c->seg_head)->seq, ack)) {
        struct tcp_sent *s = tcp_sent_of(core, c->seg_head);
        again |= s->times > 1;
        if (seq_lt(ack, tcp_sent_end(s))) {
            head_cut(f, s, ack, news);
            break;
        }
        measure(core, s, news);
        if (f)
            head_delivered(core, c, f, opts, news);
        else
            news->delivered += s->len;
        free_head(core, c);
    }
    if (again) /* what was sent once may have waited behind it, at a peer without SACK */
        news->rtt_us = news->rtt_max_us = 0;
}

uint32_t tcp_sent_next_lost(struct tcp_core *core, const struct tcp_conn *c) {
    struct tcp_flight *f = tcp_flight_of(core, c);
    if (!f || !f->lost)
        return 0;
    uint32_t i = f->lost_hint ? f->lost_hint : c->seg_head;
    while (!(tcp_sent_of(core, i)->flags & TCP_SENT_LOST))
        i = tcp_sent_of(core, i)->next;
    return f->lost_hint = i;
}
