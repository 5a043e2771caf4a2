/* SPDX-License-Identifier: BSD-3-Clause */
/* Conditions from a seed. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

static uint32_t between(struct sim_rng *r, uint32_t low, uint32_t high) {
    return low + sim_rng_below(r, high - low + 1);
}

static bool once_in(struct sim_rng *r, uint32_t n) {
    return sim_rng_below(r, n) == 0;
}

void sim_setup_fault(struct sim_setup *s, enum sim_fault_kind kind, uint64_t from_us, uint64_t for_us,
                     uint32_t target) {
    if (s->n_faults < SIM_MAX_FAULTS)
        s->faults[s->n_faults++] =
            (struct sim_fault){.kind = kind, .from_us = from_us, .to_us = from_us + for_us, .target = target};
}

void sim_setup_default(struct sim_setup *s, uint64_t seed) {
    *s = (struct sim_setup){.seed = seed,
                            .n_workers = 2,
                            .n_queues = 2,
                            .n_servers = 3,
                            .multi_seg = true,
                            .policy = "client-id",
                            .link = {.delay_us = 300, .reorder_us = 1000},
                            .n_clients = 24,
                            .rounds = 2,
                            .messages = 20,
                            .message_bytes = 20000,
                            .bulk_bytes = 100000,
                            .spread_us = SIM_SECOND,
                            .kinds = {[SIM_KIND_MQTT] = 1, [SIM_KIND_MQTTS] = 1},
                            .endings = {[SIM_END_ORDERLY] = 1},
                            .manners = {[SIM_MANNER_GOOD] = 1}};
}

static void draw_wire(struct sim_setup *s, struct sim_rng *r) {
    static const uint32_t rates[] = {0, 0, 2000, 10000, 30000};
    s->link.delay_us = between(r, 20, 3000);
    s->link.reorder_us = between(r, 1, 3000);
    s->link.loss_ppm = rates[sim_rng_below(r, WEIR_ARRAY_LEN(rates))];
    s->link.dup_ppm = rates[sim_rng_below(r, WEIR_ARRAY_LEN(rates))];
    s->link.reorder_ppm = rates[sim_rng_below(r, WEIR_ARRAY_LEN(rates))];
    s->link.corrupt_ppm = rates[sim_rng_below(r, WEIR_ARRAY_LEN(rates) - 1)];
    if (once_in(r, 4)) {
        s->link.bytes_per_s = between(r, 1000000, 20000000);
        s->link.queue_bytes = between(r, 20000, 200000);
    }
    s->multi_seg = !once_in(r, 3);
    s->hw_cksum = once_in(r, 3);
    s->hold_tx = once_in(r, 2);
}

static void draw_shape(struct sim_setup *s, struct sim_rng *r) {
    s->n_workers = once_in(r, 4) ? 1 : 2;
    s->n_queues = s->n_workers == 2 && once_in(r, 4) ? 1 : s->n_workers;
    s->steered = s->n_queues == 2 && once_in(r, 3);
    s->per_packet = !s->steered && once_in(r, 4);
    s->n_servers = (uint16_t)between(r, 2, SIM_MAX_SERVERS);
    s->proxy_protocol = once_in(r, 4) ? (uint8_t)between(r, 1, 2) : 0;
    s->policy = once_in(r, 4) ? "round-robin" : "client-id";
    if (once_in(r, 3))
        s->ring_slots = 32;
    if (once_in(r, 5))
        s->pairs = between(r, 2, 12);
    if (once_in(r, 3))
        s->handshakes = between(r, 1, 3);
    s->handshake_core = once_in(r, 3);
    s->n_clients = between(r, 8, 60);
    s->messages = between(r, 1, 40);
    s->message_bytes = once_in(r, 3) ? 100000 : 3000;
    s->bulk_bytes = once_in(r, 3) ? 400000 : 40000;
    s->rounds = 3;
    s->spread_us = between(r, 0, 3000000);
}

static void draw_company(struct sim_setup *s, struct sim_rng *r) {
    static const uint32_t kinds[SIM_KIND_COUNT] = {6, 8, 3, 3, 2, 2, 1, 1, 1};
    static const uint32_t endings[SIM_END_COUNT] = {10, 2, 2, 2, 2, 2};
    memcpy(s->kinds, kinds, sizeof(kinds));
    if (!once_in(r, 4))
        memcpy(s->endings, endings, sizeof(endings));
    if (once_in(r, 3)) {
        static const uint32_t manners[SIM_MANNER_COUNT] = {20, 0, 3, 3, 3, 2, 4, 1, 0};
        memcpy(s->manners, manners, sizeof(manners));
        if (once_in(r, 3))
            s->manners[SIM_MANNER_RESET_AT_ONCE] = 2;
    }
}

/* Which kinds come in a run is drawn first, so that many runs have none that excuses failure. */
static void draw_faults(struct sim_setup *s, struct sim_rng *r) {
    static const uint32_t longest_us[SIM_FAULT_COUNT] = {400000,   400000,  300000,  2000000, 6000000,
                                                         20000000, 2000000, 6000000, 6000000};
    static const uint32_t odds[SIM_FAULT_COUNT] = {2, 3, 3, 6, 4, 8, 4, 4, 3};
    s->n_faults = 0;
    for (unsigned k = 0; k < SIM_FAULT_COUNT; k++) {
        bool of_tls = k == SIM_FAULT_SERVER_STALLS || k == SIM_FAULT_SERVER_WRONG;
        if ((of_tls && !s->server_tls) || !once_in(r, odds[k]))
            continue;
        for (uint32_t n = between(r, 1, 6); n > 0; n--) {
            uint32_t from_us = sim_rng_below(r, s->spread_us + 2000000), target = sim_rng_below(r, 1000);
            sim_setup_fault(s, k, from_us, between(r, 1000, longest_us[k]), target);
        }
    }
}

