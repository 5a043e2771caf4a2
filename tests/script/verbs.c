/* SPDX-License-Identifier: BSD-3-Clause */
/* What a line does: segments, time, assertions, blocks, and the set-up of the stack under test. */
#include "script.h"

#include <string.h>

int name_of(struct world *w, const char *word, const char *what, const char *(*name)(int), int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(word, name(i)))
            return i;
    fail(w, "no such %s: %s", what, word);
}

/* --- set-up --- */

struct setting {
    const char *name;
    size_t offset, size;
};
#define OF(type, field)                                                                                                \
    { #field, offsetof(struct type, field), sizeof(((struct type *)0)->field) }
static const struct setting config_settings[] = {
    OF(tcp_config, max_conns),        OF(tcp_config, max_half_open),      OF(tcp_config, max_time_wait),
    OF(tcp_config, rcv_buf_bytes),    OF(tcp_config, snd_buf_bytes),      OF(tcp_config, rx_budget_mbufs),
    OF(tcp_config, tx_budget_mbufs),  OF(tcp_config, connect_timeout_ms), OF(tcp_config, half_open_timeout_ms),
    OF(tcp_config, user_timeout_ms),  OF(tcp_config, keepalive_idle_ms),  OF(tcp_config, keepalive_interval_ms),
    OF(tcp_config, keepalive_probes), OF(tcp_config, time_wait_ms),       OF(tcp_config, linger_ms),
};
static const struct setting port_settings[] = {OF(tcp_port, mtu), OF(tcp_port, multi_seg)};

static void set(struct world *w, const struct setting *table, size_t n, void *to, const char *name, int64_t value) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, table[i].name)) {
            memcpy((char *)to + table[i].offset, &value, table[i].size); /* little-endian, as DPDK's x86 */
            return;
        }
    fail(w, "no such setting: %s", name);
}

static void config(struct world *w, const struct line *l, unsigned at) {
    if (w->core)
        fail(w, "too late: the stack runs already");
    set(w, config_settings, WEIR_ARRAY_LEN(config_settings), &w->config, l->words[at], value_of(w, l->words[at + 1]));
}

static void port(struct world *w, const struct line *l, unsigned at) {
    set(w, port_settings, WEIR_ARRAY_LEN(port_settings), &w->port, l->words[at], value_of(w, l->words[at + 1]));
    *tcp_core_port(world_core(w), 0) = w->port;
    w->core->ports[0].pool = world_pool();
}

static void start(struct world *w, const struct line *l, unsigned at) {
    if (w->core)
        fail(w, "too late: the stack runs already");
    w->now_us = w->base_us = w->began_us = value_time(w, l->words[at]);
}

static void flow(struct world *w, const struct line *l, unsigned at) {
    int64_t n = value_of(w, l->words[at]);
    if (n < 0 || n >= (int64_t)SCRIPT_FLOWS)
        fail(w, "flows are 0 to %u", SCRIPT_FLOWS - 1);
    w->flow = (unsigned)n;
}

/* The peer's initial sequence number; what is 0 of ours is the next SYN that leaves. */
static void peer_isn(struct world *w, const struct line *l, unsigned at) {
    struct flow *f = world_flow(w);
    f->irs = (uint32_t)value_of(w, l->words[at]);
}

static void rebase(struct world *w, const struct line *l, unsigned at) {
    (void)l, (void)at;
    uint32_t irs = world_flow(w)->irs;
    *world_flow(w) = (struct flow){.irs = irs, .win = UINT16_MAX};
}

/* --- segments --- */

static void in(struct world *w, const struct line *l, unsigned at) {
    segment_in(w, l, at);
}

static void icmp(struct world *w, const struct line *l, unsigned at) {
    static const struct {
        const char *name;
        uint8_t code;
    } codes[] = {{"net", 0}, {"host", 1}, {"protocol", 2}, {"port", 3}, {"frag", 4}, {"admin", 13}};
    struct icmp_error e = {.type = 3,
                           .local_addr_be = SCRIPT_LOCAL,
                           .remote_addr_be = SCRIPT_REMOTE,
                           .local_port_be = RTE_BE16(SCRIPT_PORT),
                           .remote_port_be = rte_cpu_to_be_16((uint16_t)(SCRIPT_PEER_PORT + w->flow))};
    size_t i = 0;
    while (i < WEIR_ARRAY_LEN(codes) && strcmp(l->words[at], codes[i].name))
        i++;
    if (i == WEIR_ARRAY_LEN(codes))
        fail(w, "no such ICMP error: %s", l->words[at]);
    e.code = codes[i].code;
    e.tcp_seq = value_seq(w, l->words[at + 1], world_flow(w)->iss);
    if (at + 2 < l->n)
        e.next_hop_mtu = (uint16_t)value_of(w, l->words[at + 2]);
    trace(w, "icmp %s about %s", l->words[at], l->words[at + 1]);
    tcp_icmp_error(world_core(w), &e, w->now_us);
    world_turn(w);
}

/* --- time --- */

static void quiet(struct world *w, const struct line *l, unsigned at) {
    world_run(w, w->now_us + value_time(w, l->words[at]), true);
    world_nothing_left(w, "the end of this time");
}

static void skip(struct world *w, const struct line *l, unsigned at) {
    uint64_t until = w->now_us + (at < l->n ? value_time(w, l->words[at]) : 0);
    for (w->queued = 0; w->now_us < until; w->queued = 0)
        world_run(w, until, true);
}

