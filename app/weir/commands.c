/* SPDX-License-Identifier: BSD-3-Clause */
/* The runtime commands behind weirctl. A request is one line of words, an answer one JSON object: {"ok": true, ...} or
 * {"ok": false, "error": "..."}. */
#include "capture.h"
#include "control_int.h"
#include "server_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 4096u
#define WORDS_MAX   8
#define PATIENCE_MS 2000u /* for a request, and for an answer to be taken: nobody holds the loop longer */
#define FLOWS_PAGE  256u
#define FLOWS_MAX   100000u
#define CAPTURE_MAX 1000000u

json_t *commands_error(const char *format, ...) {
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    json_t *j = json_pack("{s:b, s:s}", "ok", 0, "error", text);
    if (j != NULL)
        return j;
    for (char *t = text; *t != '\0'; t++) /* a word of the request that is no UTF-8 */
        if ((*t & 0x80) != 0)
            *t = '?';
    return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

/* A whole number from 1 to `max`. */
static bool number_parse(const char *text, uint32_t max, uint32_t *n) {
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v == 0 || v > max)
        return false;
    *n = (uint32_t)v;
    return true;
}

/* --- stats --- */

static void stats_sample_json(void *ctx, const struct stats_sample *s) {
    json_t *labels = json_object();
    for (uint8_t i = 0; i < s->n_labels; i++)
        json_object_set_new(labels, s->labels[i].name, json_string(s->labels[i].value));
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:b, s:o, s:f}", "name", s->name, "help", s->help, "gauge",
                                         s->gauge, "labels", labels, "value", s->value));
}

static json_t *command_stats(struct control *c, char **words, int n) {
    json_t *samples = json_array();
    (void)words;
    (void)n;
    stats_walk(&c->source, stats_sample_json, samples);
    return json_pack("{s:b, s:o}", "ok", 1, "samples", samples);
}

/* --- cycles --- */

static json_t *stages_json(const struct cycles_sum *sum) {
    json_t *j = json_object();
    for (unsigned i = 0; i < CYCLES_STAGE_COUNT; i++)
        json_object_set_new(j, cycles_stage_name((enum cycles_stage)i), json_integer((json_int_t)sum->stages[i]));
    return j;
}

/* What a worker's cycles were spent on: packets it received itself or from other workers, TLS records, MQTT packets. */
static void work_json(const struct worker *w, json_t *j) {
    const struct tls_stats *tls = &w->tls.stats;
    uint64_t packets = w->stats.handoff_in, messages = 0;
    for (uint16_t p = 0; p < w->n_ports; p++)
        packets += w->ports[p].rx_packets;
    for (unsigned type = 0; type < WEIR_ARRAY_LEN(w->stats.mqtt_packets_in); type++)
        messages += w->stats.mqtt_packets_in[type] + w->stats.mqtt_packets_out[type];
    json_object_set_new(j, "packets", json_integer((json_int_t)packets));
    json_object_set_new(j, "records", json_integer((json_int_t)(tls->records_opened + tls->records_sealed)));
    json_object_set_new(j, "messages", json_integer((json_int_t)messages));
}

static json_t *worker_cycles_json(const struct worker *w) {
    const struct worker_stats *s = &w->stats;
    json_t *lengths = json_array();
    for (unsigned i = 0; i < CYCLES_LENGTHS; i++)
        json_array_append_new(lengths, json_integer((json_int_t)w->cycles.lengths[i]));
    json_t *j = json_pack(
        "{s:i, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:I, s:o}", "worker", w->index, "turns", (json_int_t)s->turns,
        "busy_turns", (json_int_t)s->turns_busy, "busy_cycles", (json_int_t)s->busy_tsc, "idle_cycles",
        (json_int_t)s->idle_tsc, "longest_turn_cycles", (json_int_t)s->longest_turn_tsc, "busy_turns_by_length",
        lengths, "measured_busy_turns", (json_int_t)w->cycles.busy.turns, "busy_stages", stages_json(&w->cycles.busy),
        "measured_empty_turns", (json_int_t)w->cycles.empty.turns, "empty_stages", stages_json(&w->cycles.empty));
    work_json(w, j);
    return j;
}

/* Counters since the start; weirctl makes shares and intervals of them. */
static json_t *command_cycles(struct control *c, char **words, int n) {
    json_t *workers = json_array();
    (void)words;
    (void)n;
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        json_array_append_new(workers, worker_cycles_json(c->weir->workers[i]));
    return json_pack("{s:b, s:I, s:o}", "ok", 1, "hz", (json_int_t)rte_get_tsc_hz(), "workers", workers);
}

/* --- flows --- */

static json_t *endpoint_json(uint32_t addr_be, uint16_t port_be) {
    char a[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &addr_be, a, sizeof(a));
    return json_sprintf("%s:%u", a, ntohs(port_be));
}

