/* SPDX-License-Identifier: BSD-3-Clause */
/* CONNECT: whole, valid, under the user name that it is to have, and the key the pool balances by. */
#include "session.h"

#include <stdio.h>
#include <string.h>

#define CONNECT_PRESSED_BYTES 8192u

/* Hash of what the pool's policy looks at; an empty client-id or username falls back to what session_key says. */
static uint64_t connect_key(const struct worker *w, const struct session *s, const struct mqtt_connect *c) {
    uint8_t policy = w->pools[s->pool].policy;
    if (policy == LB_CLIENT_ID && c->client_id.len != 0)
        return lb_hash(c->client_id.data, c->client_id.len);
    if (policy == LB_USERNAME && c->username.len != 0)
        return lb_hash(c->username.data, c->username.len);
    return session_key(w, s);
}

static int connect_refused(struct worker *w, struct session *s, uint8_t level, enum mqtt_drop why) {
    uint8_t answer[8];
    w->stats.mqtt_drops[why]++;
    session_refuse(w, s, SESSION_END_MQTT_REFUSED, answer, mqtt_refuse_connect(level, why, answer));
    return 1;
}

static_assert(WORKER_SCRATCH >= MQTT_RENAME_BYTES, "a CONNECT can be renamed there");

/* What TLS calls the client, "" nothing. `hex` is room for a fingerprint. */
static const char *verified_name(const struct worker *w, const struct session *s, enum config_username from,
                                 char hex[65]) {
    const struct tls_identity *id = tls_conn_identity(&w->tls, s->tls);
    if (id == NULL || (from != CONFIG_USERNAME_PSK && !id->certificate))
        return "";
    if (from == CONFIG_USERNAME_PSK)
        return id->psk;
    if (from == CONFIG_USERNAME_COMMON_NAME)
        return id->common_name;
    if (from >= CONFIG_USERNAME_ALT)
        return id->alt_names[from - CONFIG_USERNAME_ALT];
    for (unsigned i = 0; i < sizeof(id->fingerprint); i++)
        snprintf(hex + 2 * i, 3, "%02x", id->fingerprint[i]);
    return hex;
}

/* The CONNECT of `*size` bytes at the head of c2s goes on under the name that TLS vouches for; `c` is what it says
 * then. 0, 1 (no mbuf was left, and nothing has changed) or minus a drop. */
static int connect_rename(struct worker *w, struct session *s, struct mqtt_connect *c, int *size) {
    enum config_username from = w->weir->config->listeners[s->listener].username;
    struct rope renamed = {0};
    char hex[65];
    if (from == CONFIG_USERNAME_KEPT)
        return 0;
    const char *name = verified_name(w, s, from, hex);
    rope_copy(&s->c2s, 0, w->scratch, (uint32_t)*size);
    int rc = mqtt_connect_decode(w->scratch, (uint32_t)*size, c); /* it pointed to where the packet lay */
    if (rc == 0)
        rc = mqtt_connect_rename(w->scratch, c, name, (uint32_t)strlen(name));
    if (rc < 0)
        return rc;
    int now = rc;
    if (rope_append(&renamed, w->ports[tcp_conn_port(&w->tcp, s->client)].pool, w->scratch, (uint32_t)now) != 0)
        return 1;
    rope_trim(&s->c2s, (uint32_t)*size);
    rope_splice(&renamed, &s->c2s);
    s->c2s = renamed;
    session_charge(w, s);
    *size = now;
    return mqtt_connect_decode(w->scratch, (uint32_t)now, c);
}

int session_mqtt_connect(struct worker *w, struct session *s) {
    /* When buffers run short nobody may fill more of them before it is known who asks. */
    const struct mqtt_limits pressed = {.max_connect_bytes = CONNECT_PRESSED_BYTES};
    uint8_t level = 0;
    if (s->c2s.len_bytes == 0)
        return 0;
    int size = mqtt_connect_size(&s->c2s, tcp_rx_pressed(&w->tcp) ? &pressed : NULL, &level);
    if (size == WEIR_MORE)
        return 0;
    if (size < 0)
        return connect_refused(w, s, level, (enum mqtt_drop) - size);
    const uint8_t *data = (uint32_t)size > WORKER_SCRATCH ? NULL : rope_peek(&s->c2s, 0, (uint32_t)size, w->scratch);
    if (data == NULL)
        return 0; /* not all here yet */
    struct mqtt_connect c;
    int rc = mqtt_connect_decode(data, (uint32_t)size, &c);
    if (rc < 0)
        return connect_refused(w, s, level, (enum mqtt_drop) - rc);
    rc = connect_rename(w, s, &c, &size);
    if (rc > 0) {
        w->stats.net_drops[NET_DROP_NO_MBUF]++;
        tcp_conn_again(&w->tcp, s->client, TCP_EV_READABLE);
        return 0;
    }
    if (rc < 0)
        return connect_refused(w, s, c.level, (enum mqtt_drop) - rc);
    w->stats.mqtt_packets_in[MQTT_CONNECT]++;
    s->key_hash = connect_key(w, s, &c);
    mqtt_stream_init(&s->up, MQTT_FROM_CLIENT, c.level);
    mqtt_stream_init(&s->down, MQTT_FROM_SERVER, c.level);
    s->up_fed = (uint32_t)size;
    s->deadline_ms = 0;
    s->phase = PHASE_DIALING;
    if (session_dial(w, s) != 0)
        return 1;
    /* What came behind CONNECT in the same flight. */
    return session_pull_client(w, s);
}
