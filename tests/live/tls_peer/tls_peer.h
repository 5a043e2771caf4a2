/* SPDX-License-Identifier: BSD-3-Clause */
/* A TLS client that sends a stream of bytes to a server that echoes, and compares what comes back, both at once:
 *
 *   tls_peer.c     options, TCP, one connection or two of which the second resumes; what was agreed on as a line
 *   exchange.c     the stream, record by record, with key updates on the way
 *   with_*.c       struct peer_tls over one library each, linked with the others into a program of its own */
#ifndef TLS_PEER_H
#define TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PSK_MAX 64u

struct peer_options {
    const char *address, *name; /* to connect to; of the server in its certificate */
    uint16_t port;
    const char *ca, *certificate, *key; /* PEM files; NULL: nobody is verified, none is shown */
    const char *psk_identity;           /* NULL: none */
    uint8_t psk[PSK_MAX];
    size_t psk_bytes;
    bool tls13;                       /* else 1.2: one version alone */
    const char *suite;                /* in the library's notation */
    const char *groups;               /* of X25519, P-256 and P-384, with colons between; NULL: the library's choice */
    uint8_t fragment;                 /* code of max_fragment_length (RFC 6066 section 4); 0: not asked for */
    bool resume;                      /* a second connection with the session of the first */
    uint32_t record_bytes;            /* of a write */
    uint64_t bytes;                   /* in all */
    uint64_t key_update_bytes;        /* a KeyUpdate that asks for the server's each time so many are sent; 0: none */
    uint32_t patience_s, pause_bytes; /* without progress; sent and not back yet, at most (0: no limit) */
};

struct peer_agreed { /* "": the library does not tell */
    char version[16], suite[64], group[32];
    bool resumed;
};

#define PEER_AGAIN  (-1) /* the socket is not ready: the same once more, later */
#define PEER_FAILED (-2) /* what happened has been said on stderr */
#define PEER_END    (-3) /* close_notify */

/* One connection at a time. Sockets block during `open` and do not after it. */
struct peer_tls {
    bool (*prepare)(const struct peer_options *o);
    bool (*open)(int fd); /* the handshake, with the session kept if there is one */
    ssize_t (*write)(const void *data, size_t n);
    ssize_t (*read)(void *data, size_t n);
    int (*key_update)(void); /* 0, PEER_AGAIN or PEER_FAILED */
    void (*agreed)(struct peer_agreed *out);
    bool (*keep)(void);  /* the session, to be resumed */
    void (*close)(void); /* close_notify, and forget the connection */
};
extern const struct peer_tls peer_tls;

/* What a library's callback for pre-shared keys answers: bytes of the key, 0 where there is no room for it. */
unsigned peer_psk(const struct peer_options *o, char *identity, unsigned identity_max, uint8_t *psk, unsigned psk_max);

/* Returns whether all bytes came back as they were sent. */
bool exchange(int fd, const struct peer_options *o);

#endif