/* How losses are dealt with. */
static void loss_json(const struct flow_row *r, json_t *j) {
    json_object_set_new(j, "congestion", json_string(tcp_cc_name(r->cc)));
    json_object_set_new(j, "ecn", json_boolean(r->ecn));
    json_object_set_new(j, "recovery", json_string(r->loss ? "timeout" : r->recovery ? "fast" : "none"));
    json_object_set_new(j, "backoff", json_integer(r->backoff));
    json_object_set_new(j, "unsent", json_integer(r->unsent_bytes));
    json_object_set_new(j, "sacked", json_integer(r->sacked_bytes));
    json_object_set_new(j, "lost", json_integer(r->lost_bytes));
}

static json_t *flow_json(const struct control *c, const struct flow_row *r, uint16_t worker) {
    const struct config *config = c->weir->config;
    json_t *j = json_pack(
        "{s:s, s:o, s:o, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:i, s:i, s:i}", "state",
        tcp_state_name(r->state), "local", endpoint_json(r->local_addr_be, r->local_port_be), "peer",
        endpoint_json(r->peer_addr_be, r->peer_port_be), "port", c->weir->ports.port[r->port].name, "worker", worker,
        "mss", r->mss, "cwnd", (int)r->cwnd_bytes, "ssthresh",
        (int)(r->ssthresh_bytes > INT32_MAX ? INT32_MAX : r->ssthresh_bytes), "srtt_us", (int)r->srtt_us, "rttvar_us",
        (int)r->rttvar_us, "rto_us", (int)r->rto_us, "snd_wnd", (int)r->snd_wnd_bytes, "rcv_wnd", (int)r->rcv_wnd_bytes,
        "unacked", (int)r->unacked_bytes, "sack", r->sack, "ts", r->timestamps, "rx_queued", (int)r->rx_bytes,
        "retransmits", (int)r->retransmits, "wscale", r->snd_wscale << 4 | r->rcv_wscale);
    loss_json(r, j);
    if (r->listener != LB_NONE)
        json_object_set_new(j, "listener", json_string(config->listeners[r->listener].name));
    if (r->pool != LB_NONE && r->server != LB_NONE)
        json_object_set_new(
            j, "server",
            json_sprintf("%s/%s", config->pools[r->pool].name, config->pools[r->pool].servers[r->server].name));
    if (r->suite[0] != '\0')
        json_object_set_new(j, "tls", json_string(r->suite));
    if (r->alpn[0] != '\0')
        json_object_set_new(j, "alpn", json_stringn_nocheck(r->alpn, strlen(r->alpn)));
    if (r->subject[0] != '\0')
        json_object_set_new(j, "client", json_stringn_nocheck(r->subject, strlen(r->subject)));
    return j;
}

static json_t *command_flows(struct control *c, char **words, int n) {
    uint32_t max = FLOWS_MAX;
    if (n > 1 && !number_parse(words[1], FLOWS_MAX, &max))
        return commands_error("flows shows 1 to %u connections, not %s", FLOWS_MAX, words[1]);
    json_t *list = json_array();
    struct flow_row *rows = calloc(FLOWS_PAGE, sizeof(*rows));
    int rc = rows != NULL ? 0 : WEIR_ENOMEM;
    for (uint16_t w = 0; w < c->weir->n_workers && rc == 0; w++) {
        struct mail m = {.kind = MAIL_FLOWS, .rows = rows, .max_rows = FLOWS_PAGE};
        do {
            rc = control_ask(c, w, &m);
            for (uint32_t i = 0; i < m.n_rows && rc == 0 && json_array_size(list) < max; i++)
                json_array_append_new(list, flow_json(c, &rows[i], w));
        } while (rc == 0 && m.after != 0 && json_array_size(list) < max);
    }
    if (rc != WEIR_EIO) /* a worker that did not answer may still write to it */
        free(rows);
    if (rc != 0) {
        json_decref(list);
        return commands_error("a worker does not answer");
    }
    return json_pack("{s:b, s:o}", "ok", 1, "flows", list);
}

/* --- servers --- */

static json_t *server_tls_json(const struct weir *weir, const struct config_server *cs) {
    enum server_tls last = server_tls_last(weir, cs->id);
    char why[SERVER_TLS_TEXT_MAX];
    json_int_t handshakes = 0, resumed = 0;
    server_tls_tell(weir, cs->id, why);
    for (uint16_t w = 0; w < weir->n_workers; w++) {
        handshakes += (json_int_t)weir->workers[w]->servers[cs->id].tls_handshakes;
        resumed += (json_int_t)weir->workers[w]->servers[cs->id].tls_resumed;
    }
    return json_pack("{s:s, s:I, s:I, s:s, s:s*}", "name", cs->tls_name, "handshakes", handshakes, "resumed", resumed,
                     "failure", server_tls_name(last), "text", why[0] != '\0' ? why : NULL);
}

