/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_psk.h"
#include "tls_certs.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_BYTES 32u
#define LINE_BYTES (TLS_PSK_NAME_MAX + 1 + 2 * TLS_PSK_KEY_MAX + 3) /* "identity:hex\r\n" and a zero */

struct entry {
    uint8_t hash[HASH_BYTES]; /* of salt and identity */
    uint8_t key[TLS_PSK_KEY_MAX];
    uint32_t key_bytes;
    uint32_t line;
};

struct tls_psk {
    atomic_uint references;
    char *file;
    uint8_t salt[2][HASH_BYTES]; /* of the entries' hashes; of keys for identities that are not known */
    uint32_t n, capacity, weak;
    struct entry entries[]; /* sorted by hash */
};

static size_t bytes_of(uint32_t capacity) {
    return sizeof(struct tls_psk) + (size_t)capacity * sizeof(struct entry);
}

static bool hash_of(const uint8_t salt[HASH_BYTES], const uint8_t *identity, size_t n, uint8_t out[HASH_BYTES]) {
    uint8_t told[HASH_BYTES + TLS_PSK_NAME_MAX];

    if (n > TLS_PSK_NAME_MAX)
        return false;
    memcpy(told, salt, HASH_BYTES);
    memcpy(told + HASH_BYTES, identity, n);
    return EVP_Digest(told, HASH_BYTES + n, out, NULL, EVP_sha256(), NULL) == 1;
}

static int order(const void *a, const void *b) {
    return memcmp(((const struct entry *)a)->hash, ((const struct entry *)b)->hash, HASH_BYTES);
}

/* --- the file --- */

static uint32_t unhex(const char *hex, uint8_t key[TLS_PSK_KEY_MAX]) {
    size_t n = strlen(hex);

    if (n == 0 || n % 2 != 0 || n / 2 > TLS_PSK_KEY_MAX || strspn(hex, "0123456789abcdefABCDEF") != n)
        return 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t digit = (uint8_t)(hex[i] <= '9' ? hex[i] - '0' : (hex[i] | 0x20) - 'a' + 10);
        key[i / 2] = (uint8_t)(i % 2 ? key[i / 2] | digit : digit << 4);
    }
    return (uint32_t)n / 2;
}

/* Its complaint, or NULL. */
static const char *line_take(struct tls_psk *psk, char *line, uint32_t number) {
    size_t n = strlen(line);
    struct entry *e = &psk->entries[psk->n];

    while (n > 0 && isspace((unsigned char)line[n - 1]))
        line[--n] = '\0';
    if (n == 0 || line[0] == '#')
        return NULL;
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || colon - line > (ptrdiff_t)TLS_PSK_NAME_MAX)
        return "not identity:key, where an identity has 1 to 128 bytes";
    for (const char *p = line; p < colon; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return "a control character in an identity";
    e->key_bytes = unhex(colon + 1, e->key);
    e->line = number;
    if (e->key_bytes == 0)
        return "not identity:key, where a key has 1 to 64 bytes in hex";
    if (!hash_of(psk->salt[0], (const uint8_t *)line, (size_t)(colon - line), e->hash))
        return "libcrypto has no SHA-256";
    psk->weak += e->key_bytes < TLS_PSK_KEY_GOOD;
    psk->n++;
    return NULL;
}

/* Lines of a file that is open, or 0: it cannot be read. */
static uint32_t lines_count(FILE *f) {
    uint32_t lines = 1;
    int c;

    while ((c = getc(f)) != EOF)
        lines += c == '\n';
    rewind(f);
    return ferror(f) ? 0 : lines;
}

static struct tls_psk *room_for(uint32_t entries) {
    size_t bytes = bytes_of(entries);
    bool locked; /* or not: as with the keys of connections, of which the owner is told */
    struct tls_psk *psk = tls_secret_alloc(bytes, &locked);

