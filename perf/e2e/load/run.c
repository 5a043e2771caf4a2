/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "report.h"

#define NANO          1000000000ull
#define STALL_S       15.0 /* connecting: no new connection for so long is the end of it */
#define DRAIN_S       10.0 /* what is in flight gets so long to arrive, or */
#define DRAIN_QUIET_S 1.0  /* until nothing has for so long */
#define GOODBYE_S     30.0
#define RECONNECT_S   15.0 /* between trials, for clients that were reset */
#define PAUSE_S       0.3  /* after each trial: queues and delayed ACKs everywhere come to rest */
#define SETTLE_S      0.5  /* at the start of each, not counted; at most a quarter of it */
#define LIMIT_SHARE   0.9
#define REST_QUIET_S  0.05  /* by turns: nothing is under way any more after so long; delayed ACKs take 0.04 */
#define REST_S        1.0   /* and at the latest after so long */
#define SLEEP_NS      50000 /* of a turn without work, where the CPU is shared */

/* Counters over a stretch of time that includes resets of load's own ones. */
struct sums {
    uint64_t sent, received, acked, lost;
};

struct run {
    const struct load_options *o;
    struct load *load;
    const struct run_clock *clock;
    struct run_asked *asked;
    int stop_at; /* asked->stop from which on phases end */
    FILE *out;
    struct run_result *r;
    uint64_t tsc, now_ns; /* of this turn */
    uint64_t stopped_ns;  /* by turns: in which the process stood still; not part of now_ns */
    bool resting;
    struct sums before;       /* the last load_stats_reset */
    uint64_t phase_ns;        /* when it began */
    double phase_s;           /* how long it may last */
    uint64_t said, said_ns;   /* what the last line of progress counted, and when */
    uint64_t moved, moved_ns; /* what wait conditions count, and when it last changed */
    const char *what;         /* for lines of progress */
};

/* What one measured stretch saw. */
struct window {
    struct run_traffic traffic;
    struct run_generator generator;
};

void run_clock_init(struct run_clock *c) {
    c->mult = (uint64_t)(((unsigned __int128)NANO << 32) / rte_get_tsc_hz());
}

uint64_t run_clock_ns(const struct run_clock *c, uint64_t tsc) {
    return (uint64_t)((unsigned __int128)tsc * c->mult >> 32);
}

static void fail(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct run *run, const char *format, ...) {
    if (run->r->n_failures == RUN_MAX_FAILURES)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(run->r->failures[run->r->n_failures++], sizeof(run->r->failures[0]), format, args);
    va_end(args);
}

static bool stopped(const struct run *run) {
    return run->asked->stop >= run->stop_at;
}

static double seconds_since(const struct run *run, uint64_t ns) {
    return (double)(run->now_ns - ns) / (double)NANO;
}

/* --- turns --- */

/* Returns the work done. */
static uint32_t turn(struct run *run) {
    uint32_t work = load_turn(run->load, run->now_ns);
    if (run->o->share_cpu && work == 0)
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    uint64_t tsc = rte_rdtsc();
    if (work != 0 || !run->resting)
        load_account(run->load, work, tsc - run->tsc);
    run->tsc = tsc;
    run->now_ns = run_clock_ns(run->clock, tsc) - run->stopped_ns;
    return work;
}

/* Stand still until SIGCONT; no time passes. */
static void stand_still(struct run *run) {
    raise(SIGSTOP);
    uint64_t tsc = rte_rdtsc();
    run->stopped_ns += run_clock_ns(run->clock, tsc) - run_clock_ns(run->clock, run->tsc);
    run->tsc = tsc;
}

/* Returns how long what was under way took to come to its end, ns. */
static uint64_t rest(struct run *run) {
    uint64_t begun_ns = run->now_ns, work_ns = begun_ns;
    run->resting = true;
    load_resting(run->load, true, begun_ns);
    while (seconds_since(run, work_ns) < REST_QUIET_S && seconds_since(run, begun_ns) < REST_S && !stopped(run))
        if (turn(run) != 0)
            work_ns = run->now_ns;
    run->asked->rest = 0;
    if (!stopped(run))
        stand_still(run);
    load_resting(run->load, false, run->now_ns);
    run->resting = false;
    run->r->rests.n++;
    run->r->rests.seconds += seconds_since(run, begun_ns);
    return run->now_ns - begun_ns;
}

