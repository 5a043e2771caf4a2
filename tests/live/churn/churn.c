/* SPDX-License-Identifier: BSD-3-Clause */
/* churn: thousands of connections that open, exchange, half-close, close and reset in an order drawn from a seed.
 *
 *   churn server ADDRESS PORT
 *   churn client ADDRESS PORT CONNECTIONS ROUNDS SEED
 *
 * The client opens all CONNECTIONS before the first of them may go on; then they go on in random order, and each place
 * is taken ROUNDS times. Both ends print one JSON object at the end (the server at SIGTERM): how many exchanges of each
 * kind were as they should be, how many were not, and why the first was not. */
#include "exchange.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX  (32u << 10) /* a direction of a connection */
#define EVENTS     256
#define BACKLOG    65535
#define PATIENCE_S 100 /* without an end of any kind */
/* Connections that have got their turn: a lost reset cannot be told from one never sent, so that no queue on the way
 * may overflow. */
#define RUNNING_MAX 32u
#define OPENING_MAX 64u /* connections whose greeting is not through */
#define SILENCE_MS  1000

struct churn {
    int epoll, listener;
    struct sockaddr_in address;
    struct exchange *slots; /* the client's: connections; the server's: as many as are ever open */
    uint32_t n_slots, rounds, seed;
    uint32_t *ready, n_ready; /* slots that are open and wait for their turn; shuffled as they come */
    uint32_t next, opening, open, running, peak, over;
    uint64_t verified[EXCHANGE_KIND_COUNT], faults;
    char first_fault[160];
    time_t last_end;
};

static volatile sig_atomic_t stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

static void die(const char *what) {
    fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* SplitMix64 (Steele, Lea, Flood 2014) */
static uint32_t draw(uint32_t seed, uint32_t number, uint32_t which) {
    uint64_t z = ((uint64_t)seed << 40) + number * 16ull + which + 1;
    z *= 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)(z ^ (z >> 31));
}

static time_t now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void watch(struct churn *ch, struct exchange *x) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = x};
    if (epoll_ctl(ch->epoll, EPOLL_CTL_ADD, x->fd, &e) != 0)
        die("epoll");
}

static void client_open(struct churn *ch, struct exchange *x) {
    uint32_t id = ch->next++;
    /* Every eighth direction is empty: a FIN alone. */
    uint32_t up = draw(ch->seed, id, 0) % 8 != 0 ? draw(ch->seed, id, 1) % BYTES_MAX : 0;
    uint32_t down = draw(ch->seed, id, 2) % 8 != 0 ? draw(ch->seed, id, 3) % BYTES_MAX : 0;
    struct exchange_hello hello = {
        .id = id, .up = up, .down = down, .kind = draw(ch->seed, id, 4) % EXCHANGE_KIND_COUNT};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&ch->address, sizeof(ch->address)) != 0 && errno != EINPROGRESS)
        die("connect");
    exchange_init(x, CLIENT, fd, &hello);
    ch->opening++;
    watch(ch, x);
}

static void client_fill(struct churn *ch) {
    while (ch->next < ch->n_slots && ch->opening < OPENING_MAX)
        client_open(ch, &ch->slots[ch->next]);
}

/* Into a random place of those that wait. */
static void wait_for_turn(struct churn *ch, struct exchange *x) {
    uint32_t place = draw(ch->seed, x->hello.id, 5) % (ch->n_ready + 1);
    ch->ready[ch->n_ready++] = ch->ready[place];
    ch->ready[place] = (uint32_t)(x - ch->slots);
}

static void finish(struct churn *ch, struct exchange *x, enum exchange_progress p) {
    ch->over++;
    ch->last_end = now_s();
    if (p == EXCHANGE_DONE)
        ch->verified[x->hello.kind]++;
    else if (ch->faults++ == 0)
        snprintf(ch->first_fault, sizeof(ch->first_fault), "%s %u: %s; %u of %u bytes had come, %u were sent",
                 x->open ? exchange_kind_names[x->hello.kind] : "opening", x->hello.id, x->fault, x->came,
                 x->side == CLIENT ? x->hello.down : x->hello.up, x->sent);
    ch->open -= x->open;
    ch->running -= x->open && x->side == CLIENT;
    if (x->side == SERVER)
        free(x);
    else if (ch->next < ch->n_slots * ch->rounds && ch->next >= ch->n_slots)
        client_open(ch, x);
}

