/* SPDX-License-Identifier: BSD-3-Clause */
/* Files for contexts, good and bad: two pairs that do not belong together. */
#ifndef TLS_CTX_FIXTURE_H
#define TLS_CTX_FIXTURE_H

#include "harness.h"

static char certificate[64], key[64], other_certificate[64], other_key[64], error[256];

static inline void files(void) {
    harness_pool();
    harness_files(KEY_EC, certificate, key);
    harness_files(KEY_EC, other_certificate, other_key);
}

static inline void files_gone(void) {
    harness_files_remove(certificate, key);
    harness_files_remove(other_certificate, other_key);
}

#endif
