/* SPDX-License-Identifier: BSD-3-Clause */
/* /weir/... of DPDK telemetry (dpdk-telemetry.py): the walk, a part a command, "metric{labels}" to value. Figures that are
 * zero are left out: a dictionary holds 256 entries. */
#include "control_int.h"

#include <rte_telemetry.h>
#include <stdio.h>
#include <string.h>

/* Telemetry's callbacks carry no context. Set before they are registered, cleared at exit. */
static const struct control *telemetry_control;

static const struct {
    const char *command, *prefix, *help;
} parts[] = {
    {"/weir/ports", "weir_port_", "Packets, bytes and errors by port"},
    {"/weir/workers", "weir_worker_", "Turns, busy and idle time by worker"},
    {"/weir/drops", "weir_drops_", "Discarded packets and refused connections by layer and reason"},
    {"/weir/listeners", "weir_listener_", "Connections by listener"},
    {"/weir/servers", "weir_server_", "Connections and state by server"},
    {"/weir/tcp", "weir_tcp_", "TCP counters"},
    {"/weir/tls", "weir_tls_", "TLS counters"},
    {"/weir/mqtt", "weir_mqtt_", "MQTT packets by type"},
    {"/weir/memory", "weir_memory_", "Memory by pool"},
    {"/weir/mbufs", "weir_mbufs", "mbufs by pool"},
};

struct part_walk {
    struct rte_tel_data *data;
    const char *prefix;
};

static void part_sample(void *ctx, const struct stats_sample *s) {
    struct part_walk *p = ctx;
    char key[RTE_TEL_MAX_STRING_LEN / 2 + 1];
    size_t skip = strlen("weir_");
    if (strncmp(s->name, p->prefix, strlen(p->prefix)) != 0 || s->value <= 0)
        return;
    int n = snprintf(key, sizeof(key), "%s", s->name + skip);
    for (uint8_t i = 0; i < s->n_labels && n > 0 && (size_t)n < sizeof(key); i++)
        n += snprintf(key + n, sizeof(key) - (size_t)n, ".%s", s->labels[i].value);
    /* Telemetry takes only letters, digits, '_', '/', '.' and a few more in names. */
    for (char *k = key; *k != '\0'; k++)
        if (strchr(" :\"{}", *k) != NULL)
            *k = '_';
    rte_tel_data_add_dict_u64(p->data, key, (uint64_t)s->value);
}

static int part_answer(const char *command, const char *params, struct rte_tel_data *data) {
    (void)params;
    rte_tel_data_start_dict(data);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++) {
        if (strcmp(command, parts[i].command) != 0 || telemetry_control == NULL)
            continue;
        struct part_walk p = {data, parts[i].prefix};
        stats_walk(&telemetry_control->source, part_sample, &p);
    }
    return 0;
}

void telemetry_register(struct control *c) {
    telemetry_control = c;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++)
        rte_telemetry_register_cmd(parts[i].command, part_answer, parts[i].help);
}

void telemetry_unregister(void) {
    telemetry_control = NULL;
}
