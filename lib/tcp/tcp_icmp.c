/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP errors about our segments (RFC 5927). Anybody can send one, so it is believed only where it quotes a flow of
 * ours and a sequence number that is outstanding (4.1), and nothing it says ends an established flow (5.2): RFC 1122
 * 4.2.3.9 wants hard errors to, but a peer that is really gone is found by the timers. Source quench and time exceeded
 * change nothing (RFC 6633, RFC 1122). */
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

static bool is_hard(const struct icmp_error *err) {
    return err->type == ICMP_UNREACHABLE &&
           (err->code == UNREACH_PROTOCOL || err->code == UNREACH_PORT || err->code == UNREACH_ADMIN_NET ||
            err->code == UNREACH_ADMIN_HOST || err->code == UNREACH_ADMIN);
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
    struct tcp_conn *c = id ? tcp_conn_of(core, id) : NULL;
    if (!c || seq_lt(err->tcp_seq, c->snd_una) || !seq_lt(err->tcp_seq, c->snd_nxt)) {
        core->stats.icmp_ignored++;
        return;
    }
    if (err->type == ICMP_UNREACHABLE && err->code == UNREACH_FRAG)
        tcp_path_frag_needed(core, c, err->next_hop_mtu);
    else if (is_hard(err) && !tcp_synchronised(c))
        tcp_conn_over(core, c, TCP_END_UNREACHABLE);
}
