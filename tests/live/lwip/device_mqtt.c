/* SPDX-License-Identifier: BSD-3-Clause */
/* MQTT 3.1.1: CONNECT, SUBSCRIBE to a topic of its own, then COUNT times PUBLISH there with QoS 1 and wait for both,
 * the PUBACK and the message itself; DISCONNECT. */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_MAX  16384u
#define CONNECT     0x10
#define CONNACK     0x20
#define PUBLISH     0x30 /* with QoS 1: 0x32 */
#define PUBACK      0x40
#define SUBSCRIBE   0x82
#define SUBACK      0x90
#define DISCONNECT  0xe0
#define KEEPALIVE_S 60

struct mqtt_job {
    const char *name;
    uint32_t count, size, message;
    bool acknowledged, came_back;
    uint8_t in[PACKET_MAX + 8];
    uint32_t n_in;
    uint8_t out[PACKET_MAX + 8]; /* one packet, its head first; device_write copies what fits, the rest waits */
    uint32_t n_out, written;
};

static err_t fault(struct device *d, const char *what) {
    device_end(d, what);
    tcp_err(d->pcb, NULL);
    tcp_abort(d->pcb);
    return ERR_ABRT;
}

static void put(struct mqtt_job *job, const void *bytes, uint32_t n) {
    memcpy(job->out + job->n_out, bytes, n);
    job->n_out += n;
}

