/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of tls_ctx_config.key_log_file. Whoever reads it reads all traffic: its mode is 0600. */
#ifndef WEIR_TLS_KEY_LOG_H
#define WEIR_TLS_KEY_LOG_H

#include "tls_msg.h"

struct tls_key_log;
/* Append to the file, made where it does not exist. NULL: `error` says why. */
struct tls_key_log *tls_key_log_open(const char *file, char *error, size_t error_bytes);
void tls_key_log_close(struct tls_key_log *log); /* NULL is allowed */
void tls_key_log_line(struct tls_key_log *log, const char *line);

#endif
