/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS contexts that a reload replaced. Handshakes that began under one hold it, and whoever lets go last frees it: an
 * SSL_CTX for each set of names, some 30 us each. That is to be control, which has the time, and not a worker in the
 * middle of its turn; so control holds them, too, until it is alone.
 *
 * Threading: control's. */
#ifndef WEIR_RETIRED_H
#define WEIR_RETIRED_H

#include "snapshot.h"

struct retired {
    struct tls_ctx *ctx; /* one reference */
    struct retired *next;
};

/* Hold those of `old` that `fresh` has no more. Before `old` is freed; for want of memory it is not done. */
void retired_hold(struct retired **list, const struct snapshot *old, const struct snapshot *fresh);
/* Free those that nobody else holds, all of them where `now`. */
void retired_free(struct retired **list, bool now);

#endif
