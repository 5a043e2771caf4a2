/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const traffic_names[] = {
    [LOAD_IDLE] = "idle", [LOAD_CHURN] = "churn", [LOAD_QOS0] = "qos0", [LOAD_QOS1] = "qos1", [LOAD_BULK] = "bulk",
};

static const struct {
    uint16_t suite;
    const char *name, *alias;
} suites[] = {
    {0x1301, "TLS_AES_128_GCM_SHA256", "aes128"},
    {0x1302, "TLS_AES_256_GCM_SHA384", "aes256"},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256", "chacha"},
};

const char *load_traffic_name(enum load_traffic t) {
    return traffic_names[t];
}

const char *load_suite_name(uint16_t suite) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++)
        if (suites[i].suite == suite)
            return suites[i].name;
    return "unknown suite";
}

static int fail(char *error, size_t error_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(char *error, size_t error_bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error, error_bytes, format, args);
    va_end(args);
    return WEIR_EINVAL;
}

/* --- values: each returns false where the text is none of its kind --- */

static bool number(const char *text, double min, double max, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(*value) && *value >= min && *value <= max;
}

static bool count(const char *text, uint32_t min, uint32_t max, uint32_t *value) {
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *value = (uint32_t)n;
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && n >= min && n <= max;
}

static bool address(const char *text, uint32_t *addr_be) {
    struct in_addr a;
    bool ok = inet_pton(AF_INET, text, &a) == 1;
    *addr_be = ok ? a.s_addr : 0;
    return ok;
}

/* A/len[+N] */
static bool take_addresses(const char *text, void *to) {
    struct load_addresses *a = to;
    char buf[64], *slash, *plus;
    uint32_t addr_be, len;
    if (snprintf(buf, sizeof(buf), "%s", text) >= (int)sizeof(buf) || !(slash = strchr(buf, '/')))
        return false;
    *slash++ = '\0';
    a->n = 1;
    if ((plus = strchr(slash, '+'))) {
        *plus++ = '\0';
        if (!count(plus, 1, NET_IF_ADDRS, &a->n))
            return false;
    }
    if (!address(buf, &addr_be) || !count(slash, 1, 32, &len))
        return false;
    a->first = ntohl(addr_be);
    a->prefix_len = (uint8_t)len;
    uint64_t subnet_end = ((uint64_t)a->first | (UINT32_MAX >> (len - 1) >> 1)) + 1;
    return a->first + (uint64_t)a->n <= subnet_end;
}

static bool take_gateway(const char *text, void *to) {
    return address(text, to);
}

static bool take_target(const char *text, void *to) {
    struct load_options *o = to;
    char buf[32], *colon;
    uint32_t port;
    if (snprintf(buf, sizeof(buf), "%s", text) >= (int)sizeof(buf) || !(colon = strchr(buf, ':')))
        return false;
    *colon++ = '\0';
    if (!address(buf, &o->target_addr_be) || !count(colon, 1, UINT16_MAX, &port))
        return false;
    o->target_port_be = htons((uint16_t)port);
    return true;
}

static bool take_port(const char *text, void *to) {
    uint32_t port;
    bool ok = count(text, 1, UINT16_MAX, &port);
    *(uint16_t *)to = htons((uint16_t)port);
    return ok;
}

static bool take_tls(const char *text, void *to) {
    struct load_options *o = to;
    o->tls = strcmp(text, "off") != 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++)
        if (strcmp(text, suites[i].name) == 0 || strcmp(text, suites[i].alias) == 0) {
            o->suite = suites[i].suite;
            return true;
        }
    return !o->tls;
}

static bool take_traffic(const char *text, void *to) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(traffic_names); i++)
        if (strcmp(text, traffic_names[i]) == 0) {
            *(enum load_traffic *)to = (enum load_traffic)i;
            return true;
        }
    return false;
}

static bool take_sizes(const char *text, void *to) {
    return schedule_parse_sizes(text, to) == 0;
}

static bool take_arrivals(const char *text, void *to) {
    bool poisson = strcmp(text, "poisson") == 0;
    *(enum schedule_arrivals *)to = poisson ? SCHEDULE_POISSON : SCHEDULE_CONSTANT;
    return poisson || strcmp(text, "constant") == 0;
}

/* Percents with commas between. */
static bool take_shares(const char *text, void *to) {
    struct load_ndr_options *ndr = to;
    char buf[128], *rest = buf, *word;
    double percent;
    if (snprintf(buf, sizeof(buf), "%s", text) >= (int)sizeof(buf))
        return false;
    for (ndr->n_shares = 0; (word = strsep(&rest, ","));) {
        if (ndr->n_shares == LOAD_MAX_SHARES || !number(word, 0.1, 100, &percent))
            return false;
        ndr->shares[ndr->n_shares++] = percent / 100;
    }
    return true;
}

