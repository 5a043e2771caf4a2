/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys of all connections, in a file for wireshark (NSS key log format), only where the configuration asks for it.
 */
#include "tls_key_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

struct tls_key_log {
    int fd;
};

struct tls_key_log *tls_key_log_open(const char *file, char *error, size_t error_bytes) {
    struct tls_key_log *log = calloc(1, sizeof(*log));

    snprintf(error, error_bytes, "out of memory");
    if (log == NULL)
        return NULL;
    log->fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->fd >= 0)
        return log;
    snprintf(error, error_bytes, "key_log %s: %s", file, strerror(errno));
    free(log);
    return NULL;
}

void tls_key_log_close(struct tls_key_log *log) {
    if (log == NULL)
        return;
    close(log->fd);
    free(log);
}

void tls_key_log_line(struct tls_key_log *log, const char *line) {
    const struct iovec parts[] = {{(void *)(uintptr_t)line, strlen(line)}, {(char[]){'\n'}, 1}};
    ssize_t n = writev(log->fd, parts, 2); /* in one piece, as it is appended: other cores write too */

    (void)n; /* a full disk costs lines of the log and nothing else */
}