/* A rest is no part of the phase. */
static uint64_t rest_in_phase(struct run *run) {
    uint64_t rested_ns = rest(run);
    run->phase_ns += rested_ns;
    run->moved_ns += rested_ns;
    run->said_ns += rested_ns;
    return rested_ns;
}

/* Events a second since the last line of progress. */
static double rate_since(struct run *run, uint64_t value) {
    double s = seconds_since(run, run->said_ns);
    double rate = value >= run->said && s > 0 ? (double)(value - run->said) / s : 0;
    run->said = value;
    run->said_ns = run->now_ns;
    return rate;
}

/* Turns until `until` holds (NULL: never) or `seconds` are over, with a line of `say` (may be NULL) each second.
 * Returns whether `until` held. */
static bool turns(struct run *run, double seconds, bool (*until)(struct run *), void (*say)(struct run *)) {
    uint64_t next_line_ns = run->now_ns + NANO;
    run->phase_ns = run->moved_ns = run->said_ns = run->now_ns;
    run->phase_s = seconds;
    run->said = 0;
    uint64_t end_ns = run->now_ns + (uint64_t)(seconds * (double)NANO);
    while (run->now_ns < end_ns && !stopped(run)) {
        turn(run);
        if (until && until(run))
            return true;
        if (say && run->now_ns >= next_line_ns) {
            say(run);
            next_line_ns += NANO;
        }
        if (run->asked->rest) {
            uint64_t rested_ns = rest_in_phase(run);
            end_ns += rested_ns;
            next_line_ns += rested_ns;
        }
    }
    return false;
}

/* For how long has `value` not changed? */
static double still_s(struct run *run, uint64_t value) {
    if (value != run->moved) {
        run->moved = value;
        run->moved_ns = run->now_ns;
    }
    return seconds_since(run, run->moved_ns);
}

/* --- counters --- */

static uint64_t failed_connects(const struct load_stats *s) {
    return s->connect_failed + s->tls_failed + s->mqtt_refused;
}

/* Nobody here ends one before goodbye. */
static uint64_t lost_connections(const struct load_stats *s) {
    return s->resets + s->closed + s->broker_resets;
}

static struct run_quantiles quantiles(const struct histogram *h) {
    return (struct run_quantiles){
        .min = h->count ? h->min : 0,
        .mean = histogram_mean(h),
        .p50 = histogram_quantile(h, 0.5),
        .p90 = histogram_quantile(h, 0.9),
        .p99 = histogram_quantile(h, 0.99),
        .p999 = histogram_quantile(h, 0.999),
        .max = h->max,
    };
}

static struct run_generator generator(const struct load_stats *s) {
    uint64_t all = s->busy_tsc + s->idle_tsc;
    double share = all ? (double)s->busy_tsc / (double)all : 0;
    return (struct run_generator){share, s->turns, s->packets_in, s->packets_out, share > LIMIT_SHARE};
}

static struct sums sums_of(const struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    struct sums sums = run->before;
    sums.sent += s->messages_sent;
    sums.received += s->messages_received;
    sums.acked += s->messages_acked;
    sums.lost += s->messages_lost;
    return sums;
}

static void reset(struct run *run) {
    run->before = sums_of(run);
    load_stats_reset(run->load);
}

static bool is_qos1(const struct run *run) {
    return run->o->traffic == LOAD_QOS1;
}

/* Sent and neither there nor known to be lost. A loss under QoS 1 shows as a missing acknowledgement, too. */
static int64_t in_flight(const struct run *run) {
    struct sums s = sums_of(run);
    return is_qos1(run) ? (int64_t)(s.sent - s.acked) : (int64_t)(s.sent - s.received - s.lost);
}

/* --- connect --- */

static bool connects_done(struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    return s->open >= run->o->connections || still_s(run, s->open) > STALL_S; /* who failed tries again */
}

static void say_connecting(struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    report_connecting(run->out, s, run->o->connections, rate_since(run, s->mqtt_accepted));
}

static void connect_result(struct run *run, const struct load_stats *s, double seconds) {
    struct run_connect *c = &run->r->connect;
    c->connected = s->mqtt_accepted;
    c->failed = failed_connects(s);
    c->resumed = s->tls_resumed;
    c->seconds = seconds;
    c->per_s = seconds > 0 ? (double)s->mqtt_accepted / seconds : 0;
    c->ns = quantiles(&s->connect_ns);
}

