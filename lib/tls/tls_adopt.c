/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections whose handshake was made elsewhere: the record layer begins with the secrets it is given. */
#include "tls_int.h"

tls_id tls_conn_adopt(struct tls_core *core, const struct tls_agreed *agreed, uint32_t user) {
    uint8_t row = tls_suite_find(TLS_V13, agreed->suite);
    struct tls_dir_keys keys[2] = {0};
    tls_id id = row ? tls_conn_alloc(core, user) : 0;

    if (id == 0)
        return 0;
    const struct tls_suite *s = &tls_suites[row - 1];
    memcpy(keys[TLS_READ].secret, agreed->read_secret, s->hash);
    memcpy(keys[TLS_WRITE].secret, agreed->write_secret, s->hash);
    int rc = tls_keys_from_secret(core->kdf, s, &keys[TLS_READ]);
    if (rc == 0)
        rc = tls_keys_from_secret(core->kdf, s, &keys[TLS_WRITE]);
    keys[TLS_READ].seq = agreed->read_seq;
    keys[TLS_WRITE].seq = agreed->write_seq;
    if (rc == 0)
        rc = tls_conn_open(core, tls_conn_get(core, id), row, keys);
    explicit_bzero(keys, sizeof(keys));
    if (rc < 0) {
        tls_conn_free(core, id);
        return 0;
    }
    tls_conn_get(core, id)->is_client = agreed->client;
    return id;
}
