/* SPDX-License-Identifier: BSD-3-Clause */
/* Application-Layer Protocol Negotiation (RFC 7301): ours in order of preference, the first that the client has too.
 * Names are opaque bytes. A client with others only is refused (section 3.2), one without the extension is not. */
#include "tls_certs.h"

#include <stdio.h>
#include <stdlib.h>

bool tls_alpn_pack(struct tls_alpn *alpn, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < config->n_alpn; i++) {
        size_t n = strlen(config->alpn[i]);
        if (n == 0 || n > UINT8_MAX) {
            snprintf(error, error_bytes, "alpn \"%.60s\": a protocol's name has 1 to 255 bytes", config->alpn[i]);
            return false;
        }
        bytes += 1 + (uint32_t)n;
    }
    if (bytes > UINT16_MAX) {
        snprintf(error, error_bytes, "alpn: longer than the 65,535 bytes of its extension");
        return false;
    }
    if (bytes == 0)
        return true;
    uint8_t *p = alpn->wire = malloc(bytes);
    if (p == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    alpn->bytes = bytes;
    for (uint32_t i = 0; i < config->n_alpn; i++) {
        size_t n = strlen(config->alpn[i]);
        *p++ = (uint8_t)n;
        memcpy(p, config->alpn[i], n);
        p += n;
    }
    return true;
}

static int chosen(SSL *ssl, const uint8_t **out, uint8_t *out_bytes, const uint8_t *offered, unsigned offered_bytes,
                  void *arg) {
    const struct tls_alpn *alpn = arg;
    struct tls_msg *msg = SSL_get_app_data(ssl);
    uint8_t *found = NULL;

    if (SSL_select_next_proto(&found, out_bytes, alpn->wire, alpn->bytes, offered, offered_bytes) ==
        OPENSSL_NPN_NEGOTIATED) {
        *out = found;
        return SSL_TLSEXT_ERR_OK;
    }
    msg->refused = TLS_DROP_HS_NO_PROTOCOL;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void tls_alpn_offer(SSL_CTX *ssl, struct tls_alpn *alpn) {
    if (alpn->bytes > 0)
        SSL_CTX_set_alpn_select_cb(ssl, chosen, alpn);
}
