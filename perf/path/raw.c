/* SPDX-License-Identifier: BSD-3-Clause */
#include "raw.h"

#include "report.h"
#include "rig.h"

#include <intel-ipsec-mb.h>
#include <rte_cycles.h>
#include <stdlib.h>

#define SAMPLES       2000u
#define SAMPLES_QUICK 500u
#define CALLS         4u /* of a sample */

struct raw {
    IMB_MGR *mgr;
    struct gcm_key_data *key;
    struct gcm_context_data context;
    uint8_t *from, *to, tag[16];
};

/* Returns MB/s. */
static double sample(struct raw *r, uint32_t bytes) {
    static const uint8_t iv[12], aad[5];
    uint64_t begun = rte_rdtsc_precise();
    for (uint32_t i = 0; i < CALLS; i++)
        IMB_AES128_GCM_DEC(r->mgr, r->key, &r->context, r->to, r->from, bytes, iv, aad, sizeof(aad), r->tag,
                           sizeof(r->tag));
    return (double)bytes * CALLS / (double)(rte_rdtsc_precise() - begun) * (double)rte_get_tsc_hz() / 1e6;
}

void raw_measure(const char *name, uint32_t bytes, const struct options *o) {
    static const uint8_t key[16] = {1};
    static struct report report;
    struct raw r = {.mgr = alloc_mb_mgr(0)};
    r.key = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*r.key), 64));
    r.from = calloc(1, bytes);
    r.to = calloc(1, bytes);
    if (r.mgr == NULL || r.key == NULL || r.from == NULL || r.to == NULL)
        rig_fail("out of memory");
    init_mb_mgr_auto(r.mgr, NULL);
    IMB_AES128_GCM_PRE(r.mgr, key, r.key);
    uint64_t until = rte_rdtsc() + o->perf_s * rte_get_tsc_hz();
    do {
        report.csv = o->csv;
        report_begin(&report);
        for (uint32_t i = 0; i < (o->quick ? SAMPLES_QUICK : SAMPLES); i++) {
            uint64_t preemptions = report_preemptions();
            double rate = sample(&r, bytes);
            if (report_preemptions() == preemptions)
                report_add(&report, rate);
        }
    } while (rte_rdtsc() < until);
    report_end(&report, name, "MB/s", true);
    free(r.from);
    free(r.to);
    free(r.key);
    free_mb_mgr(r.mgr);
}
