/* SPDX-License-Identifier: BSD-3-Clause */
/* The look into a ClientHello against a second one that is as plain as RFC 8446 4.1.2: both must say the same of every
 * input, however it is cut into buffers. First byte: how many bytes a buffer holds, less one; the record follows. */
#include "tls/tls_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOOKED_MAX = 4096, SIZE_MAX_BYTES = 4400, EXTENSIONS_MAX = 64 };

static size_t number(const uint8_t *p, size_t bytes) {
    size_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

/* Skip a vector whose length takes `bytes` at *at. False: it does not end within n. */
static bool skip(const uint8_t *p, size_t n, size_t *at, size_t bytes) {
    if (n - *at < bytes)
        return false;
    size_t len = number(p + *at, bytes);
    *at += bytes;
    if (n - *at < len)
        return false;
    *at += len;
    return true;
}

static bool plain_resumes(const uint8_t *p, size_t n) {
    size_t at = 5 + 4 + 2 + 32; /* record header, handshake header, version, random */
    if (n > LOOKED_MAX)
        n = LOOKED_MAX;
    if (n < at || p[5] != 1 || !skip(p, n, &at, 1) || !skip(p, n, &at, 2) || !skip(p, n, &at, 1) || n - at < 2)
        return false;
    size_t end = at + 2 + number(p + at, 2);
    if (end > n)
        end = n;
    at += 2;
    for (int i = 0; i < EXTENSIONS_MAX && end - at >= 4; i++) {
        size_t type = number(p + at, 2), len = number(p + at + 2, 2);
        if (len > 0 && (type == 35 || type == 41))
            return true;
        if (end - at - 4 < len)
            return false;
        at += 4 + len;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct rte_mbuf mbufs[SIZE_MAX_BYTES];
    if (size < 2 || size > SIZE_MAX_BYTES)
        return 0;
    size_t piece = data[0] + 1u, n = size - 1;
    /* A buffer of its own size for each piece, so that a sanitizer sees who reads behind it. */
    struct rope wire = {0};
    for (size_t at = 0; at < n; at += piece) {
        size_t part = n - at < piece ? n - at : piece;
        struct rte_mbuf *m = &mbufs[wire.mbufs];
        *m = (struct rte_mbuf){.buf_addr = malloc(part), .data_len = (uint16_t)part};
        memcpy(m->buf_addr, data + 1 + at, part);
        rope_link(&wire, m);
    }
    bool ours = tls_hello_resumes(&wire);
    for (uint32_t i = 0; i < wire.mbufs; i++)
        free(mbufs[i].buf_addr);
    if (ours != plain_resumes(data + 1, n))
        abort();
    return 0;
}
