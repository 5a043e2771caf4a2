/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP errors about our segments (RFC 5927): believed only where the quoted sequence number is outstanding. */
#include "tcp_int.h"

enum {
    ICMP_UNREACHABLE = 3,
    UNREACH_PROTOCOL = 2,
    UNREACH_PORT = 3,
    UNREACH_FRAG = 4,
    UNREACH_ADMIN_NET = 9,
    UNREACH_ADMIN_HOST = 10,
    UNREACH_ADMIN = 13
};

/* RFC 1191: smaller segments from here on, and what was too large once more. RFC 5927 7.2: never below a floor, and
 * never up. */
static void lower_mss(struct tcp_core *core, struct tcp_conn *c, uint16_t mtu) {
    uint32_t overhead = TCP_HEADERS + (c->flags & TCP_F_TS ? TCP_OPT_TS_BYTES : 0);
    uint32_t mss = weir_max_u32(mtu, TCP_PATH_MTU_MIN) - overhead; /* 0 from routers before RFC 1191: the floor */
    if (mss >= c->mss)
        return;
    c->mss = (uint16_t)mss;
    c->cwnd = weir_max_u32(c->cwnd, mss);
    if (!tcp_synchronised(c))
        return;
    c->recover = c->snd_max;
    c->flags = (c->flags & ~(TCP_F_RECOVERY | TCP_F_TIMED)) | TCP_F_LOSS;
    tcp_snd_rewind(c);
    tcp_pending(core, c);
}

void tcp_icmp_error(struct tcp_core *core, const struct icmp_error *err, uint64_t now_us) {
    core->now_us = now_us;
    struct flow_key key = {err->remote_addr_be,
                           err->local_addr_be,
                           err->remote_port_be,
                           err->local_port_be,
                           FLOW_FAMILY_IP4,
                           IPPROTO_TCP,
                           0};
    tcp_id id = flow_table_find(&core->table, &key);
    if (!id)
        return;
    struct tcp_conn *c = tcp_conn_of(core, id);
    if (seq_lt(err->tcp_seq, c->snd_una) || !seq_lt(err->tcp_seq, c->snd_max) || err->type != ICMP_UNREACHABLE)
        return;
    if (err->code == UNREACH_FRAG) {
        lower_mss(core, c, err->next_hop_mtu);
        return;
    }
    bool hard = err->code == UNREACH_PROTOCOL || err->code == UNREACH_PORT || err->code == UNREACH_ADMIN_NET ||
                err->code == UNREACH_ADMIN_HOST || err->code == UNREACH_ADMIN;
    if (hard && !tcp_synchronised(c)) /* once established they are soft: the RTO decides (RFC 5927 5.2) */
        tcp_conn_over(core, c, TCP_END_UNREACHABLE);
}
