/* SPDX-License-Identifier: BSD-3-Clause */
/* CONNECT: whole, valid, and the key the pool balances by. */
#include "session.h"

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
        return connect_refused(w, s, level, (enum mqtt_drop)-size);
    const uint8_t *data = (uint32_t)size > WORKER_SCRATCH ? NULL : rope_peek(&s->c2s, 0, (uint32_t)size, w->scratch);
    if (data == NULL)
        return 0; /* not all here yet */
    struct mqtt_connect c;
    int rc = mqtt_connect_decode(data, (uint32_t)size, &c);
    if (rc < 0)
        return connect_refused(w, s, level, (enum mqtt_drop)-rc);
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