    if (psk == NULL)
        return NULL;
    atomic_init(&psk->references, 1);
    psk->capacity = entries;
    if (RAND_bytes(psk->salt[0], HASH_BYTES) == 1 && RAND_priv_bytes(psk->salt[1], HASH_BYTES) == 1)
        return psk;
    tls_psk_unref(psk);
    return NULL;
}

/* Sort, and find an identity that comes twice. Returns the later one's line, or 0. */
static uint32_t twice(struct tls_psk *psk) {
    qsort(psk->entries, psk->n, sizeof(psk->entries[0]), order);
    for (uint32_t i = 1; i < psk->n; i++)
        if (order(&psk->entries[i - 1], &psk->entries[i]) == 0)
            return weir_max_u32(psk->entries[i - 1].line, psk->entries[i].line);
    return 0;
}

static bool lines_read(struct tls_psk *psk, FILE *f, const char *file, char *error, size_t error_bytes) {
    char line[LINE_BYTES];
    const char *wrong = NULL;
    uint32_t number = 0;

    while (wrong == NULL && psk->n < psk->capacity && fgets(line, sizeof(line), f)) {
        number++;
        wrong = strchr(line, '\n') || feof(f) ? line_take(psk, line, number) : "too long, or a zero byte in it";
    }
    explicit_bzero(line, sizeof(line));
    if (wrong == NULL && (number = twice(psk)) > 0)
        wrong = "an identity that came before";
    if (wrong)
        snprintf(error, error_bytes, "psk_file %s:%u: %s", file, number, wrong);
    else if (psk->n == 0)
        snprintf(error, error_bytes, "psk_file %s: no key in it", file);
    return wrong == NULL && psk->n > 0;
}

struct tls_psk *tls_psk_new(const char *file, uint32_t *weak, char *error, size_t error_bytes) {
    char buffer[BUFSIZ];
    FILE *f = fopen(file, "re");
    uint32_t lines = 0;

    if (f) {
        setvbuf(f, buffer, _IOFBF, sizeof(buffer)); /* ours to wipe */
        lines = lines_count(f);
    }
    if (lines == 0) {
        snprintf(error, error_bytes, "psk_file %s: %s", file, strerror(errno));
        if (f)
            fclose(f);
        return NULL;
    }
    snprintf(error, error_bytes, "out of memory");
    struct tls_psk *psk = room_for(lines);
    bool ok = psk && (psk->file = strdup(file)) && lines_read(psk, f, file, error, error_bytes);
    fclose(f);
    explicit_bzero(buffer, sizeof(buffer));
    if (!ok) {
        tls_psk_unref(psk);
        return NULL;
    }
    *weak = psk->weak;
    return psk;
}

struct tls_psk *tls_psk_ref(struct tls_psk *psk) {
    atomic_fetch_add_explicit(&psk->references, 1, memory_order_relaxed);
    return psk;
}

void tls_psk_unref(struct tls_psk *psk) {
    if (psk == NULL || atomic_fetch_sub_explicit(&psk->references, 1, memory_order_acq_rel) != 1)
        return;
    free(psk->file);
    size_t bytes = bytes_of(psk->capacity);
    tls_secret_free(psk, bytes);
}

bool tls_psk_is_of(const struct tls_psk *psk, const char *file) {
    return strcmp(psk->file, file) == 0;
}

/* --- in a handshake --- */

uint32_t tls_psk_find(const struct tls_psk *psk, const uint8_t *identity, size_t n, uint8_t key[TLS_PSK_KEY_MAX],
                      bool *known) {
    struct entry wanted;

    *known = false;
    if (!hash_of(psk->salt[0], identity, n, wanted.hash) || !hash_of(psk->salt[1], identity, n, key))
        return 0;
    const struct entry *e = bsearch(&wanted, psk->entries, psk->n, sizeof(wanted), order);
    if (e == NULL)
        return HASH_BYTES;
    *known = true;
    memcpy(key, e->key, sizeof(e->key));
    return e->key_bytes;
}

