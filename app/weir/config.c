/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_int.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CPUs from the kernel's list, such as "0-3,8"; where it cannot be read, as many as sysconf counts. */
static void cpus_online(uint64_t online[CONFIG_CPUS / 64]) {
    char text[512] = "";
    FILE *f = fopen("/sys/devices/system/cpu/online", "re");
    if (!f || !fgets(text, sizeof(text), f))
        snprintf(text, sizeof(text), "0-%ld", sysconf(_SC_NPROCESSORS_ONLN) - 1);
    if (f)
        fclose(f);
    char *next = text;
    for (;;) {
        char *end;
        unsigned long first = strtoul(next, &end, 10), last = first;
        if (end == next)
            break;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long cpu = first; cpu <= last && cpu < CONFIG_CPUS; cpu++)
            online[cpu / 64] |= 1ull << (cpu % 64);
        if (*end != ',')
            break;
        next = end + 1;
    }
}

static int run_passes(struct config_pass *p, const void *data, size_t len_bytes, struct config_lines **lines) {
    int rc = config_lines_read(data, len_bytes, lines, p->err);
    if (rc < 0)
        return rc;
    p->lines = *lines;
    rc = config_schema_read(p, data, len_bytes);
    if (rc == 0)
        rc = config_check(p);
    if (rc == 0)
        rc = config_resolve(p);
    return rc;
}

int config_parse_on(const struct config_source *source, const uint64_t online[CONFIG_CPUS / 64], struct config **out,
                    struct config_error *err) {
    struct config_lines *lines = NULL;
    struct config_pass p = {.name = source->name, .folder = source->folder, .err = err};
    *out = NULL;
    *err = (struct config_error){0};
    snprintf(err->file, sizeof(err->file), "%s", source->name);
    memcpy(p.online, online, sizeof(p.online));
    p.config = calloc(1, sizeof(*p.config));
    if (!p.config || !(p.config->file = strdup(source->name))) {
        config_free(p.config);
        snprintf(err->message, sizeof(err->message), "out of memory while reading the configuration");
        return WEIR_ENOMEM;
    }
    int rc = run_passes(&p, source->data, source->len_bytes, &lines);
    config_schema_free(p.raw);
    config_lines_free(lines);
    if (rc < 0) {
        config_free(p.config);
        return rc;
    }
    *out = p.config;
    return 0;
}

int config_parse_buffer(const void *data, size_t len_bytes, const char *name, const char *folder, struct config **out,
                        struct config_error *err) {
    const struct config_source source = {data, len_bytes, name, folder};
    uint64_t online[CONFIG_CPUS / 64] = {0};
    cpus_online(online);
    return config_parse_on(&source, online, out, err);
}

/* The whole file, at most CONFIG_FILE_MAX; NULL with `err` filled. */
static char *file_read(const char *path, size_t *len_bytes, struct config_error *err) {
    FILE *f = fopen(path, "re");
    char *data = f ? malloc(CONFIG_FILE_MAX + 1) : NULL;
    if (data) {
        *len_bytes = fread(data, 1, CONFIG_FILE_MAX + 1, f);
        if (!ferror(f) && *len_bytes <= CONFIG_FILE_MAX) {
            fclose(f);
            return data;
        }
    }
    if (data && *len_bytes > CONFIG_FILE_MAX)
        snprintf(err->message, sizeof(err->message), "larger than 1 MiB, which no configuration is");
    else
        snprintf(err->message, sizeof(err->message), "cannot be read: %s", strerror(errno));
    snprintf(err->hint, sizeof(err->hint), "name the configuration file with -c FILE");
    free(data);
    if (f)
        fclose(f);
    return NULL;
}

int config_load(const char *path, struct config **out, struct config_error *err) {
    size_t len_bytes = 0;
    *out = NULL;
    *err = (struct config_error){0};
    snprintf(err->file, sizeof(err->file), "%s", path);
    char *data = file_read(path, &len_bytes, err);
    char *copy = data ? strdup(path) : NULL;
    char *folder = copy ? realpath(dirname(copy), NULL) : NULL;
    int rc = WEIR_EIO;
    if (folder)
        rc = config_parse_buffer(data, len_bytes, path, folder, out, err);
    else if (data)
        snprintf(err->message, sizeof(err->message), "its folder cannot be found: %s", strerror(errno));
    free(folder);
    free(copy);
    free(data);
    return rc;
}

void config_free(struct config *c) {
    if (!c)
        return;
    free(c->file);
    free(c->log.target);
    free(c->control.socket);
    for (unsigned i = 0; i < WEIR_MAX_PORTS; i++)
        free(c->ports[i].device);
    for (unsigned i = 0; i < WEIR_MAX_TLS; i++)
        config_tls_free(&c->tls[i]);
    for (unsigned i = 0; i < WEIR_MAX_POOLS; i++)
        config_pool_tls_free(&c->pools[i]);
    for (unsigned i = 0; i < c->n_warnings; i++)
        free(c->warnings[i]);
    free(c);
}

char *config_error_format(const struct config_error *err, char *buf, size_t size_bytes) {
    char at[32] = "";
    if (err->line)
        snprintf(at, sizeof(at), "%u:%u:", err->line, err->column);
    snprintf(buf, size_bytes, "weir: %s:%s %s%s%s%s%s%s", err->file, at, err->key, err->key[0] ? ": " : "",
             err->message, err->hint[0] ? " (" : "", err->hint, err->hint[0] ? ")" : "");
    return buf;
}

const char *config_mode_name(enum config_mode m) {
    static const char *const names[] = {"mqtt", "tcp", "udp", "echo"};
    return (unsigned)m < WEIR_ARRAY_LEN(names) ? names[m] : "?";
}

const char *config_idle_name(enum config_idle i) {
    static const char *const names[] = {"poll", "adaptive"};
    return (unsigned)i < WEIR_ARRAY_LEN(names) ? names[i] : "?";
}

const char *config_hugepages_name(enum config_hugepages h) {
    static const char *const names[] = {"auto", "required", "off"};
    return (unsigned)h < WEIR_ARRAY_LEN(names) ? names[h] : "?";
}