/* Returns whether all are there. */
static bool connect_all(struct run *run) {
    uint64_t start_ns = run->now_ns;
    uint32_t wanted = run->o->connections;
    turns(run, 1e9, connects_done, say_connecting);
    const struct load_stats *s = load_stats(run->load);
    /* Those that stalled waited in vain for STALL_S: that is no part of the rate. */
    double seconds = s->open < wanted && !stopped(run) ? (double)(run->moved_ns - start_ns) / (double)NANO
                                                       : seconds_since(run, start_ns);
    run->r->connected = true;
    run->r->connect.wanted = wanted;
    connect_result(run, s, seconds);
    run->r->generator = generator(s);
    if (s->open < wanted && !stopped(run))
        fail(
            run,
            "%u of %u connections are open: %lu attempts failed in TCP, %lu in TLS, %lu in MQTT, %lu were reset later; "
            "see the target's log and limits",
            s->open, wanted, (unsigned long)s->connect_failed, (unsigned long)s->tls_failed,
            (unsigned long)s->mqtt_refused, (unsigned long)s->resets);
    return s->open >= wanted;
}

/* --- traffic --- */

static void say_publishing(struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    report_publishing(run->out, run->what, s, rate_since(run, is_qos1(run) ? s->messages_acked : s->messages_received));
}

static bool drained(struct run *run) {
    int64_t n = in_flight(run);
    return n <= 0 || still_s(run, (uint64_t)n) > DRAIN_QUIET_S;
}

/* What has piled up since the last reset, when `flying` messages were on their way. A generator that cannot even draw
 * what its schedule says counts as if it had queued it; Poisson arrivals may be fewer than that by chance. */
static int64_t queue_growth(const struct run *run, double rate, double seconds, int64_t flying) {
    const struct load_stats *s = load_stats(run->load);
    double undrawn = rate * seconds - (double)s->messages_due;
    int64_t growth = (int64_t)(s->messages_due - s->messages_sent) + in_flight(run) - flying;
    return undrawn > rate * seconds / 50 + 5 * sqrt(rate * seconds) ? growth + (int64_t)undrawn : growth;
}

/* Publish at `rate` for settle_s uncounted and `seconds` counted, then let it run dry. */
static void measure(struct run *run, double rate, double settle_s, double seconds, struct window *w) {
    *w = (struct window){0};
    struct run_traffic *t = &w->traffic;
    load_rate(run->load, rate, run->now_ns);
    load_publishing(run->load, true, run->now_ns);
    turns(run, settle_s, NULL, NULL);
    reset(run);
    int64_t flying = in_flight(run);
    turns(run, seconds, NULL, say_publishing);
    const struct load_stats *s = load_stats(run->load);
    t->seconds = seconds_since(run, run->phase_ns);
    t->due = s->messages_due;
    t->sent = s->messages_sent;
    t->received = s->messages_received;
    t->acked = s->messages_acked;
    t->queue_growth = rate > 0 ? queue_growth(run, rate, t->seconds, flying) : 0;
    if (t->seconds > 0) {
        t->per_s = (double)(is_qos1(run) ? s->messages_acked : s->messages_received) / t->seconds;
        t->bytes_per_s = (double)s->bytes_received / t->seconds;
    }
    w->generator = generator(s);
    load_publishing(run->load, false, run->now_ns);
    turns(run, DRAIN_S, drained, NULL);
    s = load_stats(run->load);
    int64_t missing = in_flight(run);
    uint64_t unseen = missing > 0 ? (uint64_t)missing : 0;
    t->lost = !is_qos1(run) ? s->messages_lost + unseen : s->messages_lost > unseen ? s->messages_lost : unseen;
    t->corrupt = s->messages_corrupt;
    t->resets = lost_connections(s);
    t->ns = quantiles(&s->latency_ns);
    run->before = (struct sums){0}; /* the next stretch begins with nothing in flight */
    load_stats_reset(run->load);
}

static void publish(struct run *run) {
    struct window w;
    double rate = run->o->schedule.rate_per_s;
    run->what = "publishing";
    measure(run, rate, run->o->warmup_s, run->o->duration_s, &w);
    run->r->traffic_done = true;
    run->r->traffic = w.traffic;
    run->r->generator = w.generator;
    const struct run_traffic *t = &w.traffic;
    struct ndr_observation o = {t->due, t->sent, 0, 0, 0, t->queue_growth};
    if (t->lost || t->corrupt || t->resets)
        fail(run, "%lu messages lost, %lu corrupt, %lu connections reset", (unsigned long)t->lost,
             (unsigned long)t->corrupt, (unsigned long)t->resets);
    if (rate > 0 && ndr_judge(&o, 0) != NDR_GOOD)
        fail(run, "%.0f messages/s are more than goes through: %ld piled up", rate, (long)t->queue_growth);
    if (!t->sent && !stopped(run))
        fail(run, "no message left");
}

