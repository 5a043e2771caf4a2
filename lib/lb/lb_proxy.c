/* SPDX-License-Identifier: BSD-3-Clause */
/* PROXY protocol (HAProxy's proxy-protocol.txt): version 1 in text (2.1), version 2 in binary (2.2), for TCP over IPv4.
 */
#include "lb_int.h"

#include "../base/span.h"

#include <rte_byteorder.h>
#include <string.h>

#define V2_PROXY      0x21 /* version 2, command PROXY */
#define V2_TCP4       0x11
#define V2_TCP4_BYTES 12
#define VALUE_MAX     255u /* bytes of a text */

enum { /* 2.2, PP2_TYPE_* and PP2_SUBTYPE_SSL_* */
       TYPE_ALPN = 0x01,
       TYPE_AUTHORITY = 0x02,
       TYPE_SSL = 0x20,
       SSL_VERSION = 0x21,
       SSL_CN = 0x22,
       SSL_CIPHER = 0x23,
       SSL_CLIENT_CERT = 0x28,
       CLIENT_SSL = 0x01,
       CLIENT_CERT_CONN = 0x02,
       CLIENT_CERT_SESS = 0x04
};

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

static uint32_t text_bytes(const char *text) {
    size_t n = text ? strlen(text) : 0;

    return n > 0 && n <= VALUE_MAX ? (uint32_t)n : 0; /* a name that was cut would be another name */
}

static uint32_t tlv_bytes(const char *text) {
    uint32_t n = text_bytes(text);

    return n > 0 ? n + 3 : 0;
}

static void put_tlv(struct span_writer *w, uint8_t type, const char *text) {
    uint32_t n = text_bytes(text);

    if (n == 0)
        return;
    span_put_u8(w, type);
    span_put_u16(w, (uint16_t)n);
    span_put_bytes(w, text, n);
}

static uint32_t certificate_tlv_bytes(const struct lb_proxy_tls *tls) {
    return tls->der_bytes > 0 && tls->der_bytes <= LB_PROXY_CERTIFICATE_MAX ? tls->der_bytes + 3 : 0;
}

static uint32_t ssl_bytes(const struct lb_proxy_tls *tls) {
    return 5 + tlv_bytes(tls->version) + tlv_bytes(tls->common_name) + tlv_bytes(tls->cipher) +
           certificate_tlv_bytes(tls);
}

static void put_tls(struct span_writer *w, const struct lb_proxy_tls *tls) {
    uint8_t client = CLIENT_SSL;

    if (tls->certificate)
        client |= tls->resumed ? CLIENT_CERT_SESS : CLIENT_CERT_CONN | CLIENT_CERT_SESS;
    put_tlv(w, TYPE_ALPN, tls->alpn);
    put_tlv(w, TYPE_AUTHORITY, tls->authority);
    span_put_u8(w, TYPE_SSL);
    span_put_u16(w, (uint16_t)ssl_bytes(tls));
    span_put_u8(w, client);
    span_put_u16(w, 0); /* verify, 4 bytes: zero only where a certificate was shown and found good */
    span_put_u16(w, tls->certificate ? 0 : 1);
    put_tlv(w, SSL_VERSION, tls->version);
    put_tlv(w, SSL_CN, tls->common_name);
    put_tlv(w, SSL_CIPHER, tls->cipher);
    if (certificate_tlv_bytes(tls) == 0)
        return;
    span_put_u8(w, SSL_CLIENT_CERT);
    span_put_u16(w, (uint16_t)tls->der_bytes);
    span_put_bytes(w, tls->der, tls->der_bytes);
}

static void put_v2(struct span_writer *w, uint32_t client_addr_be, uint16_t client_port_be, uint32_t local_addr_be,
                   uint16_t local_port_be, const struct lb_proxy_tls *tls) {
    uint32_t more = tls ? tlv_bytes(tls->alpn) + tlv_bytes(tls->authority) + 3 + ssl_bytes(tls) : 0;

    span_put_bytes(w, "\r\n\r\n\0\r\nQUIT\n", 12);
    span_put_u8(w, V2_PROXY);
    span_put_u8(w, V2_TCP4);
    span_put_u16(w, (uint16_t)(V2_TCP4_BYTES + more));
    span_put_bytes(w, &client_addr_be, 4);
    span_put_bytes(w, &local_addr_be, 4);
    span_put_bytes(w, &client_port_be, 2);
    span_put_bytes(w, &local_port_be, 2);
    if (tls)
        put_tls(w, tls);
}

uint32_t lb_proxy_header(uint8_t version, uint32_t client_addr_be, uint16_t client_port_be, uint32_t local_addr_be,
                         uint16_t local_port_be, const struct lb_proxy_tls *tls, uint8_t *buf) {
    struct span_writer w = span_writer_of(buf, LB_PROXY_MAX);

    if (version == 1)
        put_v1(&w, client_addr_be, client_port_be, local_addr_be, local_port_be);
    else if (version == 2)
        put_v2(&w, client_addr_be, client_port_be, local_addr_be, local_port_be, tls);
    return (uint32_t)span_written(&w);
}
