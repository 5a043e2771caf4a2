/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: weirctl [-s SOCKET] [--json] COMMAND\n"
    "Ask or tell a running weir.\n"
    "\n"
    "  stats [FILTER]             counters and gauges that are not zero (-a: all); FILTER: part of a metric's name\n"
    "  flows [MAX]                TCP connections, in the manner of `ss -ti`\n"
    "  servers                    servers of all pools: state and connections\n"
    "  drain POOL/SERVER          give a server no new connections; the open ones stay\n"
    "  ready POOL/SERVER          take it back\n"
    "  reload                     read the certificates again (as SIGHUP does)\n"
    "  capture PORT -w FILE -c N  write N packets of a port to a pcapng file (Ctrl-C ends it earlier)\n"
    "\n"
    "  -s, --socket SOCKET  weir's control.socket (default " WEIRCTL_DEFAULT_SOCKET ")\n"
    "      --json           print the answer as JSON\n"
    "  -a, --all            stats: zeros too\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Examples:\n"
    "  weirctl stats drops              what was discarded, and why\n"
    "  weirctl drain brokers/b1         before maintenance of b1; `weirctl servers` shows how many are left\n"
    "  weirctl capture front -w /tmp/front.pcapng -c 100 && tshark -r /tmp/front.pcapng\n"
    "\n"
    "Exit status: 0 done, 1 weir refused or does not answer, 2 usage.\n";

struct arguments {
    const char *socket, *file, *count;
    bool json, all;
};

static int usage(const char *why) {
    fprintf(stderr, "weirctl: %s; try weirctl --help\n", why);
    return 2;
}

/* weir writes the file: it needs the path from the root. */
static bool absolute(const char *file, char *out, size_t size) {
    char cwd[PATH_MAX];
    if (file[0] == '/')
        return (size_t)snprintf(out, size, "%s", file) < size;
    return getcwd(cwd, sizeof(cwd)) != NULL && (size_t)snprintf(out, size, "%s/%s", cwd, file) < size;
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
    json_t *answer = request_send(a->socket, request, used);
    if (answer == NULL)
        return 1;
    bool ok = json_is_true(json_object_get(answer, "ok"));
    if (a->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (ok) {
        print_answer(words[0], answer, a->all, filter);
    }
    if (!ok && !a->json) {
        size_t i;
        json_t *r;
        fprintf(stderr, "weirctl: %s\n", json_string_value(json_object_get(answer, "error")));
        json_array_foreach(json_object_get(answer, "refused"), i, r) fprintf(stderr, "  %s\n", json_string_value(r));
    }
    json_decref(answer);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"all", no_argument, NULL, 'a'},          {"write", required_argument, NULL, 'w'},
        {"count", required_argument, NULL, 'c'},  {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {0}};
    struct arguments a = {.socket = WEIRCTL_DEFAULT_SOCKET};
    char why[96];
    opterr = 0; /* usage() speaks */
    for (int o; (o = getopt_long(argc, argv, ":s:jaw:c:hV", options, NULL)) != -1;) {
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
