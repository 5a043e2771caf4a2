/* SPDX-License-Identifier: BSD-3-Clause */
/* The one piece of process-wide state in lib/: where log lines go. It is written by log_open, log_reopen and log_close
 * only, which the control thread calls; rotation replaces the file behind the descriptor (dup2), so a thread that is
 * just writing never meets a closed one. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 512 /* longer ones are cut */
#define LINE_BYTES                                                                                                     \
    4096 /* a message in which every byte is escaped, and PIPE_BUF: one write is atomic on a pipe too                  \
          */

static const struct {
    const char *name;
    int syslog_priority;
} levels[] = {
    [LOG_LVL_ERROR] = {"error", LOG_ERR},
    [LOG_LVL_WARNING] = {"warning", LOG_WARNING},
    [LOG_LVL_INFO] = {"info", LOG_INFO},
    [LOG_LVL_DEBUG] = {"debug", LOG_DEBUG},
};

static struct {
    int fd; /* -1: syslog */
    enum log_level level;
    enum log_format format;
    char path[512]; /* empty: stderr or syslog */
} sink = {.fd = STDERR_FILENO, .level = LOG_LVL_INFO};

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int log_open(const char *target, enum log_level level, enum log_format format) {
    int fd = STDERR_FILENO;
    bool is_file = false;

    if (strcmp(target, "syslog") == 0) {
        fd = -1;
    } else if (strcmp(target, "stderr") != 0) {
        if (strlen(target) >= sizeof(sink.path)) {
            errno = ENAMETOOLONG;
            return WEIR_EIO;
        }
        fd = open_file(target);
        if (fd < 0)
            return WEIR_EIO;
        is_file = true;
    }
    log_close();
    if (fd < 0)
        openlog("weir", LOG_PID, LOG_DAEMON);
    sink.level = level;
    sink.format = format;
    sink.fd = fd;
    if (is_file)
        memcpy(sink.path, target, strlen(target) + 1);
    return 0;
}

int log_reopen(void) {
    if (sink.path[0] == '\0')
        return 0;
    int fd = open_file(sink.path);
    if (fd < 0)
        return WEIR_EIO;
    int rc = dup3(fd, sink.fd, O_CLOEXEC) < 0 ? WEIR_EIO : 0;
    close(fd);
    return rc;
}

void log_close(void) {
    if (sink.fd < 0)
        closelog();
    if (sink.path[0] != '\0')
        close(sink.fd);
    sink.path[0] = '\0';
    sink.fd = STDERR_FILENO;
}

/* A line under construction. */
struct line {
    char bytes[LINE_BYTES];
    size_t len;
};

static void put(struct line *l, const char *text, size_t n) {
    size_t room = LINE_BYTES - l->len;

    n = n < room ? n : room;
    memcpy(l->bytes + l->len, text, n);
    l->len += n;
}

static void put_text(struct line *l, const char *text) {
    put(l, text, strlen(text));
}

/* Control characters would let a peer's bytes forge lines or drive a terminal: text shows them as '?', JSON escapes
 * them (RFC 8259 7). */
static void put_escaped(struct line *l, const char *text, enum log_format format) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escape[8];
        if (format == LOG_FMT_JSON && (c == '"' || c == '\\')) {
            escape[0] = '\\';
            escape[1] = (char)c;
            put(l, escape, 2);
        } else if (c < 0x20 || c == 0x7f) {
            if (format == LOG_FMT_JSON)
                snprintf(escape, sizeof(escape), "\\u%04x", c);
            put_text(l, format == LOG_FMT_JSON ? escape : "?");
        } else {
            put(l, text, 1);
        }
    }
}

static void put_time(struct line *l) {
    struct timespec ts;
    struct tm tm;
    char text[40], fraction[16];

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(fraction, sizeof(fraction), ".%03uZ", (unsigned)(ts.tv_nsec / 1000000));
    put_text(l, text);
    put_text(l, fraction);
}

static void put_line(struct line *l, enum log_level level, const char *module, const char *message) {
    bool json = sink.format == LOG_FMT_JSON;

    put_text(l, json ? "{\"time\":\"" : "");
    put_time(l);
    put_text(l, json ? "\",\"level\":\"" : " ");
    put_text(l, levels[level].name);
    put_text(l, json ? "\",\"module\":\"" : " ");
    put_escaped(l, module, sink.format);
    put_text(l, json ? "\",\"message\":\"" : ": ");
    put_escaped(l, message, sink.format);
    /* The end always has its place, so that a line that was cut is still one line. */
    const char *end = json ? "\"}\n" : "\n";
    size_t n = strlen(end);
    if (l->len > LINE_BYTES - n)
        l->len = LINE_BYTES - n;
    put(l, end, n);
}

void log_line(enum log_level level, const char *module, const char *format, ...) {
    if (level > sink.level)
        return;
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    if (sink.fd < 0) {
        syslog(levels[level].syslog_priority, "%s: %s", module, message);
        return;
    }
    struct line l = {.len = 0};
    put_line(&l, level, module, message);
    ssize_t written = write(sink.fd, l.bytes, l.len); /* one call: lines of several threads do not mix */
    (void)written;                                    /* nobody is left to tell */
}

bool log_allowed(struct log_limit *l, uint32_t per_s, uint64_t now_us) {
    if (l->window_start_us == 0 || now_us - l->window_start_us >= 1000000) {
        l->window_start_us = now_us;
        l->in_window = 0;
        if (l->suppressed > 0)
            log_line(LOG_LVL_WARNING, "log", "%u lines like the next were left out", l->suppressed);
        l->suppressed = 0;
    }
    if (l->in_window >= per_s) {
        l->suppressed++;
        return false;
    }
    l->in_window++;
    return true;
}
