/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path)) {
        fprintf(stderr, "weirctl: %s: longer than a socket path may be\n", path);
        return -1;
    }
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    fprintf(stderr, "weirctl: %s: %s%s\n", path, strerror(errno),
            errno == ENOENT || errno == ECONNREFUSED ? " (is weir running? -s names its control.socket)" : "");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A weir that goes down meanwhile is an error like others, no signal. */
static bool send_all(int fd, const char *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, data + done, len - done, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* The words, separated by tabs, and a newline. */
static bool send_words(int fd, char *const *words, int n) {
    bool sent = true;
    for (int i = 0; i < n && sent; i++)
        sent = send_all(fd, words[i], strlen(words[i])) && send_all(fd, i + 1 < n ? "\t" : "\n", 1);
    return sent;
}

static json_t *receive(int fd) {
    json_error_t error;
    FILE *in = fdopen(fd, "r");
    if (in == NULL)
        return NULL;
    json_t *answer = json_loadf(in, 0, &error);
    fclose(in);
    if (answer == NULL)
        fprintf(stderr, "weirctl: weir closed the connection without a whole answer (%s)\n", error.text);
    return answer;
}

json_t *request_send(const char *path, char *const *words, int n) {
    for (int i = 0; i < n; i++) {
        if (strpbrk(words[i], "\t\n") != NULL) {
            fprintf(stderr, "weirctl: an argument may not hold tabs or line ends\n");
            return NULL;
        }
    }
    int fd = connect_to(path);
    if (fd < 0)
        return NULL;
    if (!send_words(fd, words, n)) {
        fprintf(stderr, "weirctl: %s: %s\n", path, strerror(errno));
        close(fd);
        return NULL;
    }
    return receive(fd);
}