static bool take_seed(const char *text, void *to) {
    char *end;
    errno = 0;
    *(uint64_t *)to = strtoull(text, &end, 0);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

/* --- the options --- */

struct option {
    const char *name;
    const char *value; /* as in the help; NULL: a flag */
    size_t at;         /* in struct load_options */
    enum { FLAG, TEXT, COUNT, NUMBER, SPECIAL } kind;
    double min, max;                          /* COUNT, NUMBER */
    bool (*take)(const char *text, void *to); /* SPECIAL */
    const char *help;                         /* says what the value is; begins with a new line where a group does */
};

#define AT(member) offsetof(struct load_options, member)

static const struct option options[] = {
    {"client-device", "DEV", AT(client.device), TEXT,
     .help = "where the clients are: as a port's device of weir.yaml(5)"},
    {"client-addresses", "A/LEN[+N]", AT(client.addresses), SPECIAL, .take = take_addresses,
     .help = "their addresses: N consecutive ones from A; one holds about 60,000 connections"},
    {"client-gateway", "A", AT(client.gateway_be), SPECIAL, .take = take_gateway,
     .help = "for a target in another subnet"},
    {"broker-device", "DEV", AT(broker.device), TEXT,
     .help = "where the brokers are (default: the clients' device, one arm)"},
    {"broker-addresses", "A/LEN[+N]", AT(broker.addresses), SPECIAL, .take = take_addresses,
     .help = "one broker listens on each (default: no brokers here)"},
    {"broker-gateway", "A", AT(broker.gateway_be), SPECIAL, .take = take_gateway,
     .help = "for a server in another subnet"},
    {"broker-port", "P", AT(broker_port_be), SPECIAL, .take = take_port, .help = "where they listen (1883)"},
    {"target", "A:P", 0, SPECIAL, .take = take_target, .help = "\nwhat the clients connect to"},
    {"tls", "SUITE", 0, SPECIAL, .take = take_tls,
     .help = "off (default), aes128, aes256, chacha or the suite's full name; TLS 1.3"},
    {"resume", NULL, AT(resume), FLAG, .help = "use session tickets once there are some"},
    {"connections", "N", AT(connections), COUNT, 1, 10000000, .help = "clients in all (1)"},
    {"connect-rate", "R", AT(connect_rate), COUNT, 0, 10000000, .help = "new ones a second at most (0: no limit)"},
    {"connect-window", "W", AT(connect_window), COUNT, 1, 65536, .help = "in their handshake at once, at most (64)"},
    {"mqtt", "LEVEL", AT(mqtt_level), COUNT, 4, 5, .help = "4: MQTT 3.1.1 (default), 5: MQTT 5.0"},
    {"keepalive", "S", AT(keepalive_s), COUNT, 0, 65535, .help = "as CONNECT says; pings are sent in time (0: none)"},
    {"traffic", "KIND", AT(traffic), SPECIAL, .take = take_traffic,
     .help = "\nidle (default), churn, qos0, qos1 or bulk"},
    {"rate", "R", AT(schedule.rate_per_s), NUMBER, 0, 1e9,
     .help = "messages a second over all clients (0: the next when the last is done)"},
    {"size", "SPEC", AT(schedule), SPECIAL, .take = take_sizes,
     .help = "payload bytes: 64, 64-1024, or a mixture 64*9,1024-4096*1 (64; bulk fills its records)"},
    {"arrivals", "HOW", AT(schedule.arrivals), SPECIAL, .take = take_arrivals, .help = "constant (default) or poisson"},
    {"window", "W", AT(window), COUNT, 1, 4096, .help = "messages in flight a client (qos1 1, qos0 64, bulk 4)"},
    {"warmup", "S", AT(warmup_s), NUMBER, 0, 86400, .help = "traffic that is not counted yet, seconds (1)"},
    {"duration", "S", AT(duration_s), NUMBER, 0.1, 86400, .help = "traffic that is measured, seconds (5)"},
    {"hold", "S", AT(hold_s), NUMBER, 0, 864000, .help = "idle: hold the connections so many seconds (10)"},
    {"storm", "N", AT(storm), COUNT, 0, 1000000,
     .help = "qos1: then N more clients connect at once, and back off when they fail (0)"},
    {"patience", "S", AT(patience_s), COUNT, 1, 3600, .help = "from SYN to CONNACK, then a client gives up (20)"},
    {"storm-limit", "S", AT(storm_s), NUMBER, 1, 3600, .help = "the storm is over at the latest (120)"},
    {"ndr", NULL, AT(ndr.on), FLAG, .help = "\nsearch the highest rate without loss, then latency below it"},
    {"ndr-min", "R", AT(ndr.min), NUMBER, 1, 1e9, .help = "lowest rate worth knowing (1000)"},
    {"ndr-max", "R", AT(ndr.max), NUMBER, 0, 1e9,
     .help = "first rate tried (0: double from the lowest until one fails)"},
    {"ndr-loss", "SHARE", AT(ndr.loss), NUMBER, 0, 0.5, .help = "of the messages may be lost (0)"},
    {"ndr-precision", "SHARE", AT(ndr.precision), NUMBER, 0.001, 0.5, .help = "of the result (0.02)"},
    {"ndr-trial", "S", AT(ndr.trial_s), NUMBER, 0.2, 3600, .help = "length of a trial, seconds (2)"},
    {"latency-at", "P,P,...", AT(ndr), SPECIAL, .take = take_shares, .help = "percents of the rate found (10,50,90)"},
    {"json", "FILE", AT(json), TEXT, .help = "\nthe result, also as JSON; - is stdout"},
    {"cpu", "N", AT(cpu), COUNT, 0, 1023, .help = "CPU to poll on (the first this process may use)"},
    {"share-cpu", NULL, AT(share_cpu), FLAG,
     .help = "sleep while there is nothing to do, so that others use the CPU, and come before them when there is"},
    {"by-turns", NULL, AT(by_turns), FLAG,
     .help = "rest at SIGUSR1, and first before the traffic: what is under way ends, then SIGSTOP, until SIGCONT"},
    {"memory", "MB", AT(memory_mb), COUNT, 0, 1 << 20, .help = "packet memory (0: by the number of connections)"},
    {"seed", "N", AT(seed), SPECIAL, .take = take_seed, .help = "of sizes and arrivals (1)"},
};

static const struct option *find(const char *name, size_t len) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(options); i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static const char *help_of(const struct option *p) {
    return p->help + (p->help[0] == '\n');
}

static int take(const struct option *p, const char *value, struct load_options *o, char *error, size_t error_bytes) {
    void *to = (char *)o + p->at;
    bool ok = true;
    if (p->kind == TEXT)
        *(const char **)to = value;
    else if (p->kind == COUNT)
        ok = count(value, (uint32_t)p->min, (uint32_t)p->max, to);
    else if (p->kind == NUMBER)
        ok = number(value, p->min, p->max, to);
    else
        ok = p->take(value, to);
    if (ok)
        return 0;
    if (p->kind == COUNT || p->kind == NUMBER)
        return fail(error, error_bytes, "--%s takes a number from %g to %g, not \"%.40s\"", p->name, p->min, p->max,
                    value);
    return fail(error, error_bytes, "--%s takes %s, not \"%.60s\": %s", p->name, p->value, value, help_of(p));
}

/* argv[*i] and, where it needs one, its value: "--name value" or "--name=value". */
static int take_argument(char **argv, int argc, int *i, struct load_options *o, char *error, size_t error_bytes) {
    const char *arg = argv[*i];
    if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
        o->action = LOAD_ACTION_HELP;
        return 0;
    }
    if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
        o->action = LOAD_ACTION_VERSION;
        return 0;
    }
    if (strncmp(arg, "--", 2) != 0)
        return fail(error, error_bytes, "unexpected argument \"%.60s\" (weir-load --help lists the options)", arg);
    size_t len = strcspn(arg + 2, "=");
    const struct option *p = find(arg + 2, len);
    if (!p)
        return fail(error, error_bytes, "unknown option %.60s (weir-load --help lists them; DPDK's own go after --)",
                    arg);
    const char *value = arg[2 + len] == '=' ? arg + 3 + len : NULL;
    if (p->kind == FLAG && value)
        return fail(error, error_bytes, "--%s takes no value", p->name);
    if (p->kind == FLAG) {
        *(bool *)((char *)o + p->at) = true;
        return 0;
    }
    if (!value && *i + 1 < argc && strcmp(argv[*i + 1], "--") != 0)
        value = argv[++*i];
    if (!value || !*value)
        return fail(error, error_bytes, "--%s needs a value (%s): %s", p->name, p->value, help_of(p));
    return take(p, value, o, error, error_bytes);
}

