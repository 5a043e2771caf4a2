/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: tls_peer_LIBRARY --address A --port N --version 1.2|1.3 --bytes N --record N [--name SERVER] [--ca FILE]\n"
    "    [--cert FILE --key FILE] [--psk HEX --psk-identity NAME] [--suite LIST] [--groups LIST] [--fragment N] "
    "[--resume]\n"
    "    [--key-update-every BYTES] [--in-flight BYTES] [--patience SECONDS]\n";

enum {
    ADDRESS,
    PORT,
    VERSION,
    BYTES,
    RECORD,
    NAME,
    CA,
    CERT,
    KEY,
    PSK,
    PSK_IDENTITY,
    SUITE,
    GROUPS,
    FRAGMENT,
    RESUME,
    KEY_UPDATE,
    IN_FLIGHT,
    PATIENCE
};

static const struct option options[] = {{"address", 1, NULL, ADDRESS},
                                        {"port", 1, NULL, PORT},
                                        {"version", 1, NULL, VERSION},
                                        {"bytes", 1, NULL, BYTES},
                                        {"record", 1, NULL, RECORD},
                                        {"name", 1, NULL, NAME},
                                        {"ca", 1, NULL, CA},
                                        {"cert", 1, NULL, CERT},
                                        {"key", 1, NULL, KEY},
                                        {"psk", 1, NULL, PSK},
                                        {"psk-identity", 1, NULL, PSK_IDENTITY},
                                        {"suite", 1, NULL, SUITE},
                                        {"groups", 1, NULL, GROUPS},
                                        {"fragment", 1, NULL, FRAGMENT},
                                        {"resume", 0, NULL, RESUME},
                                        {"key-update-every", 1, NULL, KEY_UPDATE},
                                        {"in-flight", 1, NULL, IN_FLIGHT},
                                        {"patience", 1, NULL, PATIENCE},
                                        {0}};

static bool psk_take(struct peer_options *o, const char *hex) {
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n && i < PSK_MAX; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return false;
        o->psk[i] = (uint8_t)byte;
    }
    o->psk_bytes = n;
    return n > 0 && n <= PSK_MAX;
}

unsigned peer_psk(const struct peer_options *o, char *identity, unsigned identity_max, uint8_t *psk, unsigned psk_max) {
    if (o->psk_bytes > psk_max)
        return 0;
    snprintf(identity, identity_max, "%s", o->psk_identity);
    memcpy(psk, o->psk, o->psk_bytes);
    return (unsigned)o->psk_bytes;
}

/* RFC 6066 section 4; 0: there is none of that length. */
static uint8_t fragment_code(const char *bytes) {
    static const char *const lengths[] = {"512", "1024", "2048", "4096"};

    for (uint8_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        if (strcmp(bytes, lengths[i]) == 0)
            return (uint8_t)(i + 1);
    return 0;
}

static bool option_take(struct peer_options *o, int option, const char *value) {
    switch (option) {
    case ADDRESS:
        o->address = value;
        return true;
    case PORT:
        o->port = (uint16_t)atoi(value);
        return true;
    case VERSION:
        o->tls13 = strcmp(value, "1.3") == 0;
        return true;
    case BYTES:
        o->bytes = strtoull(value, NULL, 10);
        return true;
    case RECORD:
        o->record_bytes = (uint32_t)atoi(value);
        return o->record_bytes > 0 && o->record_bytes <= 16384;
    case NAME:
        o->name = value;
        return true;
    case CA:
        o->ca = value;
        return true;
    case CERT:
        o->certificate = value;
        return true;
    case KEY:
        o->key = value;
        return true;
    case PSK:
        return psk_take(o, value);
    case PSK_IDENTITY:
        o->psk_identity = value;
        return true;
    case SUITE:
        o->suite = value;
        return true;
    case GROUPS:
        o->groups = value;
        return true;
    case FRAGMENT:
        o->fragment = fragment_code(value);
        return o->fragment != 0;
    case RESUME:
        o->resume = true;
        return true;
    case KEY_UPDATE:
        o->key_update_bytes = strtoull(value, NULL, 10);
        return true;
    case IN_FLIGHT:
        o->pause_bytes = (uint32_t)atoi(value);
        return true;
    case PATIENCE:
        o->patience_s = (uint32_t)atoi(value);
        return true;
    default:
        return false;
    }
}

static int dial(const struct peer_options *o) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0 || inet_pton(AF_INET, o->address, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        fprintf(stderr, "%s:%u: %s\n", o->address, o->port, strerror(errno));
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* One connection from its SYN to its close. */
static bool run(const struct peer_options *o, bool keep) {
    struct peer_agreed a = {0};
    int fd = dial(o);

    if (!peer_tls.open(fd))
        return false;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    bool ok = exchange(fd, o) && (!keep || peer_tls.keep());
    peer_tls.agreed(&a); /* a session that is resumed has been told of by now */
    peer_tls.close();
    close(fd);
    if (ok)
        printf("version=%s suite=%s group=%s resumed=%d bytes=%llu\n", a.version, a.suite, a.group, a.resumed,
               (unsigned long long)o->bytes);
    return ok;
}

int main(int argc, char **argv) {
    struct peer_options o = {.patience_s = 30};
    int option;

    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        if (!option_take(&o, option, optarg)) {
            fputs(usage, stderr);
            return 2;
        }
    if (!o.address || !o.port || !o.bytes || !o.record_bytes || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    return peer_tls.prepare(&o) && run(&o, o.resume) && (!o.resume || run(&o, false)) ? 0 : 1;
}
