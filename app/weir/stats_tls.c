/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats_int.h"

#include <time.h>

/* Times of handshakes: waits in microseconds, steps of the engine in cycles. */
static void walk_handshakes(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_GAUGE(struct tls_stats, handshakes_waiting, "weir_tls_handshakes_waiting",
                   "Handshakes that wait for their turn."),
        WALK_GAUGE(struct tls_stats, handshakes_begun, "weir_tls_handshakes_begun",
                   "ClientHellos with the handshake engine, or about to be."),
        WALK_GAUGE(struct tls_stats, handshakes_answered, "weir_tls_handshakes_answered",
                   "Handshakes that were answered once, and are not over."),
        WALK_GAUGE(struct tls_stats, identities, "weir_tls_identities",
                   "Connections of whose client more is known than keys."),
        WALK_GAUGE(struct tls_stats, identity_bytes, "weir_tls_identity_bytes", "Memory of what is known of clients."),
        WALK_GAUGE(struct tls_stats, ssl_objects, "weir_tls_ssl_objects", "SSL objects of handshakes under way."),
        WALK_GAUGE(struct tls_stats, conns, "weir_tls_connections", "TLS states in use."),
#define X(name, help) WALK_COUNTER(struct tls_stats, name, "weir_tls_" #name "_total", help),
        TLS_COUNTERS(X)
#undef X
    };
    static const struct walk_field waits[] = {
        WALK_COUNTER(struct tls_stats, handshakes_wait_us, "weir_tls_handshake_wait_seconds_total",
                     "Time that handshakes waited for their turn, in sum."),
        WALK_GAUGE(struct tls_stats, handshake_longest_wait_us, "weir_tls_handshake_longest_wait_seconds",
                   "Longest wait so far."),
    };
    static const struct walk_field steps[] = {
        WALK_COUNTER(struct tls_stats, handshake_step_tsc, "weir_tls_handshake_step_seconds_total",
                     "Time that the handshake engine worked."),
        WALK_GAUGE(struct tls_stats, handshake_longest_step_tsc, "weir_tls_handshake_longest_step_seconds",
                   "Longest single step of a handshake so far."),
    };
    size_t part = offsetof(struct worker, tls.stats);
    walk_per_worker(k, fields, WEIR_ARRAY_LEN(fields), part, 1);
    walk_per_worker(k, waits, WEIR_ARRAY_LEN(waits), part, 1e-6);
    walk_per_worker(k, steps, WEIR_ARRAY_LEN(steps), part, clock_tick_s(&k->weir->clock));
}

static void walk_alerts(struct walk *k) {
    static const char *const directions[] = {[TLS_READ] = "in", [TLS_WRITE] = "out"};
    char id[12];
    walk_metric(k, "weir_tls_alerts_total", "TLS alerts received and sent, by what they say.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned dir = 0; dir < WEIR_ARRAY_LEN(directions); dir++)
            for (unsigned a = 0; a < TLS_ALERTED_COUNT; a++)
                walk_emit3(k, (struct stats_label){"direction", directions[dir]},
                           (struct stats_label){"alert", tls_alerted_name((enum tls_alerted)a)},
                           (struct stats_label){"worker", walk_number(id, i)},
                           (double)k->weir->workers[i]->tls.stats.alerts[dir][a]);
}

static double expiry(const struct tls_cert_info *info) {
    return info->not_after_s > 0 ? (double)info->not_after_s : 0;
}
static double ocsp_expiry(const struct tls_cert_info *info) {
    return (double)info->ocsp_next_update_s;
}

/* What is served at the moment, entry by entry. */
static void per_certificate(struct walk *k, double (*read)(const struct tls_cert_info *)) {
    const struct tls_cert_info *info;
    for (uint16_t i = 0; i < k->weir->config->n_tls; i++) {
        struct tls_ctx *ctx = cert_table_get(k->certs, i);
        for (uint32_t c = 0; ctx != NULL && (info = tls_ctx_cert(ctx, c)) != NULL; c++)
            walk_emit2(k, "tls", k->weir->config->tls[i].name, "certificate", info->certificate_file, read(info));
        tls_ctx_unref(ctx);
    }
}

static void per_entry(struct walk *k, const uint64_t *counters) {
    for (uint16_t i = 0; i < k->weir->config->n_tls; i++)
        walk_emit1(k, "tls", k->weir->config->tls[i].name, (double)__atomic_load_n(&counters[i], __ATOMIC_RELAXED));
}

static void walk_certs(struct walk *k) {
    walk_metric(k, "weir_tls_certificate_expiry_timestamp_seconds",
                "When the certificate expires, in seconds since 1970.", true);
    per_certificate(k, expiry);
    walk_metric(k, "weir_tls_certificate_ocsp_expiry_timestamp_seconds",
                "Until when its OCSP response is stapled, in seconds since 1970, 0 without one.", true);
    per_certificate(k, ocsp_expiry);
    walk_metric(k, "weir_tls_certificate_reloads_total", "Times the certificates of the entry were read again.", false);
    per_entry(k, k->certs->reloads);
    walk_metric(k, "weir_tls_certificate_refusals_total",
                "Certificates, and files of CAs or keys, refused when read again: the old ones serve on.", false);
    per_entry(k, k->certs->refusals);
}

static void per_pool(struct walk *k, const uint64_t *counters) {
    for (uint16_t p = 0; p < k->weir->config->n_pools; p++)
        if (k->weir->config->pools[p].tls.on)
            walk_emit1(k, "pool", k->weir->config->pools[p].name,
                       (double)__atomic_load_n(&counters[p], __ATOMIC_RELAXED));
}

/* Towards servers: weir's own certificates, if it has any. */
static void walk_pool_certs(struct walk *k) {
    const struct config *c = k->weir->config;
    walk_metric(k, "weir_pool_certificate_expiry_timestamp_seconds",
                "When weir's certificate towards the servers of the pool expires, in seconds since 1970.", true);
    for (uint16_t p = 0; p < c->n_pools; p++) {
        struct tls_ctx *ctx = cert_table_get(k->certs, (uint16_t)(WEIR_MAX_TLS + p));
        int64_t left_s = ctx != NULL ? tls_ctx_expires_in_s(ctx) : INT64_MAX;
        if (left_s != INT64_MAX)
            walk_emit1(k, "pool", c->pools[p].name, (double)(time(NULL) + left_s));
        tls_ctx_unref(ctx);
    }
    walk_metric(k, "weir_pool_certificate_reloads_total", "Times the certificates of the pool were read again.", false);
    per_pool(k, k->certs->reloads + WEIR_MAX_TLS);
    walk_metric(k, "weir_pool_certificate_refusals_total",
                "Times they were refused when read again, the old ones serve on.", false);
    per_pool(k, k->certs->refusals + WEIR_MAX_TLS);
}

void walk_tls(struct walk *k) {
    walk_handshakes(k);
    walk_alerts(k);
    walk_certs(k);
    walk_pool_certs(k);
}