/* --- storm --- */

static uint64_t stormed(const struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    return s->open > run->o->connections ? s->open - run->o->connections : 0;
}

static bool storm_over(struct run *run) {
    struct run_storm *r = &run->r->storm;
    uint64_t open = stormed(run);
    if (r->per_s <= 0 && open >= r->clients - r->clients / 20)
        r->per_s = (double)open / seconds_since(run, run->phase_ns);
    return open >= r->clients;
}

static void say_storm(struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    report_storm(run->out, s, run->r->storm.clients, stormed(run), rate_since(run, s->mqtt_accepted));
}

/* After the measured traffic, which is what it is compared with, the same traffic in a storm. */
static void storm(struct run *run) {
    struct run_storm *r = &run->r->storm;
    r->clients = run->o->storm;
    load_rate(run->load, run->o->schedule.rate_per_s, run->now_ns);
    load_publishing(run->load, true, run->now_ns);
    turns(run, SETTLE_S, NULL, NULL);
    reset(run);
    load_storm(run->load);
    turns(run, run->o->storm_s, storm_over, say_storm);
    const struct load_stats *s = load_stats(run->load);
    r->seconds = seconds_since(run, run->phase_ns);
    r->opened = stormed(run);
    r->attempts = s->connects_begun;
    r->gave_up = failed_connects(s);
    r->ns = quantiles(&s->latency_ns);
    r->open = quantiles(&s->connect_ns);
    run->r->storm_done = true;
    run->r->generator = generator(s);
    if (r->opened < r->clients && !stopped(run))
        fail(run, "%lu of %lu clients of the storm got in", (unsigned long)r->opened, (unsigned long)r->clients);
    if (s->resets + s->closed > 0)
        fail(run, "%lu connections were lost in the storm", (unsigned long)(s->resets + s->closed));
    load_publishing(run->load, false, run->now_ns);
    turns(run, DRAIN_S, drained, NULL);
}

/* --- churn --- */

static void say_churning(struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    report_connecting(run->out, s, 0, rate_since(run, s->mqtt_accepted));
}

static void churn(struct run *run) {
    turns(run, run->o->warmup_s, NULL, NULL);
    load_stats_reset(run->load);
    turns(run, run->o->duration_s, NULL, say_churning);
    const struct load_stats *s = load_stats(run->load);
    struct run_result *r = run->r;
    r->connected = r->traffic_done = true;
    connect_result(run, s, seconds_since(run, run->phase_ns));
    r->connect.wanted = r->connect.connected + r->connect.failed;
    r->traffic = (struct run_traffic){
        .seconds = r->connect.seconds, .per_s = r->connect.per_s, .resets = s->resets, .ns = r->connect.ns};
    r->generator = generator(s);
    if (r->connect.failed || s->resets)
        fail(run, "%lu handshakes failed, %lu connections were reset", (unsigned long)r->connect.failed,
             (unsigned long)s->resets);
    if (!r->connect.connected && !stopped(run))
        fail(run, "no handshake was completed");
    load_connecting(run->load, false);
}

/* --- hold --- */

static void say_holding(struct run *run) {
    report_holding(run->out, load_stats(run->load), run->phase_s - seconds_since(run, run->phase_ns));
}

static void hold(struct run *run) {
    uint64_t start_ns = run->now_ns;
    uint32_t open = load_stats(run->load)->open;
    load_connecting(run->load, false); /* what is lost stays lost, and is seen */
    load_stats_reset(run->load);
    turns(run, run->o->hold_s, NULL, say_holding);
    const struct load_stats *s = load_stats(run->load);
    run->r->hold_done = true;
    run->r->hold = (struct run_hold){seconds_since(run, start_ns), s->open, lost_connections(s)};
    if (s->open < open || run->r->hold.resets)
        fail(run, "%u connections were open and %u are left; %lu resets", open, s->open,
             (unsigned long)run->r->hold.resets);
}

/* --- ndr --- */

static bool all_open(struct run *run) {
    return load_stats(run->load)->open >= run->o->connections;
}

