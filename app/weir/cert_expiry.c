/* SPDX-License-Identifier: BSD-3-Clause */
#include "cert_expiry.h"

#include <stdio.h>

#define DAY_S 86400

static void certificate_tell(const struct cert_expiry *e, const char *where, const struct tls_cert_info *info,
                             int64_t wall_s) {
    int64_t left_s = info->not_after_s - wall_s;
    char text[512];
    if (info->ocsp_next_update_s != 0 && info->ocsp_next_update_s <= wall_s) {
        snprintf(text, sizeof(text), "%s: the OCSP response for %s has expired and is not stapled any more", where,
                 info->certificate_file);
        e->warn(e->arg, text);
    }
    if (left_s >= (int64_t)CERT_EXPIRY_DAYS * DAY_S)
        return;
    if (left_s < 0)
        snprintf(text, sizeof(text), "%s: certificate %s has expired: clients refuse it", where,
                 info->certificate_file);
    else
        snprintf(text, sizeof(text), "%s: certificate %s expires in less than %d days", where, info->certificate_file,
                 (int)(left_s / DAY_S) + 1);
    e->warn(e->arg, text);
}

/* weir's own certificate towards servers. */
static void pool_tell(const struct cert_expiry *e, const struct config_pool_tls *t, int64_t left_s) {
    char text[512];
    if (left_s >= (int64_t)CERT_EXPIRY_DAYS * DAY_S)
        return;
    if (left_s < 0)
        snprintf(text, sizeof(text), "%s: certificate %s has expired: servers refuse it", t->where, t->certificate);
    else
        snprintf(text, sizeof(text), "%s: certificate %s expires in less than %d days", t->where, t->certificate,
                 (int)(left_s / DAY_S) + 1);
    e->warn(e->arg, text);
}

void cert_expiry_tell(struct cert_expiry *e, const struct snapshot *s, uint64_t now_us, int64_t wall_s) {
    const struct tls_cert_info *info;
    e->told_us = now_us;
    for (uint16_t i = 0; i < e->config->n_tls; i++)
        for (uint32_t c = 0; (info = tls_ctx_cert(s->tls[i], c)) != NULL; c++)
            certificate_tell(e, e->config->tls[i].certificates[c].where, info, wall_s);
    for (uint16_t i = 0; i < e->config->n_pools; i++)
        if (s->pools[i] != NULL && e->config->pools[i].tls.certificate != NULL)
            pool_tell(e, &e->config->pools[i].tls, tls_ctx_expires_in_s(s->pools[i]));
}

bool cert_expiry_tick(struct cert_expiry *e, const struct snapshot *s, uint64_t now_us, int64_t wall_s) {
    if (now_us - e->told_us < CERT_EXPIRY_EVERY_US)
        return false;
    cert_expiry_tell(e, s, now_us, wall_s);
    return true;
}