/* The clock leaps: for days, in which nothing is due. */
static void jump(struct world *w, const struct line *l, unsigned at) {
    w->now_us += value_time(w, l->words[at]);
    tcp_timers(world_core(w), w->now_us);
    world_turn(w);
}

/* --- assertions --- */

static void assert_(struct world *w, const struct line *l, unsigned at) {
    int64_t left = value_of(w, l->words[at]), right = value_of(w, l->words[at + 2]);
    if (!value_holds(w, left, l->words[at + 1], right))
        fail(w, "%s is %lld, and should be %s %lld", l->words[at], (long long)left, l->words[at + 1], (long long)right);
}

static void state(struct world *w, const struct line *l, unsigned at) {
    tcp_id id = world_conn(w);
    const char *is = id ? tcp_state_name(tcp_conn_state(w->core, id)) : "gone";
    if (strcmp(is, l->words[at]))
        fail(w, "the state is %s, and should be %s", is, l->words[at]);
}

static void let(struct world *w, const struct line *l, unsigned at) {
    value_let(w, l->words[at], value_of(w, l->words[at + 2]));
}

static const struct verb verbs[] = {
    {"config", config, 2, 2, false},
    {"port", port, 2, 2, false},
    {"start", start, 1, 1, false},
    {"flow", flow, 1, 1, true},
    {"peer_isn", peer_isn, 1, 1, false},
    {"rebase", rebase, 0, 0, false},
    {"in", in, 2, 40, false},
    {"icmp", icmp, 2, 3, false},
    {"quiet", quiet, 1, 1, false},
    {"skip", skip, 0, 1, true},
    {"jump", jump, 1, 1, false},
    {"assert", assert_, 3, 3, true},
    {"state", state, 1, 1, true},
    {"let", let, 3, 3, true},
    {0},
};

/* --- one line --- */

static const struct verb *find(const struct verb *table, const char *name) {
    for (; table->name; table++)
        if (!strcmp(table->name, name))
            return table;
    return NULL;
}

/* "+40": about then; "+40..60": between. Microseconds after the line before. */
struct when {
    bool given, range;
    uint64_t from_us, to_us;
};

static struct when when_of(struct world *w, const char *word) {
    char text[64];
    struct when t = {0};
    if (*word != '+')
        return t;
    snprintf(text, sizeof text, "%s", word + 1);
    char *dots = strstr(text, "..");
    t.given = true;
    t.range = dots != NULL;
    if (dots)
        *dots = '\0';
    t.from_us = t.to_us = value_time(w, text);
    if (dots)
        t.to_us = value_time(w, dots + 2);
    return t;
}

/* Timers tick once a millisecond and never early: "+40" is met from 39 to 42. */
#define EARLY_US 1000u
#define LATE_US  2000u

static void out(struct world *w, const struct line *l, unsigned at, const struct when *t) {
    bool about = t->given && !t->range && t->from_us;
    uint64_t from = w->base_us + t->from_us - (about ? EARLY_US : 0);
    uint64_t to = w->base_us + t->to_us + (about ? LATE_US : 0);
    world_run(w, to, true);
    if (!w->queued)
        fail(w, "nothing left within %.1f ms", (double)(to - w->base_us) / 1000);
    if (w->queue[0].at_us < from) {
        char text[256];
        segment_print(w, &w->queue[0], text, sizeof text);
        fail(w, "%.1f ms too early: %s", (double)(from - w->queue[0].at_us) / 1000, text);
    }
    segment_out(w, l, at);
}

static void plain(struct world *w, const struct line *l, unsigned at, const struct when *t) {
    const struct verb *v = find(verbs, l->words[at]);
    if (!v)
        v = find(owner_verbs, l->words[at]);
    if (!v)
        fail(w, "no such verb: %s", l->words[at]);
    unsigned arguments = l->n - at - 1;
    if (arguments < v->least || arguments > v->most)
        fail(w, "%s takes %u to %u arguments", v->name, v->least, v->most);
    if (t->given)
        world_run(w, w->base_us + t->from_us, false);
    if (!v->looks && !w->together)
        world_nothing_left(w, v->name);
    v->run(w, l, at + 1);
}

static void repeat(struct world *w, const struct text *t, const struct line *l, unsigned index) {
    int64_t times = value_of(w, l->words[1]);
    for (int64_t i = 0; i < times; i++) {
        value_let(w, "i", i);
        run_lines(w, t, index + 1, l->end);
    }
}

static void together(struct world *w, const struct text *t, const struct line *l, unsigned index) {
    w->together = true;
    run_lines(w, t, index + 1, l->end);
    w->together = false;
    world_flush_burst(w);
}

void verb_run(struct world *w, const struct text *t, unsigned *index) {
    const struct line *l = &t->lines[*index];
    w->line = l;
    w->text = t;
    if (!strcmp(l->words[0], "repeat") && l->n == 2) {
        repeat(w, t, l, *index);
        *index = l->end;
    } else if (!strcmp(l->words[0], "together") && l->n == 1) {
        together(w, t, l, *index);
        *index = l->end;
    } else {
        struct when when = when_of(w, l->words[0]);
        unsigned at = when.given;
        if (at == l->n)
            fail(w, "a time without a verb");
        if (!strcmp(l->words[at], "out"))
            out(w, l, at + 1, &when);
        else
            plain(w, l, at, &when);
        w->base_us = w->now_us;
    }
}