/* One trial, and the rest after it. Returns false where no further one makes sense. */
static bool trial(struct run *run, double rate, double seconds, struct window *w) {
    double settle_s = seconds / 4 < SETTLE_S ? seconds / 4 : SETTLE_S;
    measure(run, rate, settle_s, seconds, w);
    if (stopped(run))
        return false;
    turns(run, PAUSE_S, NULL, NULL);
    if (!all_open(run) && !turns(run, RECONNECT_S, all_open, say_connecting) && !stopped(run))
        fail(run, "only %u of %u connections came back after a trial at %.0f messages/s", load_stats(run->load)->open,
             run->o->connections, rate);
    load_stats_reset(run->load);
    return !stopped(run) && all_open(run);
}

static void search(struct run *run) {
    const struct load_ndr_options *o = &run->o->ndr;
    struct run_ndr *r = &run->r->ndr;
    struct ndr n;
    double rate;
    ndr_init(&n, o->min, o->max, o->precision);
    run->what = "trial";
    while (ndr_next(&n, &rate) && r->n_trials < RUN_MAX_TRIALS) {
        struct window w;
        bool go_on = trial(run, rate, o->trial_s, &w);
        const struct run_traffic *t = &w.traffic;
        struct ndr_observation seen = {t->due, t->sent, t->lost, t->corrupt, t->resets, t->queue_growth};
        enum ndr_verdict verdict = ndr_judge(&seen, o->loss);
        if (stopped(run))
            break;
        r->trials[r->n_trials] = (struct run_trial){rate, w.generator.busy_share, t->lost, verdict};
        report_trial(run->out, r->n_trials, &r->trials[r->n_trials]);
        r->n_trials++;
        r->limited |= verdict != NDR_GOOD && w.generator.limited;
        ndr_result(&n, verdict == NDR_GOOD);
        if (!go_on)
            break;
    }
    r->rate = n.done ? n.good : 0;
    if (r->rate <= 0 && !stopped(run))
        fail(run, "no rate without loss was found: even %.0f messages/s fail", n.bad);
}

static void ndr(struct run *run) {
    struct run_ndr *r = &run->r->ndr;
    run->r->ndr_done = true;
    search(run);
    if (r->rate <= 0)
        return;
    fprintf(run->out, "highest rate without loss: %.0f messages/s; latency below it follows\n", r->rate);
    run->what = "latency";
    for (uint32_t i = 0; i < run->o->ndr.n_shares; i++) {
        struct window w;
        double share = run->o->ndr.shares[i];
        bool go_on = trial(run, r->rate * share, run->o->duration_s, &w);
        if (stopped(run))
            return;
        r->latency[r->n_latency++] = (struct run_latency){share, r->rate * share, w.traffic.ns};
        if (i + 1 == run->o->ndr.n_shares || !go_on) { /* the busiest stands for all */
            run->r->traffic_done = true;
            run->r->traffic = w.traffic;
            run->r->generator = w.generator;
        }
        if (!go_on)
            return;
    }
}

/* --- all --- */

static bool none_open(struct run *run) {
    const struct load_stats *s = load_stats(run->load);
    return s->open == 0 && s->connecting == 0;
}

static void say_goodbye(struct run *run) {
    report_goodbye(run->out, load_stats(run->load));
}

static void goodbye(struct run *run) {
    run->stop_at = 2;
    load_connecting(run->load, false);
    load_goodbye(run->load);
    turns(run, GOODBYE_S, none_open, say_goodbye);
}

void run_all(const struct load_options *o, struct load *l, const struct run_clock *clock, struct run_asked *asked,
             FILE *out, struct run_result *r) {
    *r = (struct run_result){0};
    struct run run = {.o = o, .load = l, .clock = clock, .asked = asked, .stop_at = 1, .out = out, .r = r};
    run.tsc = rte_rdtsc();
    run.now_ns = run_clock_ns(clock, run.tsc);
    if (o->traffic == LOAD_CHURN) {
        if (o->by_turns)
            rest(&run);
        churn(&run);
    } else if (connect_all(&run)) {
        if (o->by_turns)
            rest(&run);
        if (o->traffic == LOAD_IDLE)
            hold(&run);
        else if (o->ndr.on)
            ndr(&run);
        else
            publish(&run);
        if (o->storm != 0 && !stopped(&run))
            storm(&run);
    }
    r->interrupted = stopped(&run);
    if (r->interrupted)
        fail(&run, "interrupted");
    goodbye(&run);
}
