/* SPDX-License-Identifier: BSD-3-Clause */
/* PROXY protocol (HAProxy's proxy-protocol.txt): version 1 in text (2.1), version 2 in binary (2.2), for TCP over IPv4.
 */
#include "lb_int.h"

#include "../base/span.h"

#include <rte_byteorder.h>

#define HEADER_MOST   108u /* 107 bytes and a NUL that we do not write */
#define V2_PROXY      0x21 /* version 2, command PROXY */
#define V2_TCP4       0x11
#define V2_TCP4_BYTES 12

static void put_decimal(struct span_writer *w, uint32_t v) {
    char digits[5];
    uint32_t n = 0;

    do
        digits[n++] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    while (n > 0)
        span_put_u8(w, (uint8_t)digits[--n]);
}

static void put_text_addr(struct span_writer *w, uint32_t addr_be) {
    const uint8_t *octets = (const uint8_t *)&addr_be;

    for (int i = 0; i < 4; i++) {
        put_decimal(w, octets[i]);
        span_put_u8(w, i < 3 ? '.' : ' ');
    }
}

static void put_v1(struct span_writer *w, uint32_t client_addr_be, uint16_t client_port_be, uint32_t local_addr_be,
                   uint16_t local_port_be) {
    span_put_bytes(w, "PROXY TCP4 ", 11);
    put_text_addr(w, client_addr_be);
    put_text_addr(w, local_addr_be);
    put_decimal(w, rte_be_to_cpu_16(client_port_be));
    span_put_u8(w, ' ');
    put_decimal(w, rte_be_to_cpu_16(local_port_be));
    span_put_bytes(w, "\r\n", 2);
}

static void put_v2(struct span_writer *w, uint32_t client_addr_be, uint16_t client_port_be, uint32_t local_addr_be,
                   uint16_t local_port_be) {
    span_put_bytes(w, "\r\n\r\n\0\r\nQUIT\n", 12);
    span_put_u8(w, V2_PROXY);
    span_put_u8(w, V2_TCP4);
    span_put_u16(w, V2_TCP4_BYTES);
    span_put_bytes(w, &client_addr_be, 4);
    span_put_bytes(w, &local_addr_be, 4);
    span_put_bytes(w, &client_port_be, 2);
    span_put_bytes(w, &local_port_be, 2);
}

uint32_t lb_proxy_header(uint8_t version, uint32_t client_addr_be, uint16_t client_port_be, uint32_t local_addr_be,
                         uint16_t local_port_be, uint8_t *buf) {
    struct span_writer w = span_writer_of(buf, HEADER_MOST);

    if (version == 1)
        put_v1(&w, client_addr_be, client_port_be, local_addr_be, local_port_be);
    else if (version == 2)
        put_v2(&w, client_addr_be, client_port_be, local_addr_be, local_port_be);
    return (uint32_t)span_written(&w);
}
