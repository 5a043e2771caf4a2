/* SPDX-License-Identifier: BSD-3-Clause */
/* One value of the file at a time: from its text to its type, or an error that says what would be right. */
#include "config_int.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void config_at(struct config_pass *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(p->base, sizeof(p->base), format, args);
    va_end(args);
}

static void full_key(const struct config_pass *p, const char *key, char *buf, size_t size_bytes) {
    snprintf(buf, size_bytes, "%s%s%s", p->base, p->base[0] && key ? "." : "", key ? key : "");
}

int config_fail(struct config_pass *p, const char *key, const char *hint, const char *format, ...) {
    struct config_error *e = p->err;
    va_list args;
    full_key(p, key, e->key, sizeof(e->key));
    config_lines_find(p->lines, e->key, false, &e->line, &e->column);
    va_start(args, format);
    vsnprintf(e->message, sizeof(e->message), format, args);
    va_end(args);
    snprintf(e->hint, sizeof(e->hint), "%s", hint ? hint : "");
    return WEIR_EINVAL;
}

int config_text_where(struct config_pass *p, const char *key, char **out) {
    char path[sizeof(p->err->key)];
    uint32_t line, column;
    full_key(p, key, path, sizeof(path));
    config_lines_find(p->lines, path, false, &line, &column);
    if (asprintf(out, "%s:%u:%u: %s", p->name, line, column, path) >= 0)
        return 0;
    *out = NULL;
    config_fail(p, NULL, NULL, "out of memory");
    return WEIR_ENOMEM;
}

int config_missing(struct config_pass *p, const char *key, const char *hint) {
    return config_fail(p, key, hint, "is missing");
}

void config_warn(struct config_pass *p, const char *key, const char *format, ...) {
    struct config *c = p->config;
    char path[sizeof(p->err->key)], text[384], *line = NULL;
    uint32_t row, column;
    va_list args;
    if (c->n_warnings == CONFIG_MAX_WARNINGS)
        return;
    full_key(p, key, path, sizeof(path));
    config_lines_find(p->lines, path, false, &row, &column);
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (asprintf(&line, "%s:%u:%u: %s: %s", p->name, row, column, path, text) >= 0)
        c->warnings[c->n_warnings++] = line;
}

struct config_key config_key_of(const char *key, unsigned index) {
    struct config_key k;
    snprintf(k.text, sizeof(k.text), "%s[%u]", key, index);
    return k;
}

int config_text_u32(struct config_pass *p, const char *key, const char *text, uint32_t min, uint32_t max,
                    uint32_t *out) {
    char hint[64];
    if (!text)
        return 0;
    snprintf(hint, sizeof(hint), "a whole number from %u to %u", min, max);
    uint64_t value = 0;
    for (const char *c = text; *c; c++) {
        if (!isdigit((unsigned char)*c))
            return config_fail(p, key, hint, "\"%.40s\" is not a number", text);
        if (value <= UINT32_MAX)
            value = value * 10 + (uint64_t)(*c - '0');
    }
    if (!*text)
        return config_fail(p, key, hint, "is empty");
    if (value < min || value > max)
        return config_fail(p, key, hint, "%.40s is out of range", text);
    *out = (uint32_t)value;
    return 0;
}

int config_text_word(struct config_pass *p, const char *key, const char *text, const struct config_word *words,
                     int *out) {
    char hint[160] = "";
    if (!text)
        return 0;
    for (const struct config_word *w = words; w->word; w++) {
        if (strcmp(text, w->word) == 0) {
            *out = w->value;
            return 0;
        }
        snprintf(hint + strlen(hint), sizeof(hint) - strlen(hint), "%s%s", hint[0] ? " | " : "", w->word);
    }
    return config_fail(p, key, hint, "\"%.40s\" is not known here", text);
}

int config_text_bool(struct config_pass *p, const char *key, const char *text, bool *out) {
    static const struct config_word words[] = {{"true", 1}, {"false", 0}, {NULL, 0}};
    int value = *out;
    int rc = config_text_word(p, key, text, words, &value);
    *out = value;
    return rc;
}

static int addr_parse(struct config_pass *p, const char *key, const char *text, bool any_host, uint32_t *addr_be) {
    struct in_addr a;
    if (strchr(text, ':'))
        return config_fail(p, key, "IPv4, such as 198.18.0.1",
                           "\"%.60s\" looks like IPv6, which weir does not speak yet", text);
    if (inet_pton(AF_INET, text, &a) != 1)
        return config_fail(p, key, "such as 198.18.0.1", "\"%.60s\" is not an IPv4 address", text);
    uint32_t addr = ntohl(a.s_addr);
    bool special = addr >> 24 == 0 || addr >> 24 == 127;
    if (addr >> 28 >= 0xe || (special && !any_host)) /* RFC 6890: multicast, reserved, broadcast; this host, loopback */
        return config_fail(p, key, "a unicast address", "%.60s is not the address of a host on a network", text);
    *addr_be = a.s_addr;
    return 0;
}

int config_text_addr(struct config_pass *p, const char *key, const char *text, uint32_t *addr_be) {
    return text ? addr_parse(p, key, text, false, addr_be) : 0;
}

