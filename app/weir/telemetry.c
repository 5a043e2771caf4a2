/* SPDX-License-Identifier: BSD-3-Clause */
/* /weir/... of DPDK telemetry (dpdk-telemetry.py): the walk, a part a command, "metric/label/label" to value. Figures
 * that are zero are left out, for a dictionary holds 256 entries; values are whole numbers, so seconds become
 * microseconds. */
#include "control_int.h"

#include <ctype.h>
#include <pthread.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <string.h>

/* Telemetry's callbacks carry no context, and its threads live on while weir goes down: the lock keeps a walk and the
 * end of what it walks over apart. */
static struct {
    pthread_mutex_t lock;
    const struct control *control; /* NULL: not there (yet, any more) */
} telemetry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *command, *prefix, *help;
} parts[] = {
    {"/weir/ports", "weir_port_", "Packets, bytes and errors by port"},
    {"/weir/workers", "weir_worker_", "Turns, busy and idle time by worker"},
    {"/weir/cycles", "weir_worker_stage_", "Cycles of measured turns by stage and worker"},
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
    size_t part;
};

/* Where a metric belongs: the part with the longest prefix of its name. */
static size_t part_of(const char *name) {
    size_t best = WEIR_ARRAY_LEN(parts), longest = 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++) {
        size_t n = strlen(parts[i].prefix);
        if (n > longest && strncmp(name, parts[i].prefix, n) == 0) {
            best = i;
            longest = n;
        }
    }
    return best;
}

/* "weir_worker_busy_seconds_total" to "worker_busy_microseconds_total". Returns the factor that belongs to it. */
static double metric_key(const char *name, char *key, size_t size) {
    static const char unit[] = "_seconds";
    const char *from = name + strlen("weir_"), *seconds = strstr(name, unit);
    if (seconds == NULL) {
        snprintf(key, size, "%s", from);
        return 1;
    }
    snprintf(key, size, "%.*s_microseconds%s", (int)(seconds - from), from, seconds + strlen(unit));
    return 1e6;
}

static void part_sample(void *ctx, const struct stats_sample *s) {
    struct part_walk *p = ctx;
    char key[RTE_TEL_MAX_STRING_LEN];
    if (part_of(s->name) != p->part || s->value <= 0)
        return;
    double factor = metric_key(s->name, key, sizeof(key));
    size_t n = strlen(key);
    for (uint8_t i = 0; i < s->n_labels && n < sizeof(key); i++)
        n += (size_t)snprintf(key + n, sizeof(key) - n, "/%s", s->labels[i].value);
    /* Telemetry takes only letters, digits, '_' and '/' in names. */
    for (char *k = key; *k != '\0'; k++)
        if (!isalnum((unsigned char)*k) && *k != '/')
            *k = '_';
    rte_tel_data_add_dict_u64(p->data, key, (uint64_t)(s->value * factor));
}

static int part_answer(const char *command, const char *params, struct rte_tel_data *data) {
    (void)params;
    rte_tel_data_start_dict(data);
    pthread_mutex_lock(&telemetry.lock);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts) && telemetry.control != NULL; i++) {
        struct part_walk p = {data, i};
        if (strcmp(command, parts[i].command) == 0)
            stats_walk(&telemetry.control->source, part_sample, &p);
    }
    pthread_mutex_unlock(&telemetry.lock);
    return 0;
}

static void telemetry_set(const struct control *c) {
    pthread_mutex_lock(&telemetry.lock);
    telemetry.control = c;
    pthread_mutex_unlock(&telemetry.lock);
}

void telemetry_register(struct control *c) {
    telemetry_set(c);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(parts); i++)
        rte_telemetry_register_cmd(parts[i].command, part_answer, parts[i].help);
}

void telemetry_unregister(void) {
    telemetry_set(NULL);
}