static void draw_server_tls(struct sim_setup *s, struct sim_rng *r) {
    s->server_tls = once_in(r, 2);
    s->server_asks = s->server_tls && once_in(r, 2);
    if (s->server_tls && s->manners[SIM_MANNER_RESET] != 0)
        s->manners[SIM_MANNER_CUT] = 3;
}

void sim_setup_draw(struct sim_setup *s, uint64_t seed) {
    struct sim_rng r;
    sim_rng_seed(&r, seed * 0x9e3779b97f4a7c15ull + 1);
    sim_setup_default(s, seed);
    draw_wire(s, &r);
    draw_shape(s, &r);
    draw_company(s, &r);
    draw_server_tls(s, &r);
    draw_faults(s, &r);
}

void sim_setup_print(const struct sim_setup *s, char *text, size_t room) {
    int n = snprintf(
        text, room,
        "%u worker%s, %u queue%s%s%s, %u servers%s%s, %u clients, %u messages of %u, bulk %u; loss %u dup %u "
        "reorder %u corrupt %u ppm, %u us, %lu B/s;%s%s%s%s pairs %u, handshakes %u, ring %u, PROXY %u, %s%s;",
        s->n_workers, s->n_workers > 1 ? "s" : "", s->n_queues, s->n_queues > 1 ? "s" : "",
        s->steered ? " steered" : "", s->per_packet ? " per packet" : "", s->n_servers, s->server_tls ? " of TLS" : "",
        s->server_asks ? " that ask" : "", s->n_clients, s->messages, s->message_bytes, s->bulk_bytes, s->link.loss_ppm,
        s->link.dup_ppm, s->link.reorder_ppm, s->link.corrupt_ppm, s->link.delay_us, (unsigned long)s->link.bytes_per_s,
        s->handshake_core ? " handshake core" : "", s->multi_seg ? " chains" : "", s->hw_cksum ? " offload" : "",
        s->hold_tx ? " hold" : "", s->pairs, s->handshakes, s->ring_slots, s->proxy_protocol, s->policy,
        s->manners[SIM_MANNER_RESET] ? ", bad servers" : "");
    static const char *const names[] = {
#define X(name) #name,
        SIM_FAULTS(X)
#undef X
    };
    for (unsigned k = 0; k < SIM_FAULT_COUNT && n > 0 && (size_t)n < room; k++) {
        unsigned count = 0;
        for (uint32_t i = 0; i < s->n_faults; i++)
            count += s->faults[i].kind == k;
        if (count != 0)
            n += snprintf(text + n, room - (size_t)n, " %u %s", count, names[k]);
    }
}