static void put_u16(struct mqtt_job *job, uint32_t v) {
    put(job, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void put_string(struct mqtt_job *job, const char *s) {
    put_u16(job, (uint32_t)strlen(s));
    put(job, s, (uint32_t)strlen(s));
}

/* Fixed header of a packet with `n` more bytes. What is written already makes room. */
static void put_head(struct mqtt_job *job, uint8_t type, uint32_t n) {
    memmove(job->out, job->out + job->written, job->n_out - job->written);
    job->n_out -= job->written;
    job->written = 0;
    put(job, &type, 1);
    do {
        uint8_t byte = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
        put(job, &byte, 1);
        n >>= 7;
    } while (n != 0);
}

static err_t flush(struct device *d) {
    struct mqtt_job *job = d->job;
    while (job->written < job->n_out) {
        uint32_t n = job->n_out - job->written, room = device_room(d);
        n = n < room ? n : room;
        if (n == 0 || !device_write(d, job->out + job->written, n))
            break;
        job->written += n;
    }
    return ERR_OK;
}

static void payload(const struct mqtt_job *job, uint8_t *bytes) {
    for (uint32_t i = 0; i < job->size; i++)
        bytes[i] = (uint8_t)(job->message * 31u + i * 7u + (i >> 8));
}

static uint32_t topic_bytes(const struct mqtt_job *job) {
    return 2 + (uint32_t)strlen(job->name);
}

static err_t publish(struct device *d) {
    struct mqtt_job *job = d->job;
    if (job->message++ == job->count) {
        put_head(job, DISCONNECT, 0);
        flush(d);
        return tcp_shutdown(d->pcb, 0, 1) == ERR_OK ? ERR_OK : fault(d, "no memory to close");
    }
    job->acknowledged = job->came_back = false;
    put_head(job, PUBLISH | 2, topic_bytes(job) + 2 + job->size);
    put_string(job, job->name);
    put_u16(job, job->message);
    payload(job, job->out + job->n_out);
    job->n_out += job->size;
    return flush(d);
}

static bool is_our_message(const struct mqtt_job *job, const uint8_t *body, uint32_t n) {
    uint8_t expected[PACKET_MAX];
    uint32_t head = topic_bytes(job) + 2;
    payload(job, expected);
    return n == head + job->size && memcmp(body + 2, job->name, head - 4) == 0 &&
           memcmp(body + head, expected, job->size) == 0;
}

static err_t packet(struct device *d, uint8_t type, const uint8_t *body, uint32_t n) {
    struct mqtt_job *job = d->job;
    if (type == CONNACK && n == 2 && body[1] == 0) {
        put_head(job, SUBSCRIBE, 2 + topic_bytes(job) + 1);
        put_u16(job, 1);
        put_string(job, job->name);
        put(job, "\1", 1);
        return flush(d);
    }
    if (type == SUBACK && n == 3 && body[2] == 1)
        return publish(d);
    if (type == PUBACK && n == 2 && body[1] == (uint8_t)job->message) {
        job->acknowledged = true;
    } else if (type == (PUBLISH | 2) && is_our_message(job, body, n)) {
        put_head(job, PUBACK, 2);
        put(job, body + topic_bytes(job), 2);
        flush(d);
        job->came_back = true;
    } else {
        return fault(d, "a packet that was not to come, or other bytes than were published");
    }
    return job->acknowledged && job->came_back ? publish(d) : ERR_OK;
}

/* The first whole packet in `in`: its size, and where its body begins; 0: none yet. */
static uint32_t whole_packet(const struct mqtt_job *job, uint32_t *body) {
    uint32_t size = 0;
    for (uint32_t i = 1; i < job->n_in && i < 5; i++) {
        size |= (job->in[i] & 127u) << 7 * (i - 1);
        if (job->in[i] < 128) {
            *body = i + 1;
            return job->n_in >= i + 1 + size ? i + 1 + size : 0;
        }
    }
    return 0;
}

/* The other side has closed: in answer to our DISCONNECT, or too early. */
static err_t goodbye(struct device *d) {
    const struct mqtt_job *job = d->job;
    if (job->message <= job->count)
        return fault(d, "the other side closed");
    device_end(d, NULL);
    tcp_err(d->pcb, NULL);
    tcp_recv(d->pcb, NULL);
    tcp_sent(d->pcb, NULL);
    return tcp_close(d->pcb) == ERR_OK ? ERR_OK : fault(d, "no memory to close");
}

static err_t came(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    struct device *d = arg;
    struct mqtt_job *job = d->job;
    LWIP_UNUSED_ARG(err);
    if (p == NULL)
        return goodbye(d);
    if (p->tot_len > sizeof(job->in) - job->n_in) {
        pbuf_free(p);
        return fault(d, "a packet larger than any that was published");
    }
    job->n_in += pbuf_copy_partial(p, job->in + job->n_in, p->tot_len, 0);
    tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    err_t e = ERR_OK;
    for (uint32_t size, body; !d->over && e == ERR_OK && (size = whole_packet(job, &body)) != 0;) {
        e = packet(d, job->in[0], job->in + body, size - body);
        job->n_in -= size;
        memmove(job->in, job->in + size, job->n_in);
    }
    return e;
}

static err_t acked(void *arg, struct tcp_pcb *pcb, u16_t n) {
    struct device *d = arg;
    LWIP_UNUSED_ARG(pcb);
    d->in_flight -= n < d->in_flight ? n : d->in_flight;
    return d->over ? ERR_OK : flush(d);
}

static err_t connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct device *d = arg;
    struct mqtt_job *job = d->job;
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(err);
    device_narrow(d);
    put_head(job, CONNECT, 10 + topic_bytes(job));
    put_string(job, "MQTT");
    put(job, "\4\2", 2);
    put_u16(job, KEEPALIVE_S);
    put_string(job, job->name);
    return flush(d);
}

static void failed(void *arg, err_t err) {
    device_end(arg, device_error(err));
}

bool device_mqtt(struct device *d) {
    static struct mqtt_job job;
    job.name = d->words[0];
    job.count = (uint32_t)atoi(d->words[1]);
    job.size = (uint32_t)atoi(d->words[2]);
    if (strlen(job.name) > 64 || job.size > PACKET_MAX - 256)
        return false;
    d->job = &job;
    device_connect(d, connected, came, acked, failed);
    return true;
}
