/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates and OCSP responses that expire: said at start, with every reload, and once a day for as long as it is
 * so. Threading: control's. */
#ifndef WEIR_CERT_EXPIRY_H
#define WEIR_CERT_EXPIRY_H

#include "snapshot.h"

#define CERT_EXPIRY_DAYS     14 /* before the end, the first word of it */
#define CERT_EXPIRY_EVERY_US 86400000000ull

struct cert_expiry {
    const struct config *config;
    void (*warn)(void *arg, const char *text); /* texts begin with the place in the configuration */
    void *arg;
    uint64_t told_us;
};

/* Warn of each certificate that has expired, or will within CERT_EXPIRY_DAYS: clients refuse them, weir does not; and
 * of each response that is stapled no more. `wall_s`: seconds since 1970. */
void cert_expiry_tell(struct cert_expiry *e, const struct snapshot *s, uint64_t now_us, int64_t wall_s);
/* The same where it is a day since the last time. Returns whether it is. */
bool cert_expiry_tick(struct cert_expiry *e, const struct snapshot *s, uint64_t now_us, int64_t wall_s);

#endif