static uint32_t first_cpu(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        for (uint32_t i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &set))
                return i;
    return 0;
}

static void set_defaults(struct load_options *o, int argc, char **argv) {
    *o = (struct load_options){
        .argc = argc,
        .argv = argv,
        .broker_port_be = htons(1883),
        .suite = suites[0].suite,
        .connections = 1,
        .connect_window = 64,
        .warmup_s = 1,
        .storm_s = 120,
        .duration_s = 5,
        .hold_s = 10,
        .mqtt_level = 4,
        .ndr = {.min = 1000, .precision = 0.02, .trial_s = 2, .n_shares = 3, .shares = {0.1, 0.5, 0.9}},
        .cpu = first_cpu(),
        .seed = 1,
    };
}

/* Defaults that depend on other options, and what no single option can be blamed for. */
static int finish(struct load_options *o, char *error, size_t error_bytes) {
    static const uint32_t windows[] = {[LOAD_QOS0] = 64, [LOAD_QOS1] = 1, [LOAD_BULK] = 4};
    bool publishes = o->traffic != LOAD_IDLE && o->traffic != LOAD_CHURN;
    if (!o->client.device || !o->client.addresses.n)
        return fail(error, error_bytes,
                    "--client-device and --client-addresses are needed (weir-load --help has examples)");
    if (!o->target_port_be)
        return fail(error, error_bytes, "--target ADDRESS:PORT is needed: what the clients connect to");
    if (o->broker.device && !o->broker.addresses.n)
        return fail(error, error_bytes, "--broker-device needs --broker-addresses");
    if (o->broker.addresses.n > LOAD_MAX_BROKERS)
        return fail(error, error_bytes, "--broker-addresses: %d brokers at most", LOAD_MAX_BROKERS);
    if (!o->broker.device && o->client.addresses.n + o->broker.addresses.n > NET_IF_ADDRS)
        return fail(error, error_bytes, "one port owns %d addresses at most, clients' and brokers' together",
                    NET_IF_ADDRS);
    if (o->ndr.on && !publishes)
        return fail(error, error_bytes, "--ndr searches a rate of messages: add --traffic qos0, qos1 or bulk");
    if (o->ndr.max > 0 && o->ndr.max < o->ndr.min)
        return fail(error, error_bytes, "--ndr-max %g is below --ndr-min %g", o->ndr.max, o->ndr.min);
    if (o->resume && !o->tls)
        return fail(error, error_bytes, "--resume is about TLS: add --tls aes128");
    if (o->storm && (o->traffic != LOAD_QOS1 || o->ndr.on))
        return fail(error, error_bytes, "--storm comes over established clients: add --traffic qos1, without --ndr");
    if (!o->window && publishes)
        o->window = windows[o->traffic];
    if (!o->schedule.n_sizes)
        schedule_parse_sizes("64", &o->schedule);
    o->schedule.seed = o->seed;
    return 0;
}

