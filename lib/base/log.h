/* SPDX-License-Identifier: BSD-3-Clause */
/* Leveled log for slow paths: control, start-up, and rate-limited lines about flows. The packet path counts instead.
 * One process-wide sink, set up before the workers start; log_line is safe from any thread (one write(2) a line). */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include "base.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARNING, LOG_LVL_INFO, LOG_LVL_DEBUG };
enum log_format { LOG_FMT_TEXT, LOG_FMT_JSON };

/* target: "stderr", "syslog" or a path (opened for append, 0640). Returns 0 or WEIR_EIO (errno says why). */
int log_open(const char *target, enum log_level level, enum log_format format);

/* Open the file again (log rotation, SIGUSR1); no-op for the other targets. Returns 0 or WEIR_EIO: the old one stays.
 */
int log_reopen(void);
void log_close(void);

/* One line: time, level, module, text. JSON: {"time","level","module","message"}. */
void log_line(enum log_level level, const char *module, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A budget of lines for one place: at most `per_s` a second; those left out are counted and reported with the next. */
struct log_limit {
    uint64_t window_start_us;
    uint32_t in_window, suppressed;
};
bool log_allowed(struct log_limit *l, uint32_t per_s, uint64_t now_us);

#endif