bool tls_psk_mark(const struct tls_psk *psk, const char *identity, uint8_t mark[TLS_PSK_MARK_BYTES]) {
    static const char label[] = "weir psk";
    uint8_t told[sizeof(label) + TLS_PSK_KEY_MAX] = {0}, hash[HASH_BYTES];
    bool known;

    memcpy(told, label, sizeof(label));
    uint32_t n = tls_psk_find(psk, (const uint8_t *)identity, strlen(identity), told + sizeof(label), &known);
    known = known && EVP_Digest(told, sizeof(label) + n, hash, NULL, EVP_sha256(), NULL) == 1;
    explicit_bzero(told, sizeof(told));
    if (known)
        memcpy(mark, hash, TLS_PSK_MARK_BYTES);
    return known;
}

bool tls_psk_name_keep(struct tls_msg *msg, const uint8_t *identity, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (identity[i] < 0x20 || identity[i] == 0x7f)
            return false;
    if (n == 0 || n > TLS_PSK_NAME_MAX)
        return false;
    memcpy(msg->psk, identity, n);
    msg->psk[n] = '\0';
    msg->psk_new = true;
    return true;
}

/* TLS 1.2. libssl asks of 1.3 as well, where the other callback knew nothing. */
static unsigned find12(SSL *ssl, const char *identity, unsigned char *key, unsigned room) {
    struct tls_msg *msg = SSL_get_app_data(ssl);
    size_t n = strlen(identity);
    bool known;

    if (SSL_version(ssl) == TLS_V13 || room < TLS_PSK_KEY_MAX || !tls_psk_name_keep(msg, (const uint8_t *)identity, n))
        return 0;
    return tls_psk_find(msg->ctx->psk, (const uint8_t *)identity, n, key, &known);
}

/* A session to "resume" that stands for the key (SSL_CTX_set_psk_find_session_callback(3)). Keys of a file go with
 * SHA-256 (RFC 8446 section 4.2.11), any suite with that hash may be chosen. */
static SSL_SESSION *session_of(SSL *ssl, const uint8_t *key, uint32_t n) {
    static const uint8_t aes_128_gcm_sha256[] = {0x13, 0x01};
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    SSL_SESSION *session = SSL_SESSION_new();

    if (session && cipher && SSL_SESSION_set1_master_key(session, key, n) == 1 &&
        SSL_SESSION_set_cipher(session, cipher) == 1 && SSL_SESSION_set_protocol_version(session, TLS_V13) == 1)
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

/* TLS 1.3. Identities are those of keys and, longer and binary, tickets. */
static int find13(SSL *ssl, const unsigned char *identity, size_t n, SSL_SESSION **session) {
    struct tls_msg *msg = SSL_get_app_data(ssl);
    uint8_t key[TLS_PSK_KEY_MAX];
    bool known;

    *session = NULL;
    if (!tls_psk_name_keep(msg, identity, n))
        return 1;
    uint32_t bytes = tls_psk_find(msg->ctx->psk, identity, n, key, &known);
    if (bytes > 0 && (known || msg->ctx->certs->n_certs == 0))
        *session = session_of(ssl, key, bytes);
    else
        msg->psk[0] = '\0';
    msg->psk_new = msg->psk[0] != '\0';
    explicit_bzero(key, sizeof(key));
    return 1;
}

void tls_psk_offer(SSL_CTX *ssl) {
    SSL_CTX_set_psk_server_callback(ssl, find12);
    SSL_CTX_set_psk_find_session_callback(ssl, find13);
}

const char *tls_psk_in_use(const SSL *ssl, const struct tls_msg *msg) {
    /* Found is not taken in 1.3, where a suite with another hash makes a full handshake of it. A ticket is not either
     * where libssl finds, after it was opened, that it is for another version, name or listener, or too old. */
    bool proven = SSL_session_reused(ssl) || (SSL_version(ssl) != TLS_V13 && msg->psk_new);

    return proven ? msg->psk : "";
}