static json_t *command_servers(struct control *c, char **words, int n) {
    const struct config *config = c->weir->config;
    json_t *list = json_array();
    (void)words;
    (void)n;
    for (uint16_t p = 0; p < config->n_pools; p++) {
        for (uint16_t s = 0; s < config->pools[p].n_servers; s++) {
            const struct config_server *cs = &config->pools[p].servers[s];
            json_t *states = json_array();
            json_int_t open = 0, total = 0, failed = 0;
            for (uint16_t w = 0; w < c->weir->n_workers; w++) {
                const struct worker_server *ws = &c->weir->workers[w]->servers[cs->id];
                open += ws->open;
                total += (json_int_t)ws->connections;
                failed += (json_int_t)ws->connect_failures;
                json_array_append_new(states,
                                      json_string(lb_state_name(c->weir->workers[w]->pools[p].servers[s].state)));
            }
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:o, s:i, s:o, s:I, s:I, s:I, s:o*}", "pool", config->pools[p].name,
                                "server", cs->name, "policy", lb_policy_name(config->pools[p].policy), "address",
                                endpoint_json(cs->addr_be, cs->port_be), "weight", cs->weight, "states", states, "open",
                                open, "connections", total, "failures", failed, "tls",
                                config->pools[p].tls.on ? server_tls_json(c->weir, cs) : NULL));
        }
    }
    return json_pack("{s:b, s:o}", "ok", 1, "servers", list);
}

