/* SPDX-License-Identifier: BSD-3-Clause */
/* Ticket keys of a fleet, in the format of HAProxy's tls-ticket-keys: a line is a key in base64, of 48 bytes (name,
 * AES-128 key, HMAC key of 16 bytes each) or of 80 (name of 16, HMAC key of 32, AES-256 key of 32). The newest is the
 * last; the last but one seals, so that a new key can be given to all machines before the first ticket is sealed with
 * it. A single key seals by itself. */
#include "tls_ticket_keys.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES 160u /* 108 characters of base64, and blanks */
#define SHORT_BYTES    48
#define LONG_BYTES     80

/* Returns how many bytes the line stands for, or -1. */
static int decode(const char *line, size_t n, uint8_t out[LINE_MAX_BYTES]) {
    if (n == 0 || n % 4 != 0)
        return -1;
    int bytes = EVP_DecodeBlock(out, (const unsigned char *)line, (int)n);
    if (bytes < 0)
        return -1;
    return bytes - (line[n - 1] == '=') - (line[n - 2] == '='); /* padding decodes to zero bytes */
}

static bool key_fill(struct tls_ticket_key *key, const uint8_t *raw, int n) {
    static const uint8_t zero[LINE_MAX_BYTES];
    bool is_long = n == LONG_BYTES;

    if (n != SHORT_BYTES && n != LONG_BYTES)
        return false;
    key->bytes = is_long ? 32 : 16;
    memcpy(key->name, raw, 16);
    memcpy(is_long ? key->hmac : key->aes, raw + 16, key->bytes);
    memcpy(is_long ? key->aes : key->hmac, raw + 16 + key->bytes, key->bytes);
    return memcmp(key->aes, zero, key->bytes) != 0 && memcmp(key->hmac, zero, key->bytes) != 0;
}

/* One more key; of too many the oldest goes. */
static void key_add(struct tls_ticket_set *set, const struct tls_ticket_key *key) {
    if (set->n == TLS_TICKET_KEYS_MAX)
        memmove(&set->keys[0], &set->keys[1], sizeof(set->keys[0]) * --set->n);
    set->keys[set->n++] = *key;
}

static bool name_taken(const struct tls_ticket_set *set, const struct tls_ticket_key *key) {
    for (uint32_t i = 0; i < set->n; i++)
        if (memcmp(set->keys[i].name, key->name, sizeof(key->name)) == 0)
            return true;
    return false;
}

/* A line's complaint, or NULL. */
static const char *line_take(struct tls_ticket_set *set, char *line, bool complete) {
    struct tls_ticket_key key = {0};
    uint8_t raw[LINE_MAX_BYTES];
    size_t n = strlen(line);

    while (n > 0 && isspace((unsigned char)line[n - 1]))
        line[--n] = '\0';
    if (n == 0 || line[0] == '#')
        return NULL;
    const char *wrong = NULL;
    if (!complete || !key_fill(&key, raw, decode(line, n, raw)))
        wrong = "not a key: 48 or 80 random bytes in base64 are (openssl rand -base64 80 | tr -d '\\n')";
    else if (name_taken(set, &key))
        wrong = "a key of that name, the first 16 bytes, came before";
    else
        key_add(set, &key);
    explicit_bzero(raw, sizeof(raw));
    explicit_bzero(&key, sizeof(key));
    return wrong;
}

bool tls_ticket_file_read(const char *file, struct tls_ticket_set *set, char *error, size_t error_bytes) {
    char line[LINE_MAX_BYTES], buffer[BUFSIZ];
    const char *wrong = NULL;
    uint32_t number = 0;
    FILE *f = fopen(file, "re");

    set->n = 0;
    if (f == NULL) {
        snprintf(error, error_bytes, "ticket_keys %s: %s", file, strerror(errno));
        return false;
    }
    setvbuf(f, buffer, _IOFBF, sizeof(buffer)); /* ours to wipe */
    while (wrong == NULL && fgets(line, sizeof(line), f)) {
        number++;
        wrong = line_take(set, line, strchr(line, '\n') || feof(f));
    }
    fclose(f);
    explicit_bzero(line, sizeof(line));
    explicit_bzero(buffer, sizeof(buffer));
    if (wrong == NULL && set->n == 0)
        snprintf(error, error_bytes, "ticket_keys %s: no key in it", file);
    else if (wrong)
        snprintf(error, error_bytes, "ticket_keys %s:%u: %s", file, number, wrong);
    set->seals = set->n > 1 ? set->n - 2 : 0;
    return wrong == NULL && set->n > 0;
}
