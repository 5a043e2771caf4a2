/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-load: the load generator (load.h) on ports of its own. From the command line to a running load, and back down.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <sys/random.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "app/weir/port.h"
#include "base/flow_table.h"
#include "base/log.h"
#include "report.h"

#define EAL_OWN_MB 64u    /* DPDK itself, ARP and fragment tables */
#define ROPE_MBUFS 24576u /* of a port: what is received and not read, or sent and not acknowledged */
#define PORT_MBUFS                                                                                                     \
    (MEMORY_RX_DESCRIPTORS + MEMORY_TX_DESCRIPTORS + MEMORY_AF_XDP_FILL + MEMORY_MBUF_CACHE + MEMORY_MBUF_RESERVE)
#define MBUF_BYTES      2432u  /* of a packed pool, rounded up */
#define LINGERING_LEAST 16448u /* as load.c has it */
#define EXIT_USAGE      2
#define MTU             1500

/* What start-up made so far: program_down undoes exactly that. */
struct program {
    struct load_options options;
    struct config config; /* what eal.c and port.c take: filled here, no file */
    struct memory_plan plan;
    struct steer steer;
    struct ports ports;
    struct load *load;
    struct run_clock clock;
    struct run_result result;
    FILE *out; /* for people */
    bool eal_up;
    char error[640];
};

static struct run_asked asked;

static void on_signal(int number) {
    if (number == SIGUSR1)
        asked.rest = 1;
    else
        asked.stop++;
}

static int fail(const char *text, int status) {
    fprintf(stderr, "weir-load: %s\n", text);
    return status;
}

/* --- a weir configuration, as far as ports need one --- */

static void add_addresses(struct config_port *p, const struct load_addresses *a) {
    for (uint32_t i = 0; i < a->n; i++)
        p->addresses[p->n_addresses++] =
            (struct config_address){.addr_be = htonl(a->first + i), .prefix_len = a->prefix_len};
}

static void add_port(struct config *c, const char *name, const struct load_side *side) {
    struct config_port *p = &c->ports[c->n_ports++];
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->device = (char *)(uintptr_t)side->device; /* only read */
    p->mtu = MTU;
    p->gateway_be = side->gateway_be;
    add_addresses(p, &side->addresses);
}

static void configure(struct program *p) {
    const struct load_options *o = &p->options;
    struct config *c = &p->config;
    c->cores = (struct config_cores){.control = (uint16_t)o->cpu, .workers = {(uint16_t)o->cpu}, .n_workers = 1};
    add_port(c, "clients", &o->client);
    if (o->broker.device)
        add_port(c, "brokers", &o->broker);
    else
        add_addresses(&c->ports[0], &o->broker.addresses);
}

/* Flow tables and packet buffers. Everything else of a client is mapped as it is used. */
static void plan_memory(struct program *p) {
    uint32_t n = p->options.connections + p->options.storm;
    uint32_t flows = 2 * n + weir_max_u32(n, LINGERING_LEAST); /* both ends of each, and what is in TIME-WAIT */
    uint64_t tables_mb = (flow_table_bytes(flows) >> 20) + 1;
    uint32_t n_mbufs = PORT_MBUFS + ROPE_MBUFS, n_ports = p->config.n_ports;
    uint64_t mbufs_mb = ((uint64_t)n_mbufs * n_ports * MBUF_BYTES * 9 / 8 >> 20) + 1;
    p->plan.n_workers = 1;
    if (p->options.memory_mb) {
        uint64_t rest_mb =
            p->options.memory_mb > EAL_OWN_MB + tables_mb ? p->options.memory_mb - EAL_OWN_MB - tables_mb : 0;
        uint64_t fit = (rest_mb << 20) * 8 / 9 / MBUF_BYTES / n_ports;
        n_mbufs = fit > UINT32_MAX ? UINT32_MAX : (uint32_t)fit;
        mbufs_mb = rest_mb;
    }
    p->plan.eal_mb = (uint32_t)(EAL_OWN_MB + tables_mb + mbufs_mb);
    for (uint32_t i = 0; i < n_ports; i++)
        p->plan.mbufs[i] = n_mbufs;
}

/* --- up --- */

/* What would fail later, after the measurement or in words of DPDK. */
static int check_early(struct program *p) {
    const struct load_options *o = &p->options;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && !CPU_ISSET(o->cpu, &set)) {
        snprintf(p->error, sizeof(p->error), "--cpu %u: this process may not use that CPU (see taskset -p)", o->cpu);
        return fail(p->error, EXIT_USAGE);
    }
    if (o->json && strcmp(o->json, "-") != 0) {
        FILE *json = fopen(o->json, "ae"); /* leaves what is there */
        if (!json) {
            snprintf(p->error, sizeof(p->error), "--json %s cannot be written: %s", o->json, strerror(errno));
            return fail(p->error, EXIT_FAILURE);
        }
        fclose(json);
    }
    return 0;
}

