/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <rte_log.h>
#include <xdp/libxdp.h>

#include "base/log.h"

#define LINE_BYTES 256

/* DPDK's log stream is one per process, and so is this. stdio's lock on the stream guards it. */
static struct {
    FILE *stream;
    size_t len_bytes;
    char line[LINE_BYTES];
    char first_error[LINE_BYTES];
} sink;

/* Drivers call errors what is none: net_tap lives without the multiq queueing discipline and without rte_flow, and a
 * process alone has no secondary to tell. EAL's own lines only repeat that a driver failed. */
static const char *const harmless[] = {"qdisc", "rte flow support", "req to secondary", "EAL: Failed to attach device",
                                       "EAL: Driver cannot attach"};

static bool is_harmless(const char *line) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(harmless); i++)
        if (strstr(line, harmless[i]))
            return true;
    return false;
}

static void line_take(const char *line, bool error) {
    error = error && !is_harmless(line);
    if (error && !sink.first_error[0])
        snprintf(sink.first_error, sizeof(sink.first_error), "%s", line);
    log_line(error ? LOG_LVL_WARNING : LOG_LVL_DEBUG, "dpdk", "%s", line);
}

/* fopencookie's write: any piece of text, whole lines or not. */
static ssize_t stream_write(void *cookie, const char *text, size_t len_bytes) {
    (void)cookie;
    bool error = rte_log_cur_msg_loglevel() <= (int)RTE_LOG_ERR;
    for (size_t i = 0; i < len_bytes; i++) {
        if (text[i] != '\n' && sink.len_bytes < LINE_BYTES - 1) {
            sink.line[sink.len_bytes++] = text[i];
        } else if (text[i] == '\n') {
            sink.line[sink.len_bytes] = '\0';
            if (sink.len_bytes)
                line_take(sink.line, error);
            sink.len_bytes = 0;
        }
    }
    return (ssize_t)len_bytes;
}

/* libbpf and libxdp count their levels alike: 0 is a warning. They warn about each of the ways that they try in turn.
 */
static void xdp_text(int level, const char *format, va_list args) {
    char line[LINE_BYTES];
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    if (level == 0 && line[0])
        log_line(LOG_LVL_DEBUG, "xdp", "%s", line);
}

static int libbpf_text(enum libbpf_print_level level, const char *format, va_list args) {
    xdp_text((int)level, format, args);
    return 0;
}

static int libxdp_text(enum libxdp_print_level level, const char *format, va_list args) {
    xdp_text((int)level, format, args);
    return 0;
}

int eal_log_start(void) {
    cookie_io_functions_t functions = {.write = stream_write};
    sink.stream = fopencookie(NULL, "w", functions);
    if (!sink.stream)
        return WEIR_ENOMEM;
    setvbuf(sink.stream, NULL, _IOLBF, 0);
    rte_openlog_stream(sink.stream);
    libbpf_set_print(libbpf_text);
    libxdp_set_print(libxdp_text);
    return 0;
}

void eal_log_stop(void) {
    if (!sink.stream)
        return;
    rte_openlog_stream(NULL);
    fclose(sink.stream);
    sink.stream = NULL;
}

void eal_log_forget(void) {
    sink.first_error[0] = '\0';
}

const char *eal_log_first_error(void) {
    return sink.first_error;
}
