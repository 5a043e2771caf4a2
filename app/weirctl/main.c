/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: weirctl [-s SOCKET] [--json] COMMAND\n"
    "Ask or tell a running weir.\n"
    "\n"
    "  stats [FILTER]             counters and gauges that are not zero (-a: all); FILTER: part of a metric's name\n"
    "  flows [MAX]                TCP connections, in the manner of `ss -ti`\n"
    "  cycles                     where each worker's time goes, by stage, and what a packet, a TLS record and an\n"
    "                             MQTT message cost (-i S: over the next S seconds; --watch: again and again)\n"
    "  servers                    servers of all pools: state and connections\n"
    "  drain POOL/SERVER          give a server no new connections; the open ones stay\n"
    "  ready POOL/SERVER          take it back\n"
    "  reload                     read the certificates again (as SIGHUP does)\n"
    "  cert show [TLS|POOL]       certificates that are served, of all `tls` entries or of one; weir's own towards the\n"
    "                             servers of all pools, or of one\n"
    "  cert reload [TLS|POOL]     read them again, all or those of one entry or pool\n"
    "  capture PORT -w FILE -c N  write N packets of a port to a pcapng file (Ctrl-C ends it earlier)\n"
    "\n"
    "  -s, --socket SOCKET  weir's control.socket (default " WEIRCTL_DEFAULT_SOCKET ")\n"
    "      --json           print the answer as JSON\n"
    "  -a, --all            stats, cycles: zeros too\n"
    "  -i, --interval S     cycles: over the next S seconds, not since weir's start (--watch: 2)\n"
    "      --watch          cycles: again after every interval, until Ctrl-C\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Examples:\n"
    "  weirctl stats drops              what was discarded, and why\n"
    "  weirctl stats alerts             TLS alerts received and sent, by name\n"
    "  weirctl cycles -i 5              what the workers do in the next 5 seconds\n"
    "  weirctl drain brokers/b1         before maintenance of b1; `weirctl servers` shows how many are left\n"
    "  weirctl capture front -w /tmp/front.pcapng -c 100 && tshark -r /tmp/front.pcapng\n"
    "\n"
    "Exit status: 0 done, 1 weir refused or does not answer, 2 usage.\n";

struct arguments {
    const char *socket, *file, *count;
    double interval_s; /* 0: none given */
    bool json, all, watch;
};
#define WATCH_S        2.0
#define INTERVAL_MAX_S 86400.0

static int usage(const char *why) {
    fprintf(stderr, "weirctl: %s; try weirctl --help\n", why);
    return 2;
}

static bool seconds_parse(const char *text, double *s) {
    char *end;
    *s = strtod(text, &end);
    return end != text && *end == '\0' && *s >= 0.1 && *s <= INTERVAL_MAX_S;
}

/* weir writes the file: it needs the path from the root. */
static bool absolute(const char *file, char *out, size_t size) {
    char cwd[PATH_MAX];
    if (file[0] == '/')
        return (size_t)snprintf(out, size, "%s", file) < size;
    return getcwd(cwd, sizeof(cwd)) != NULL && (size_t)snprintf(out, size, "%s/%s", cwd, file) < size;
}

static void print_json(const json_t *answer) {
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
}

/* Why weir refused. */
static void print_refusal(const struct arguments *a, const json_t *answer) {
    size_t i;
    json_t *r;
    if (a->json) {
        print_json(answer);
        return;
    }
    fprintf(stderr, "weirctl: %s\n", json_string_value(json_object_get(answer, "error")));
    json_array_foreach(json_object_get(answer, "refused"), i, r) fprintf(stderr, "  %s\n", json_string_value(r));
}

/* Ends the program where weir does not answer, or refuses. */
static json_t *ask_cycles(const struct arguments *a, char **words, int n) {
    json_t *answer = request_send(a->socket, words, n);
    if (answer == NULL)
        exit(1);
    if (json_is_true(json_object_get(answer, "ok")))
        return answer;
    print_refusal(a, answer);
    exit(1);
}