/* POOL/SERVER to its indices. */
static bool server_find(const struct config *config, char *what, uint16_t *pool, uint16_t *server) {
    char *slash = strchr(what, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    for (*pool = 0; *pool < config->n_pools; (*pool)++) {
        if (strcmp(config->pools[*pool].name, what) != 0)
            continue;
        for (*server = 0; *server < config->pools[*pool].n_servers; (*server)++)
            if (strcmp(config->pools[*pool].servers[*server].name, slash + 1) == 0)
                return true;
    }
    *slash = '/';
    return false;
}

static json_t *command_server_event(struct control *c, char **words, int n) {
    struct mail m = {.kind = MAIL_SERVER_EVENT, .event = strcmp(words[0], "drain") == 0 ? LB_EV_DRAIN : LB_EV_READY};
    (void)n;
    if (!server_find(c->weir->config, words[1], &m.pool, &m.server))
        return commands_error("there is no server %s; `weirctl servers` lists them as POOL/SERVER", words[1]);
    if (control_ask_all(c, &m) != 0)
        return commands_error("a worker does not answer");
    return json_pack("{s:b}", "ok", 1);
}

static json_t *command_reload_all(struct control *c, char **words, int n) {
    (void)words;
    (void)n;
    return command_reload(c, SNAPSHOT_ALL);
}

/* --- capture --- */

static int port_find(const struct control *c, const char *name) {
    for (uint16_t i = 0; i < c->weir->ports.n; i++)
        if (strcmp(c->weir->ports.port[i].name, name) == 0)
            return i;
    return -1;
}

/* capture PORT FILE COUNT: answered when it is over. */
static json_t *command_capture(struct control *c, char **words, int n) {
    int port = port_find(c, words[1]);
    uint32_t count;
    char error[256];
    (void)n;
    if (port < 0)
        return commands_error("there is no port %s", words[1]);
    if (!number_parse(words[3], CAPTURE_MAX, &count))
        return commands_error("a capture takes 1 to %u packets, not %s", CAPTURE_MAX, words[3]);
    if (c->capture != NULL)
        return commands_error("a capture is running already; one at a time");
    struct capture_options o = {
        .port = &c->weir->ports.port[port], .path = words[2], .max_packets = count, .n_workers = c->weir->n_workers};
    if (capture_start(&c->capture, &o, clock_now_us(&c->weir->clock), error, sizeof(error)) != 0) {
        c->capture = NULL;
        return commands_error("%s", error);
    }
    c->capture_port = (uint16_t)port;
    struct mail m = {.kind = MAIL_CAPTURE, .port = c->capture_port, .capture = c->capture};
    if (control_ask_all(c, &m) != 0) {
        commands_capture_end(c, NULL);
        return commands_error("a worker does not answer");
    }
    return NULL;
}

/* Wait until `fd` can be read or written, up to a moment: a peer that drips bytes wins no time by it. */
static bool ready_by(int fd, short events, uint64_t deadline_us, const struct clock_tsc *clock) {
    uint64_t now_us = clock_now_us(clock);
    struct pollfd p = {.fd = fd, .events = events};
    return now_us < deadline_us && poll(&p, 1, (int)((deadline_us - now_us) / 1000) + 1) == 1;
}

static void reply(const struct control *c, int fd, json_t *j) {
    uint64_t deadline_us = clock_now_us(&c->weir->clock) + PATIENCE_MS * 1000;
    char *text = json_dumps(j, JSON_COMPACT);
    for (size_t done = 0, len = text != NULL ? strlen(text) : 0; done < len;) {
        if (!ready_by(fd, POLLOUT, deadline_us, &c->weir->clock))
            break;
        ssize_t n = send(fd, text + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    free(text);
    json_decref(j);
    close(fd);
}

void commands_capture_end(struct control *c, const char *failure) {
    struct capture_stats r;
    struct mail m = {.kind = MAIL_CAPTURE, .port = c->capture_port, .capture = NULL};
    if (c->capture == NULL)
        return;
    /* A worker that does not let go keeps it: better a leak than a use after free. Stopped workers need no telling. */
    bool free_to_go = __atomic_load_n(&c->weir->stop, __ATOMIC_ACQUIRE) || control_ask_all(c, &m) == 0;
    while (free_to_go && !capture_done(c->capture) && capture_drain(c->capture) > 0)
        ;
    capture_stats(c->capture, &r);
    if (free_to_go)
        capture_stop(c->capture);
    c->capture = NULL;
    if (c->capture_fd >= 0)
        reply(c, c->capture_fd,
              json_pack("{s:b, s:s*, s:I, s:I}", "ok", failure == NULL, "error", failure, "packets",
                        (json_int_t)r.written, "lost", (json_int_t)r.dropped));
    c->capture_fd = -1;
}

void commands_capture_tick(struct control *c) {
    if (c->capture == NULL)
        return;
    struct pollfd p = {.fd = c->capture_fd, .events = POLLRDHUP};
    bool gone = poll(&p, 1, 0) > 0;
    if (capture_drain(c->capture) < 0)
        commands_capture_end(c, "the file cannot be written on: is the disk full?");
    else if (capture_done(c->capture) || gone)
        commands_capture_end(c, NULL);
}

/* --- requests --- */

static const struct {
    const char *name, *usage; /* as weirctl takes it */
    int min, max;             /* words, the name included */
    json_t *(*run)(struct control *c, char **words, int n);
} commands[] = {
    {"stats", "stats [FILTER]", 1, 1, command_stats},
    {"cycles", "cycles [--interval S] [--watch]", 1, 1, command_cycles},
    {"flows", "flows [MAX]", 1, 2, command_flows},
    {"servers", "servers", 1, 1, command_servers},
    {"drain", "drain POOL/SERVER", 2, 2, command_server_event},
    {"ready", "ready POOL/SERVER", 2, 2, command_server_event},
    {"reload", "reload", 1, 1, command_reload_all},
    {"cert", "cert show|reload [TLS|POOL]", 2, 3, command_cert},
    {"capture", "capture PORT -w FILE -c N", 4, 4, command_capture},
};

/* A line, up to its newline. Returns its length or 0. */
static size_t request_read(const struct control *c, int fd, char *buf) {
    uint64_t deadline_us = clock_now_us(&c->weir->clock) + PATIENCE_MS * 1000;
    size_t n = 0;
    while (n < REQUEST_MAX - 1 && ready_by(fd, POLLIN, deadline_us, &c->weir->clock)) {
        ssize_t got = recv(fd, buf + n, REQUEST_MAX - 1 - n, MSG_DONTWAIT);
        if (got <= 0)
            return 0;
        n += (size_t)got;
        buf[n] = '\0';
        char *end = strchr(buf, '\n');
        if (end != NULL) {
            *end = '\0';
            return (size_t)(end - buf);
        }
    }
    return 0;
}

/* Words are separated by tabs, so that a file name may hold blanks. */
static int request_split(char *line, char **words) {
    int n = 0;
    for (char *save = NULL, *w = strtok_r(line, "\t", &save); w != NULL && n < WORDS_MAX;
         w = strtok_r(NULL, "\t", &save))
        words[n++] = w;
    return n;
}

static json_t *request_run(struct control *c, char **words, int n) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(commands); i++) {
        if (strcmp(words[0], commands[i].name) != 0)
            continue;
        if (n < commands[i].min || n > commands[i].max)
            return commands_error("usage: weirctl %s", commands[i].usage);
        return commands[i].run(c, words, n);
    }
    return commands_error("weir knows no command %s", words[0]);
}

void commands_serve(struct control *c, int fd) {
    char line[REQUEST_MAX], *words[WORDS_MAX];
    int n = request_read(c, fd, line) > 0 ? request_split(line, words) : 0;
    if (n == 0) {
        close(fd);
        return;
    }
    json_t *answer = request_run(c, words, n);
    if (answer != NULL)
        reply(c, fd, answer);
    else
        c->capture_fd = fd; /* answered when the capture is over */
}