int load_options_parse(int argc, char **argv, struct load_options *o, char *error, size_t error_bytes) {
    set_defaults(o, argc, argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            o->eal_args = argv + i + 1;
            o->n_eal_args = argc - i - 1;
            break;
        }
        int rc = take_argument(argv, argc, &i, o, error, error_bytes);
        if (rc)
            return rc;
    }
    return o->action == LOAD_ACTION_RUN ? finish(o, error, error_bytes) : 0;
}

void load_options_help(FILE *out) {
    fputs(
        "weir-load " WEIR_VERSION
        ": many MQTT clients on one port, brokers on another, and weir (or any other balancer)\n"
        "in between: connections a second, messages a second, round trips, and the highest rate without loss.\n"
        "One core plays both sides, on a TCP/IP stack of its own.\n"
        "\n"
        "Usage: weir-load --client-device DEV --client-addresses A/LEN[+N] --target A:P [OPTIONS] [-- EAL ARGUMENTS]\n"
        "\n",
        out);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(options); i++) {
        const struct option *p = &options[i];
        fprintf(out, "%s  --%s %-*s  %s\n", p->help[0] == '\n' ? "\n" : "", p->name, (int)(26 - strlen(p->name)),
                p->value ? p->value : "", help_of(p));
    }
    fputs(
        "\n"
        "  -h, --help     this text            -V, --version     the version\n"
        "\n"
        "Examples (AF_XDP on two veth ends; weir has the other two: perf/e2e/hold and perf/e2e/ndr set all that up):\n"
        "\n"
        "  P=\"--client-device net_af_xdp0,iface=clients --client-addresses 198.18.0.2/24+4\n"
        "     --broker-device net_af_xdp1,iface=brokers --broker-addresses 198.18.1.2/24+2\n"
        "     --target 198.18.0.1:8883 --tls aes128\"\n"
        "\n"
        "  weir-load $P --connections 10000 --hold 60 --keepalive 30     open 10,000 and hold them for a minute\n"
        "  weir-load $P --connections 64 --traffic churn --duration 10   handshakes a second\n"
        "  weir-load $P --connections 1000 --traffic qos1                round trips, each client one after the other\n"
        "  weir-load $P --connections 1000 --traffic qos1 --rate 20000 --arrivals poisson\n"
        "                                                                round trips at a rate, counted from when due\n"
        "  weir-load $P --connections 50 --traffic qos0 --ndr --json -   the highest rate without loss\n"
        "\n"
        "Exit status: 0 what was asked happened, 1 not all of it (the report says what), 2 wrong usage.\n"
        "More: man weir-load.\n",
        out);
}
