/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 1071: ones'-complement addition does not care about byte order, so bytes are summed as they lie in memory and the
 * result is stored as it is. Nor does it care about word size, so 8 bytes are added at a time, and
 * long pieces in vectors. Where a segment starts
 * at an odd byte of the packet, its sum is the one with its two bytes swapped (RFC 1071 2(B)). */
#include "net_int.h"

static inline uint64_t load64(const uint8_t *p) {
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

static uint16_t fold(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* a + b with the carry brought round. */
static inline uint64_t add_carry(uint64_t a, uint64_t b) {
    a += b;
    return a + (a < b);
}

#define WIDE_BYTES 64u /* of a step below */

/* Sum of n bytes, a multiple of WIDE_BYTES and below 64 KB: 32-bit halves in 64-bit lanes, where no carry can be lost.
 * Compiled for what the CPU has; the loader chooses. */
WEIR_CPU_CLONES static uint64_t sum_wide(const uint8_t *p, uint32_t n) {
    typedef uint64_t lanes __attribute__((vector_size(WIDE_BYTES / 2)));
    const lanes low = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    lanes a = {0}, b = {0}, c = {0}, d = {0}, x, y;

    for (; n; n -= WIDE_BYTES, p += WIDE_BYTES) {
        memcpy(&x, p, sizeof(x));
        memcpy(&y, p + sizeof(x), sizeof(y));
        a += x & low;
        b += x >> 32;
        c += y & low;
        d += y >> 32;
    }
    a += b + c + d;
    return a[0] + a[1] + a[2] + a[3];
}

/* Folded sum of n contiguous bytes, as if they began at an even offset. */
static uint16_t sum_bytes(const uint8_t *p, uint32_t n) {
    uint64_t a = 0, b = 0, c = 0, d = 0;
    uint32_t four = 0;
    uint16_t two = 0;

    if (n >= 4 * WIDE_BYTES) { /* below that the call costs more than it saves */
        uint32_t wide = n / WIDE_BYTES * WIDE_BYTES;
        a = sum_wide(p, wide);
        p += wide;
        n -= wide;
    }
    for (; n >= 32; n -= 32, p += 32) { /* four chains of carries run side by side */
        a = add_carry(a, load64(p));
        b = add_carry(b, load64(p + 8));
        c = add_carry(c, load64(p + 16));
        d = add_carry(d, load64(p + 24));
    }
    for (; n >= 8; n -= 8, p += 8)
        a = add_carry(a, load64(p));
    if (n & 4) {
        memcpy(&four, p, 4);
        p += 4;
    }
    if (n & 2) {
        memcpy(&two, p, 2);
        p += 2;
    }
    uint64_t rest = (uint64_t)four + two;
    if (n & 1)
        rest += rte_cpu_to_be_16((uint16_t)(*p << 8)); /* the last byte, with a zero behind it */
    return fold(add_carry(add_carry(add_carry(a, b), add_carry(c, d)), rest));
}

uint16_t checksum_chain(const struct rte_mbuf *m, uint32_t offset, uint32_t len) {
    uint32_t sum = 0, done = 0;

    while (m && offset >= m->data_len) {
        offset -= m->data_len;
        m = m->next;
    }
    for (; m && done < len; m = m->next, offset = 0) {
        uint32_t part = weir_min_u32(len - done, m->data_len - offset);
        uint16_t s = sum_bytes(rte_pktmbuf_mtod_offset(m, const uint8_t *, offset), part);
        sum += done & 1 ? rte_bswap16(s) : s;
        done += part;
    }
    return fold(sum);
}

uint16_t checksum_pseudo(uint32_t saddr_be, uint32_t daddr_be, uint8_t proto, uint16_t len) {
    return fold((uint64_t)saddr_be + daddr_be + rte_cpu_to_be_16(proto) + rte_cpu_to_be_16(len));
}

uint16_t checksum_l4(const struct rte_mbuf *m, uint32_t offset, uint16_t len, uint32_t saddr_be, uint32_t daddr_be,
                     uint8_t proto) {
    uint32_t sum = checksum_chain(m, offset, len) + (uint32_t)checksum_pseudo(saddr_be, daddr_be, proto, len);

    return (uint16_t)~fold(sum);
}