static void show_cycles(const struct arguments *a, json_t *report) {
    if (a->json) {
        json_dumpf(report, stdout, a->watch ? JSON_COMPACT : JSON_INDENT(2)); /* a line each time */
        putchar('\n');
    } else {
        if (a->watch)
            fputs(isatty(STDOUT_FILENO) ? "\033[H\033[J" : "\n", stdout); /* a screen each time */
        cycles_print(report, a->all);
    }
    fflush(stdout);
    json_decref(report);
}

/* Since weir's start, or between two answers. */
static int run_cycles(const struct arguments *a, char **words, int n) {
    double s = a->interval_s != 0 ? a->interval_s : WATCH_S;
    struct timespec pause = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};
    json_t *before = NULL, *after = ask_cycles(a, words, n);
    if (a->interval_s == 0 && !a->watch)
        show_cycles(a, cycles_report(NULL, after));
    else
        do {
            nanosleep(&pause, NULL);
            json_decref(before);
            before = after;
            after = ask_cycles(a, words, n);
            show_cycles(a, cycles_report(before, after));
        } while (a->watch);
    json_decref(before);
    json_decref(after);
    return 0;
}

static int run(const struct arguments *a, char **words, int n) {
    static char path[PATH_MAX];
    char *request[8];
    int used = 0;
    for (; used < n && used < 5; used++)
        request[used] = words[used];
    const char *filter = NULL;
    if (strcmp(words[0], "stats") == 0 && n == 2) {
        filter = words[1];
        used = 1;
    }
    if (strcmp(words[0], "capture") == 0) {
        if (n != 2 || a->file == NULL || a->count == NULL)
            return usage("capture needs a PORT, -w FILE and -c N");
        if (!absolute(a->file, path, sizeof(path)))
            return usage("the file's path is too long");
        request[used++] = path;
        request[used++] = (char *)(size_t)a->count;
    }
    if (strcmp(words[0], "cycles") == 0)
        return run_cycles(a, request, used);
    if (a->interval_s != 0 || a->watch)
        return usage("--interval and --watch go with cycles");
    json_t *answer = request_send(a->socket, request, used);
    if (answer == NULL)
        return 1;
    bool ok = json_is_true(json_object_get(answer, "ok"));
    if (!ok)
        print_refusal(a, answer);
    else if (a->json)
        print_json(answer);
    else
        print_answer(words[0], answer, a->all, filter);
    json_decref(answer);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"all", no_argument, NULL, 'a'},          {"write", required_argument, NULL, 'w'},
        {"count", required_argument, NULL, 'c'},  {"interval", required_argument, NULL, 'i'},
        {"watch", no_argument, NULL, 'W'},        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {0}};
    struct arguments a = {.socket = WEIRCTL_DEFAULT_SOCKET};
    char why[96];
    opterr = 0; /* usage() speaks */
    for (int o; (o = getopt_long(argc, argv, ":s:jaw:c:i:hV", options, NULL)) != -1;) {
        switch (o) {
        case 's':
            a.socket = optarg;
            break;
        case 'j':
            a.json = true;
            break;
        case 'a':
            a.all = true;
            break;
        case 'w':
            a.file = optarg;
            break;
        case 'c':
            a.count = optarg;
            break;
        case 'i':
            if (!seconds_parse(optarg, &a.interval_s))
                return usage("--interval takes seconds: 0.1 to 86400");
            break;
        case 'W':
            a.watch = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        case 'V':
            printf("weirctl %s\n", WEIR_VERSION);
            return 0;
        case ':':
            snprintf(why, sizeof(why), "option -%c needs a value", optopt);
            return usage(why);
        default: /* optopt is 0 for a long option */
            snprintf(why, sizeof(why), "unknown option %.1s%.60s", optopt ? "-" : "",
                     optopt ? (char[]){(char)optopt, '\0'} : argv[optind - 1]);
            return usage(why);
        }
    }
    if (optind == argc)
        return usage("no command");
    return run(&a, argv + optind, argc - optind);
}
