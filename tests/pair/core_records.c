/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of what a flow has outstanding, against its numbers and the sums of its struct tcp_flight. */
#include "core_check.h"

#include "tcp/tcp_int.h"

#define WRONG(format, ...)                                                                                             \
    core_fault_say(f, "flow %u %s: " format, tcp_id_of(core, c), tcp_state_name((enum tcp_state)c->state), __VA_ARGS__)

/* What the records add up to. */
struct record_sums {
    uint32_t n, sacked, lost, resent, n_sacked, timed;
};

/* SYN, payload and FIN from SND.UNA to SND.NXT without gap or overlap; each in at most one of SACKed, lost, sent again.
 */
static bool by_number(const struct tcp_core *core, const struct tcp_conn *c, struct record_sums *sums,
                      struct core_fault *f) {
    uint32_t at = c->snd_una, last = 0;
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        uint8_t state = s->flags & (TCP_SENT_SACKED | TCP_SENT_LOST | TCP_SENT_RESENT);
        if (s->seq != at || !s->len || !s->times)
            return WRONG("record %u+%u sent %u times, where %u is next", s->seq, s->len, s->times, at);
        if ((state & TCP_SENT_LOST) && (state & ~TCP_SENT_LOST))
            return WRONG("record %u is lost, and more: 0x%x", s->seq, s->flags);
        if ((state & TCP_SENT_SACKED) && (state & ~TCP_SENT_SACKED))
            return WRONG("record %u is SACKed, and more: 0x%x", s->seq, s->flags);
        if (state && !c->flight && !(state == TCP_SENT_RESENT))
            return WRONG("record %u has flags 0x%x, and the flow no sums", s->seq, s->flags);
        if (tcp_synchronised(c) && (s->flags & TCP_SENT_FIN) && (s->next || !(c->flags & TCP_F_FIN_SENT)))
            return WRONG("record %u says FIN", s->seq);
        sums->n++;
        sums->sacked += state & TCP_SENT_SACKED ? s->len : 0;
        sums->n_sacked += !!(state & TCP_SENT_SACKED);
        sums->lost += state & TCP_SENT_LOST ? s->len : 0;
        sums->resent += state & TCP_SENT_RESENT ? s->len : 0;
        sums->timed += !!(s->flags & TCP_SENT_TIMED);
        if (c->flight && !!(s->flags & TCP_SENT_TIMED) != !(state & (TCP_SENT_SACKED | TCP_SENT_LOST)))
            return WRONG("record %u is wrongly in or out of the list by time: 0x%x", s->seq, s->flags);
        at = tcp_sent_end(s);
        last = i;
    }
    if (at != c->snd_nxt)
        return WRONG("records end at %u, SND.NXT is %u", at, c->snd_nxt);
    if (last != c->seg_tail || sums->n != c->sent_count)
        return WRONG("%u records, the flow counts %u; tail %u, %u", sums->n, c->sent_count, last, c->seg_tail);
    return true;
}

/* The same records by time of departure, those that are neither SACKed nor lost; both directions agree. */
static bool by_time(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_flight *flight, uint32_t n,
                    struct core_fault *f) {
    uint32_t older = 0, met = 0;
    for (uint32_t i = flight->oldest; i && met <= n; i = tcp_sent_of(core, i)->later, met++) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        if (s->older != older || !(s->flags & TCP_SENT_TIMED))
            return WRONG("record %u in the list by time: older %u (%u), flags 0x%x", s->seq, s->older, older, s->flags);
        if (older && seq_lt(s->sent_us, tcp_sent_of(core, older)->sent_us))
            return WRONG("record %u left before the one in front of it in the list by time", s->seq);
        older = i;
    }
    if (met != n || older != flight->latest)
        return WRONG("%u records in the list by time, %u say so", met, n);
    return true;
}

static bool hints(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_flight *flight,
                  struct core_fault *f) {
    bool lost_found = !flight->lost_hint, sack_found = !flight->sack_hint;
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next) {
        if (!lost_found && i != flight->lost_hint && (tcp_sent_of(core, i)->flags & TCP_SENT_LOST))
            return WRONG("record %u is lost, before the first lost one", tcp_sent_of(core, i)->seq);
        lost_found |= i == flight->lost_hint;
        sack_found |= i == flight->sack_hint;
    }
    return lost_found && sack_found ? true : WRONG("%s", "a hint that is no record of the flow");
}

bool core_check_records(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    struct record_sums sums = {0};
    if (c->state == TCP_TIME_WAIT || c->state == TCP_CLOSED)
        return c->flight || c->sent_count ? WRONG("%s", "over, but has records") : true;
    if (!by_number(core, c, &sums, f))
        return false;
    const struct tcp_flight *flight = tcp_flight_of(core, c);
    if (!flight)
        return sums.timed ? WRONG("%u records in a list by time that does not exist", sums.timed) : true;
    /* Without SACK duplicate ACKs say how much has arrived, and not what. */
    bool sacked = c->flags & TCP_F_SACK ? flight->sacked == sums.sacked : flight->sacked <= c->snd_nxt - c->snd_una;
    if (!sacked || flight->n_sacked != sums.n_sacked || flight->lost != sums.lost || flight->resent != sums.resent)
        return WRONG("SACKed %u (%u) in %u (%u), lost %u (%u), resent %u (%u)", flight->sacked, sums.sacked,
                     flight->n_sacked, sums.n_sacked, flight->lost, sums.lost, flight->resent, sums.resent);
    return by_time(core, c, flight, sums.timed, f) && hints(core, c, flight, f);
}
