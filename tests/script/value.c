/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers, times, names and the small arithmetic of scripts: sums of products, without spaces and brackets. */
#include "script.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

struct counter {
    const char *name;
    size_t offset;
};
static const struct counter counters[] = {
#define X(name, help) {#name, offsetof(struct tcp_stats, name)},
    TCP_COUNTERS(X)
#undef X
};

static bool counter_named(const struct tcp_stats *s, const char *name, int64_t *value) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(counters); i++)
        if (!strcmp(name, counters[i].name)) {
            *value = (int64_t) * (const uint64_t *)((const char *)s + counters[i].offset);
            return true;
        }
    return false;
}

/* drops.paws, ends.fin, states.TIME_WAIT */
static bool array_named(const struct tcp_stats *s, const char *name, int64_t *value) {
    if (!strncmp(name, "drops.", 6)) {
        for (unsigned i = 0; i < TCP_DROP_COUNT; i++)
            if (!strcmp(name + 6, tcp_drop_name(i)))
                return *value = (int64_t)s->drops[i], true;
    } else if (!strncmp(name, "ends.", 5)) {
        for (unsigned i = 0; i < TCP_END_COUNT; i++)
            if (!strcmp(name + 5, tcp_end_name(i)))
                return *value = (int64_t)s->ends[i], true;
    } else if (!strncmp(name, "states.", 7)) {
        for (unsigned i = 0; i < TCP_STATE_COUNT; i++)
            if (!strcmp(name + 7, tcp_state_name(i)))
                return *value = s->by_state[i], true;
    } else if (!strcmp(name, "drops")) {
        *value = 0;
        for (unsigned i = 0; i < TCP_DROP_COUNT; i++)
            *value += (int64_t)s->drops[i];
        return true;
    }
    return false;
}

static bool gauge_named(const struct tcp_core *core, const char *name, int64_t *value) {
    const struct {
        const char *name;
        int64_t value;
    } gauges[] = {
        {"half_open", core->half_open},
        {"time_wait", core->time_wait.count},
        {"rx_mbufs", core->stats.rx_mbufs},
        {"tx_mbufs", core->stats.tx_mbufs},
    };
    if (!strcmp(name, "flows")) {
        *value = 0;
        for (unsigned s = 0; s < TCP_STATE_COUNT; s++)
            *value += core->stats.by_state[s];
        return true;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(gauges); i++)
        if (!strcmp(name, gauges[i].name))
            return *value = gauges[i].value, true;
    return false;
}

static bool field_named(struct world *w, const char *name, int64_t *value) {
    tcp_id id = world_conn(w);
    if (!id)
        return false;
    struct tcp_info f;
    tcp_conn_info(w->core, id, &f);
    const struct tcp_conn *c = tcp_conn_of(w->core, id);
    const struct {
        const char *name;
        int64_t value;
    } fields[] = {
        {"mss", f.mss},
        {"cwnd", f.cwnd_bytes},
        {"ssthresh", f.ssthresh_bytes},
        {"snd_wnd", f.snd_wnd_bytes},
        {"rcv_wnd", f.rcv_wnd_bytes},
        {"unacked", f.unacked_bytes},
        {"unread", f.rx_bytes},
        {"srtt_us", f.srtt_us},
        {"rttvar_us", f.rttvar_us},
        {"rto_us", f.rto_us},
        {"resent", f.retransmits},
        {"snd_wscale", f.snd_wscale},
        {"rcv_wscale", f.rcv_wscale},
        {"sack", f.sack},
        {"timestamps", f.timestamps},
        {"ts_recent", c->ts_recent},
        {"flight", (int64_t)(int32_t)(world_flow(w)->iss + world_flow(w)->top - c->snd_una)},
        {"backoff", c->backoff},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fields); i++)
        if (!strcmp(name, fields[i].name))
            return *value = fields[i].value, true;
    return false;
}

bool value_named(struct world *w, const char *name, int64_t *value) {
    for (unsigned i = 0; i < w->n_variables; i++)
        if (!strcmp(name, w->variables[i].name))
            return *value = w->variables[i].value, true;
    if (!strcmp(name, "now_ms"))
        return *value = (int64_t)((w->now_us - w->began_us) / 1000), true;
    struct tcp_core *core = world_core(w);
    return counter_named(&core->stats, name, value) || array_named(&core->stats, name, value) ||
           gauge_named(core, name, value) || field_named(w, name, value);
}

void value_let(struct world *w, const char *name, int64_t value) {
    unsigned i = 0;
    while (i < w->n_variables && strcmp(w->variables[i].name, name))
        i++;
    if (i == SCRIPT_VARIABLES)
        fail(w, "too many variables");
    if (i == w->n_variables)
        w->n_variables++;
    snprintf(w->variables[i].name, sizeof w->variables[i].name, "%s", name);
    w->variables[i].value = value;
}

/* --- expressions --- */

static int64_t atom(struct world *w, const char **p, const char *word) {
    if (isdigit((unsigned char)**p)) {
        char *end;
        int64_t v = (int64_t)strtoull(*p, &end, 0);
        *p = end;
        return v;
    }
    char name[32];
    size_t n = 0;
    while ((isalnum((unsigned char)(*p)[n]) || (*p)[n] == '_' || (*p)[n] == '.') && n < sizeof name - 1)
        n++;
    memcpy(name, *p, n);
    name[n] = '\0';
    int64_t v;
    if (!n || !value_named(w, name, &v))
        fail(w, "no number or known name: \"%s\" in \"%s\"", *p, word);
    *p += n;
    return v;
}

static int64_t product(struct world *w, const char **p, const char *word) {
    int64_t v = atom(w, p, word);
    while (**p == '*' || **p == '/') {
        char op = *(*p)++;
        int64_t right = atom(w, p, word);
        if (op == '/' && !right)
            fail(w, "division by zero in \"%s\"", word);
        v = op == '*' ? v * right : v / right;
    }
    return v;
}

int64_t value_of(struct world *w, const char *word) {
    const char *p = word;
    bool minus = *p == '-';
    p += minus;
    int64_t v = product(w, &p, word);
    v = minus ? -v : v;
    while (*p == '+' || *p == '-') {
        char op = *p++;
        int64_t right = product(w, &p, word);
        v = op == '+' ? v + right : v - right;
    }
    if (*p)
        fail(w, "cannot read \"%s\" from \"%s\" on", word, p);
    return v;
}

uint32_t value_seq(struct world *w, const char *word, uint32_t base) {
    return *word == '=' ? (uint32_t)value_of(w, word + 1) : base + (uint32_t)value_of(w, word);
}

uint64_t value_time(struct world *w, const char *word) {
    static const struct {
        const char *unit;
        uint64_t us;
    } units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"min", 60000000}, {"d", 86400000000ull}};
    size_t digits = strspn(word, "0123456789.");
    if (digits)
        for (size_t i = 0; i < WEIR_ARRAY_LEN(units); i++)
            if (!strcmp(word + digits, units[i].unit))
                return (uint64_t)(strtod(word, NULL) * (double)units[i].us + 0.5);
    int64_t ms = value_of(w, word);
    if (ms < 0)
        fail(w, "a time before now: \"%s\"", word);
    return (uint64_t)ms * 1000;
}

bool value_holds(struct world *w, int64_t left, const char *op, int64_t right) {
    static const char *const ops[] = {"=", "!=", "<", "<=", ">", ">="};
    const bool holds[] = {left == right, left != right, left<right, left <= right, left> right, left >= right};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ops); i++)
        if (!strcmp(op, ops[i]))
            return holds[i];
    fail(w, "\"%s\" compares nothing: = != < <= > >=", op);
}
