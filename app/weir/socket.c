/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_int.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

/* A socket file that nobody listens on was left by a process that was killed. Any other file is not ours to take away
 * (connect refuses there as well). */
static bool socket_stale(const struct sockaddr_un *a) {
    struct stat st;
    if (lstat(a->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

bool socket_serves(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = strlen(path) < sizeof(a.sun_path) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (fd < 0)
        return false;
    strcpy(a.sun_path, path);
    bool serves = connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 || errno == EAGAIN; /* its queue is full */
    close(fd);
    return serves;
}

int socket_open(const char *path, char *error, size_t error_bytes) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path)) {
        snprintf(error, error_bytes, "control.socket: %s is longer than the %zu bytes a socket path may have", path,
                 sizeof(a.sun_path) - 1);
        return -1;
    }
    strcpy(a.sun_path, path);
    char folder[sizeof(a.sun_path)];
    strcpy(folder, path);
    mkdir(dirname(folder), 0755); /* /run/weir is gone after a boot */
    if (socket_stale(&a))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
    if (bound && chmod(path, 0660) == 0 && listen(fd, BACKLOG) == 0) /* nobody can connect before listen */
        return fd;
    snprintf(error, error_bytes, "control.socket %s: %s%s", path, strerror(errno),
             errno == EADDRINUSE ? " (another weir runs with it, or a file lies there; choose another path)" : "");
    if (bound)
        unlink(path);
    if (fd >= 0)
        close(fd);
    return -1;
}