/* `x` moved on. */
static void moved(struct churn *ch, struct exchange *x, enum exchange_progress p) {
    bool client = x->side == CLIENT;
    if (client && (p == EXCHANGE_OPEN || (p >= EXCHANGE_DONE && !x->open)))
        ch->opening--;
    if (p == EXCHANGE_OPEN) {
        ch->open++;
        if (ch->open > ch->peak)
            ch->peak = ch->open;
        if (client)
            wait_for_turn(ch, x);
        else
            moved(ch, x, exchange_run(x)); /* the go may have come with the hello */
    } else if (p != EXCHANGE_RUNS) {
        finish(ch, x, p);
    }
}

static void client_turns(struct churn *ch) {
    client_fill(ch);
    bool all_open = ch->peak >= ch->n_slots || (ch->next >= ch->n_slots && ch->opening == 0);
    while (all_open && ch->n_ready != 0 && ch->running < RUNNING_MAX) {
        struct exchange *x = &ch->slots[ch->ready[--ch->n_ready]];
        ch->running++;
        moved(ch, x, exchange_go(x));
    }
}

static void server_accept(struct churn *ch) {
    for (int fd; (fd = accept4(ch->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct exchange *x = malloc(sizeof(*x));
        if (x == NULL)
            die("memory");
        exchange_init(x, SERVER, fd, NULL);
        watch(ch, x);
    }
}

static void loop(struct churn *ch) {
    struct epoll_event events[EVENTS];
    bool client = ch->listener < 0;
    ch->last_end = now_s();
    while (!stop && !(client && ch->over == ch->n_slots * ch->rounds)) {
        if (client)
            client_turns(ch);
        int n = epoll_wait(ch->epoll, events, EVENTS, SILENCE_MS);
        for (int i = 0; i < n; i++) {
            struct exchange *x = events[i].data.ptr;
            if (x == NULL)
                server_accept(ch);
            else if (x->fd >= 0 && (!x->open || x->go || x->side == SERVER))
                moved(ch, x, exchange_run(x));
        }
        if (client && now_s() - ch->last_end > PATIENCE_S) {
            snprintf(ch->first_fault, sizeof(ch->first_fault), "%u connections did not end", ch->open + ch->opening);
            ch->faults++;
            break;
        }
    }
}

static void print(const struct churn *ch) {
    printf("{\"peak_open\": %u, \"left_open\": %u, \"faults\": %llu, \"first_fault\": \"%s\", \"verified\": {",
           ch->peak, ch->open, (unsigned long long)ch->faults, ch->first_fault);
    for (unsigned kind = 0; kind < EXCHANGE_KIND_COUNT; kind++)
        printf("%s\"%s\": %llu", kind != 0 ? ", " : "", exchange_kind_names[kind],
               (unsigned long long)ch->verified[kind]);
    printf("}}\n");
}

static void server_listen(struct churn *ch) {
    int on = 1;
    ch->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(ch->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (bind(ch->listener, (struct sockaddr *)&ch->address, sizeof(ch->address)) != 0 ||
        listen(ch->listener, BACKLOG) != 0 || epoll_ctl(ch->epoll, EPOLL_CTL_ADD, ch->listener, &e) != 0)
        die("listen");
    printf("churn: listening\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    bool client = argc == 7 && strcmp(argv[1], "client") == 0;
    struct churn ch = {.epoll = epoll_create1(EPOLL_CLOEXEC), .listener = -1, .address.sin_family = AF_INET};
    if ((!client && !(argc == 4 && strcmp(argv[1], "server") == 0)) ||
        inet_pton(AF_INET, argv[2], &ch.address.sin_addr) != 1) {
        fprintf(stderr, "usage: churn server ADDRESS PORT | churn client ADDRESS PORT CONNECTIONS ROUNDS SEED\n");
        return 2;
    }
    ch.address.sin_port = htons((uint16_t)atoi(argv[3]));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (client) {
        ch.n_slots = (uint32_t)atoi(argv[4]);
        ch.rounds = (uint32_t)atoi(argv[5]);
        ch.seed = (uint32_t)atoi(argv[6]);
        ch.slots = calloc(ch.n_slots, sizeof(struct exchange));
        ch.ready = calloc(ch.n_slots, sizeof(uint32_t));
        if (ch.slots == NULL || ch.ready == NULL)
            die("memory");
    } else {
        server_listen(&ch);
    }
    loop(&ch);
    print(&ch);
    free(ch.slots);
    free(ch.ready);
    return 0;
}
