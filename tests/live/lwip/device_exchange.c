/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include "../churn/exchange.h"

#include <stdlib.h>
#include <string.h>

#define AT_ONCE 4096u

struct exchange_job {
    struct exchange_hello hello;
    const struct exchange_rule *rule;
    uint32_t greeted, sent, came;
    bool went, fin_sent, fin_came;
};

static err_t give(struct device *d);

static err_t fault(struct device *d, const char *what) {
    device_end(d, what);
    tcp_err(d->pcb, NULL);
    tcp_abort(d->pcb);
    return ERR_ABRT;
}

/* Has this end done its part? */
static err_t settle(struct device *d) {
    const struct exchange_job *job = d->job;
    if (job->rule->ending == WITH_RESET && job->went && job->sent >= job->hello.up / 2 &&
        job->came >= job->hello.down / 2)
        return fault(d, NULL);
    if (!job->fin_sent || !job->fin_came || d->over)
        return ERR_OK;
    device_end(d, NULL);
    tcp_err(d->pcb, NULL);
    tcp_recv(d->pcb, NULL);
    tcp_sent(d->pcb, NULL);
    return tcp_close(d->pcb) == ERR_OK ? ERR_OK : fault(d, "no memory to close");
}

static err_t check(struct device *d, const uint8_t *bytes, uint32_t n) {
    struct exchange_job *job = d->job;
    uint8_t expected[AT_ONCE];
    if (job->came + n > job->hello.down)
        return fault(d, "more bytes than were sent");
    exchange_pattern(job->hello.id, SERVER, job->came, expected, n);
    if (memcmp(bytes, expected, n) != 0)
        return fault(d, "other bytes than were sent");
    job->came += n;
    return ERR_OK;
}

/* The server's greeting lets us go. */
static err_t greeted(struct device *d, const uint8_t *bytes, uint32_t n) {
    struct exchange_job *job = d->job;
    if (n != sizeof(job->hello.id) || memcmp(bytes, &job->hello.id, n) != 0)
        return fault(d, "no greeting, or another connection's");
    job->greeted = n;
    job->went = device_write(d, "!", 1);
    return job->went ? ERR_OK : fault(d, "no memory to go");
}

static err_t came(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err) {
    struct device *d = arg;
    struct exchange_job *job = d->job;
    uint8_t bytes[AT_ONCE];
    LWIP_UNUSED_ARG(err);
    if (p == NULL) {
        if (job->rule->ending != WITH_FIN || job->came != job->hello.down)
            return fault(d, "FIN before all bytes, or where a reset was to come");
        job->fin_came = true;
        return give(d);
    }
    err_t e = ERR_OK;
    for (uint16_t at = 0; at < p->tot_len && e == ERR_OK;) {
        uint16_t n = pbuf_copy_partial(p, bytes, AT_ONCE, at);
        e = job->greeted == 0 ? greeted(d, bytes, n) : check(d, bytes, n);
        at += n;
    }
    if (e == ERR_OK)
        tcp_recved(pcb, p->tot_len);
    pbuf_free(p);
    return e == ERR_OK ? give(d) : e;
}

/* As much of our own as may go out now. */
static err_t give(struct device *d) {
    struct exchange_job *job = d->job;
    uint8_t bytes[AT_ONCE];
    bool may = job->went && !job->fin_sent && (job->rule->start == AT_GO || job->fin_came);
    while (may && job->sent < job->hello.up) {
        uint32_t n = job->hello.up - job->sent, room = device_room(d);
        n = n < room ? n : room;
        n = n < AT_ONCE ? n : AT_ONCE;
        if (n == 0)
            break;
        exchange_pattern(job->hello.id, CLIENT, job->sent, bytes, n);
        if (!device_write(d, bytes, n))
            break;
        job->sent += n;
    }
    if (may && job->sent == job->hello.up && job->rule->ending == WITH_FIN)
        job->fin_sent = tcp_shutdown(d->pcb, 0, 1) == ERR_OK;
    return settle(d);
}

static err_t acked(void *arg, struct tcp_pcb *pcb, u16_t n) {
    struct device *d = arg;
    LWIP_UNUSED_ARG(pcb);
    d->in_flight -= n < d->in_flight ? n : d->in_flight;
    return give(d);
}

static err_t again(void *arg, struct tcp_pcb *pcb) {
    LWIP_UNUSED_ARG(pcb);
    return give(arg);
}

static err_t connected(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct device *d = arg;
    struct exchange_job *job = d->job;
    LWIP_UNUSED_ARG(err);
    device_narrow(d);
    tcp_poll(pcb, again, 1);
    return device_write(d, &job->hello, sizeof(job->hello)) ? ERR_OK : fault(d, "no memory to greet");
}

static void failed(void *arg, err_t err) {
    struct device *d = arg;
    const struct exchange_job *job = d->job;
    bool asked_for = err == ERR_RST && job->went && job->rule->ending == IS_RESET;
    device_end(d, asked_for ? NULL : device_error(err));
}

bool device_exchange(struct device *d) {
    static struct exchange_job job;
    job.hello = (struct exchange_hello){EXCHANGE_MAGIC, (uint32_t)atoi(d->words[1]), (uint32_t)atoi(d->words[2]),
                                        (uint32_t)atoi(d->words[3]), EXCHANGE_KIND_COUNT};
    for (uint32_t kind = 0; kind < EXCHANGE_KIND_COUNT; kind++)
        if (strcmp(d->words[0], exchange_kind_names[kind]) == 0)
            job.hello.kind = kind;
    if (job.hello.kind == EXCHANGE_KIND_COUNT || job.hello.up > EXCHANGE_MAX || job.hello.down > EXCHANGE_MAX)
        return false;
    job.rule = exchange_rule_of(job.hello.kind, CLIENT);
    d->job = &job;
    device_connect(d, connected, came, acked, failed);
    return true;
}
