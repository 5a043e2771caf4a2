/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 6937: what may be sent for each ACK of a recovery. */
#include "loss_fixture.h"

static struct tcp_flight *f;

/* `n` segments are out, the window is to come down to half, and the head is lost. */
static void recovery(unsigned n) {
    open_flow(true);
    fly(n);
    f = tcp_flight_take(core, c);
    c->ssthresh = n / 2 * MSS;
    tcp_sent_lost(core, c, f, record(0));
    tcp_prr_start(c, f);
}

/* Segment i arrives. Returns how many may be sent for it; they count as sent. */
static unsigned arrives(unsigned i, bool good) {
    tcp_sent_sacked(core, f, record(i));
    tcp_prr_ack(core, c, f, MSS, good);
    uint32_t pipe = tcp_pipe(core, c);
    unsigned n = c->cwnd > pipe ? (c->cwnd - pipe) / MSS : 0;
    f->prr_out += n * MSS;
    return n;
}

Test(tcp_prr, every_second_ack_sends) {
    recovery(20);
    cr_assert_eq(f->recover_fs, 20 * MSS);
    cr_assert_eq(arrives(1, false), 1, "the fast retransmission leaves at once");
    for (unsigned i = 2; i < 9; i++)
        cr_assert_eq(arrives(i, false), i > 2 && i % 2 == 0, "segment %u: %u sent for %u that arrived", i, f->prr_out,
                     f->prr_delivered);
    cr_assert_eq(f->prr_out, 4 * MSS, "8 of 20 arrived: 4 of 10");
    harness_core_free(core);
}

/* So many are lost that the pipe lies below ssthresh: slow start takes it there, but not faster (3.1). */
Test(tcp_prr, bound_below_ssthresh) {
    recovery(20);
    for (unsigned i = 1; i < 15; i++)
        tcp_sent_lost(core, c, f, record(i));
    cr_assert_eq(tcp_pipe(core, c), 5 * MSS);
    cr_assert_eq(arrives(15, false), 1, "conservative: what was delivered");
    cr_assert_eq(arrives(16, false), 1);
    cr_assert_eq(arrives(17, true), 2, "no further loss: one more");
    harness_core_free(core);
}

Test(tcp_prr, never_beyond_ssthresh) {
    recovery(20);
    for (unsigned i = 1; i < 11; i++)
        tcp_sent_lost(core, c, f, record(i));
    tcp_prr_ack(core, c, f, 8 * MSS, true);
    cr_assert_eq(c->cwnd, c->ssthresh, "9 are out, so one more and not eight");
    tcp_prr_ack(core, c, f, 0, false);
    cr_assert_geq(c->cwnd, MSS);
    harness_core_free(core);
}