static struct load_port load_port(const struct port *p) {
    return (struct load_port){
        .eth_port = p->queues[0].eth_port,
        .eth_queue = p->queues[0].eth_queue,
        .ifc = p->ifc,
        .pool = p->pools[0],
        .multi_seg = p->multi_seg,
        .hw_ip_cksum = p->hw_ip_cksum,
        .hw_tcp_cksum = p->hw_tcp_cksum,
    };
}

/* On one arm each side sees its own addresses only, though the port has both. */
static void keep_addresses(struct net_if *ifc, uint32_t from, uint32_t n) {
    memmove(ifc->addrs, ifc->addrs + from, n * sizeof(ifc->addrs[0]));
    ifc->n_addrs = (uint8_t)n;
}

static int load_make(struct program *p) {
    const struct load_options *o = &p->options;
    struct load_config c = {
        .client_port = load_port(&p->ports.port[0]),
        .broker_port = load_port(&p->ports.port[p->ports.n - 1]),
        .target_addr_be = o->target_addr_be,
        .target_port_be = o->target_port_be,
        .n_brokers = o->broker.addresses.n,
        .broker_port_be = o->broker_port_be,
        .tls = o->tls,
        .suite = o->suite,
        .resume = o->resume,
        .connections = o->connections + o->storm,
        .storm = o->storm,
        .patience_ms = o->patience_s * 1000,
        .connect_rate = o->connect_rate,
        .connect_window = o->connect_window,
        .traffic = o->traffic,
        .schedule = o->schedule,
        .window = o->window,
        .seed = o->seed,
        .mqtt_level = o->mqtt_level,
        .keepalive_s = o->keepalive_s,
    };
    if (p->ports.n == 1 && o->broker.addresses.n) {
        keep_addresses(&c.client_port.ifc, 0, o->client.addresses.n);
        keep_addresses(&c.broker_port.ifc, o->client.addresses.n, o->broker.addresses.n);
    }
    if (o->share_cpu && sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) != 0) {
        snprintf(p->error, sizeof(p->error), "--share-cpu: no real-time priority: %s; run it as root", strerror(errno));
        return fail(p->error, EXIT_FAILURE);
    }
    run_clock_init(&p->clock);
    p->load = load_new(&c, run_clock_ns(&p->clock, rte_rdtsc()), p->error, sizeof(p->error));
    return p->load ? 0 : fail(p->error, EXIT_FAILURE);
}

static int program_up(struct program *p) {
    uint8_t key[STEER_KEY_BYTES];
    if (getrandom(key, sizeof(key), 0) != sizeof(key))
        return fail("the kernel gives no random numbers", EXIT_FAILURE);
    configure(p);
    plan_memory(p);
    if (p->plan.mbufs[0] < PORT_MBUFS) {
        snprintf(p->error, sizeof(p->error), "--memory %u is too little for %u connections; leave it out to see it fit",
                 p->options.memory_mb, p->options.connections);
        return fail(p->error, EXIT_FAILURE);
    }
    log_open("stderr", LOG_LVL_WARNING, LOG_FMT_TEXT);
    if (eal_start(&p->config, &p->plan, p->options.argv[0], p->options.eal_args, p->options.n_eal_args, &p->ports,
                  p->error, sizeof(p->error)) != 0)
        return fail(p->error, EXIT_FAILURE);
    p->eal_up = true;
    steer_init(&p->steer, key, 1);
    if (ports_open(&p->config, &p->plan, &p->steer, &p->ports, p->error, sizeof(p->error)) != 0)
        return fail(p->error, EXIT_FAILURE);
    return load_make(p);
}

/* --- run, down --- */

static int program_run(struct program *p) {
    run_all(&p->options, p->load, &p->clock, &asked, p->out, &p->result);
    report_print(p->out, &p->options, &p->result);
    int status = p->result.n_failures ? EXIT_FAILURE : 0;
    if (p->options.json && report_json(&p->options, &p->result) != 0) {
        snprintf(p->error, sizeof(p->error), "--json %s cannot be written: %s", p->options.json, strerror(errno));
        status = fail(p->error, EXIT_FAILURE);
    }
    return status;
}

static void program_down(struct program *p) {
    if (p->load)
        load_free(p->load);
    if (p->eal_up) {
        ports_close(&p->ports);
        eal_stop();
    }
    log_close();
}

int main(int argc, char **argv) {
    static struct program p;
    if (load_options_parse(argc, argv, &p.options, p.error, sizeof(p.error)) != 0)
        return fail(p.error, EXIT_USAGE);
    if (p.options.action == LOAD_ACTION_HELP) {
        load_options_help(stdout);
        return 0;
    }
    if (p.options.action == LOAD_ACTION_VERSION) {
        puts("weir-load " WEIR_VERSION);
        return 0;
    }
    p.out = p.options.json && strcmp(p.options.json, "-") == 0 ? stderr : stdout;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    int status = check_early(&p);
    if (status == 0)
        status = program_up(&p);
    if (status == 0)
        status = program_run(&p);
    program_down(&p);
    return status;
}