int config_text_mac(struct config_pass *p, const char *key, const char *text, uint8_t mac[6]) {
    static const char hint[] = "six pairs of hexadecimal digits of one station, such as 02:00:00:00:00:01";
    unsigned b[6];
    int end = 0;
    if (!text)
        return 0;
    if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 || end != 17)
        return config_fail(p, key, hint, "\"%.40s\" is not a MAC address", text);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
    if ((mac[0] & 1) || !(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
        return config_fail(p, key, hint, "\"%.40s\" is not the address of a station", text);
    return 0;
}

/* Split at the last `mark` into `head` and the returned tail; NULL where there is none or head does not fit. */
static const char *split(const char *text, char mark, char *head, size_t head_bytes) {
    const char *at = strrchr(text, mark);
    if (!at || (size_t)(at - text) >= head_bytes)
        return NULL;
    memcpy(head, text, (size_t)(at - text));
    head[at - text] = '\0';
    return at + 1;
}

int config_text_prefix(struct config_pass *p, const char *key, const char *text, struct config_address *out) {
    char head[64];
    uint32_t prefix_len = 0, addr_be = 0;
    const char *tail = split(text, '/', head, sizeof(head));
    if (!tail)
        return config_fail(p, key, "address/prefix, such as 198.18.0.1/24", "\"%.60s\" has no prefix length", text);
    int rc = addr_parse(p, key, head, false, &addr_be);
    if (rc == 0)
        rc = config_text_u32(p, key, tail, 1, 32, &prefix_len);
    if (rc < 0)
        return rc;
    *out = (struct config_address){.addr_be = addr_be, .prefix_len = (uint8_t)prefix_len};
    uint32_t host = addr_be & ~config_mask_be(out->prefix_len);
    if (prefix_len <= 30 && (host == 0 || host == ~config_mask_be(out->prefix_len)))
        return config_fail(p, key, "give the host's address in it", "%.60s is the %s address of its subnet", text,
                           host ? "broadcast" : "network");
    return 0;
}

int config_text_addr_port(struct config_pass *p, const char *key, const char *text, bool any_host, uint32_t *addr_be,
                          uint16_t *port_be) {
    char head[64];
    uint32_t port = 0;
    const char *tail = split(text, ':', head, sizeof(head));
    if (!tail)
        return config_fail(p, key, "address:port, such as 198.18.0.1:8883", "\"%.60s\" has no port", text);
    int rc = addr_parse(p, key, head, any_host, addr_be);
    if (rc == 0)
        rc = config_text_u32(p, key, tail, 1, 65535, &port);
    *port_be = htons((uint16_t)port);
    return rc;
}

int config_text_name(struct config_pass *p, const char *text, char name[CONFIG_NAME_LEN]) {
    static const char hint[] = "1 to 31 letters, digits, dots, dashes or underscores";
    if (!text)
        return config_missing(p, "name", hint);
    size_t len = strlen(text);
    bool good = len >= 1 && len < CONFIG_NAME_LEN;
    for (size_t i = 0; good && i < len; i++)
        good = isalnum((unsigned char)text[i]) || strchr("_.-", text[i]);
    if (!good)
        return config_fail(p, "name", hint, "\"%.40s\" cannot be a name", text);
    memcpy(name, text, len + 1);
    return 0;
}

static int no_memory(struct config_pass *p, const char *key) {
    config_fail(p, key, NULL, "out of memory while reading the configuration");
    return WEIR_ENOMEM;
}

int config_text_copy(struct config_pass *p, const char *key, const char *text, char **out) {
    if (!text)
        return 0;
    if (!*text)
        return config_fail(p, key, NULL, "is empty");
    for (const char *c = text; *c; c++)
        if (iscntrl((unsigned char)*c))
            return config_fail(p, key, NULL, "contains a control character");
    free(*out);
    *out = strdup(text);
    return *out ? 0 : no_memory(p, key);
}

int config_text_list(struct config_pass *p, const char *key, const struct raw_list *list, unsigned max, char ***out,
                     uint16_t *n) {
    if (list->n > max)
        return config_fail(p, key, NULL, "too many entries: at most %u", max);
    *out = calloc(list->n ? list->n : 1, sizeof(**out));
    if (!*out)
        return no_memory(p, key);
    *n = (uint16_t)list->n;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < list->n; i++)
        rc = config_text_copy(p, config_key_of(key, i).text, list->items[i], &(*out)[i]);
    return rc;
}

void config_text_list_free(char **list, uint16_t n) {
    for (uint16_t i = 0; list && i < n; i++)
        free(list[i]);
    free(list);
}

int config_text_path(struct config_pass *p, const char *key, const char *text, char **out) {
    int rc = config_text_copy(p, key, text, out);
    if (rc < 0 || !text || **out == '/')
        return rc;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", p->folder, text) < 0)
        return no_memory(p, key);
    free(*out);
    *out = path;
    return 0;
}

char *config_addr_format(uint32_t addr_be, char buf[CONFIG_ADDR_LEN]) {
    const uint8_t *b = (const uint8_t *)&addr_be;
    snprintf(buf, CONFIG_ADDR_LEN, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    return buf;
}

void config_list_add(char *buf, size_t size_bytes, const char *item) {
    size_t len = strlen(buf), need = strlen(item) + 2;
    if (len + need + sizeof(", ...") <= size_bytes)
        snprintf(buf + len, size_bytes - len, "%s%s", len ? ", " : "", item);
    else if (len + sizeof(", ...") <= size_bytes && (len < 3 || strcmp(buf + len - 3, "...") != 0))
        snprintf(buf + len, size_bytes - len, ", ...");
}
