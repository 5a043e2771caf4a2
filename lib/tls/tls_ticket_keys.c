/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_ticket_keys.h"
#include "tls_vault.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define SETS        16u /* the current one, and those that somebody may still look at */
#define KEPT_RANDOM 3u  /* keys of a random set: the one that seals and two before it */

struct tls_ticket_keys {
    atomic_uint references;
    char *file; /* NULL: at random */
    uint32_t rotate_s;
    uint64_t since_us; /* the key that seals; 0: not known yet */
    struct pool sets;
    _Atomic(const struct tls_ticket_set *) current;
    /* Handshakes that look at a set just now. Whoever comes after control has published a set looks at that one, so
     * once control has seen nobody, the sets before it are its own again. */
    atomic_uint looking;
    uint32_t replaced[SETS]; /* in `sets` */
    uint32_t n_replaced;
};

/* --- sets --- */

static void replaced_free(struct tls_ticket_keys *keys) {
    if (keys->n_replaced == 0 || atomic_load(&keys->looking) != 0)
        return;
    while (keys->n_replaced > 0)
        pool_free(&keys->sets, keys->replaced[--keys->n_replaced]);
}

/* A set to be filled, or NULL: too many are still looked at. */
static struct tls_ticket_set *set_new(struct tls_ticket_keys *keys) {
    replaced_free(keys);
    uint32_t index = pool_alloc(&keys->sets);
    return index == POOL_NONE ? NULL : pool_get(&keys->sets, index);
}

static void set_publish(struct tls_ticket_keys *keys, const struct tls_ticket_set *set) {
    const struct tls_ticket_set *old = atomic_exchange(&keys->current, set);

    if (old)
        keys->replaced[keys->n_replaced++] = pool_index(&keys->sets, old);
    replaced_free(keys);
}

const struct tls_ticket_set *tls_ticket_set_look(struct tls_ticket_keys *keys) {
    atomic_fetch_add(&keys->looking, 1);
    return atomic_load(&keys->current);
}

void tls_ticket_set_look_away(struct tls_ticket_keys *keys) {
    atomic_fetch_sub(&keys->looking, 1);
}

/* The keys there were, without the oldest, and a new one that seals. */
static bool rotate(struct tls_ticket_keys *keys) {
    struct tls_ticket_set *set = set_new(keys);
    const struct tls_ticket_set *old = atomic_load(&keys->current);

    if (set == NULL)
        return false;
    uint32_t kept = old ? weir_min_u32(old->n, KEPT_RANDOM - 1) : 0;
    for (uint32_t i = 0; i < kept; i++)
        set->keys[i] = old->keys[old->n - kept + i];
    struct tls_ticket_key *key = &set->keys[kept];
    set->n = kept + 1;
    set->seals = kept;
    key->bytes = 32;
    if (RAND_bytes(key->name, sizeof(key->name)) != 1 || RAND_priv_bytes(key->hmac, sizeof(key->hmac)) != 1 ||
        RAND_priv_bytes(key->aes, sizeof(key->aes)) != 1) {
        pool_free(&keys->sets, pool_index(&keys->sets, set));
        return false;
    }
    set_publish(keys, set);
    return true;
}

bool tls_ticket_keys_read(struct tls_ticket_keys *keys, char *error, size_t error_bytes) {
    struct tls_ticket_set *set = set_new(keys);

    snprintf(error, error_bytes, "out of memory");
    if (set == NULL)
        return false;
    if (!tls_ticket_file_read(keys->file, set, error, error_bytes)) {
        pool_free(&keys->sets, pool_index(&keys->sets, set));
        return false;
    }
    set_publish(keys, set);
    return true;
}

void tls_ticket_keys_tick(struct tls_ticket_keys *keys, uint64_t now_us) {
    replaced_free(keys);
    if (keys->file)
        return;
    if (keys->since_us == 0)
        keys->since_us = now_us;
    if (now_us - keys->since_us >= (uint64_t)keys->rotate_s * 1000000 && rotate(keys))
        keys->since_us = now_us;
}

/* --- up and down --- */

struct tls_ticket_keys *tls_ticket_keys_new(const char *file, uint32_t rotate_s, char *error, size_t error_bytes) {
    struct tls_ticket_keys *keys = calloc(1, sizeof(*keys));

    snprintf(error, error_bytes, "out of memory");
    if (keys == NULL)
        return NULL;
    atomic_init(&keys->references, 1);
    keys->rotate_s = rotate_s;
    keys->file = file ? strdup(file) : NULL;
    if ((file && keys->file == NULL) ||
        pool_init(&keys->sets, "tls_ticket_keys", sizeof(struct tls_ticket_set), SETS, POOL_SECRET) < 0 ||
        !(file ? tls_ticket_keys_read(keys, error, error_bytes) : rotate(keys))) {
        tls_ticket_keys_unref(keys);
        return NULL;
    }
    return keys;
}

struct tls_ticket_keys *tls_ticket_keys_ref(struct tls_ticket_keys *keys) {
    atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
    return keys;
}

void tls_ticket_keys_unref(struct tls_ticket_keys *keys) {
    if (keys == NULL || atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) != 1)
        return;
    pool_fini(&keys->sets);
    free(keys->file);
    free(keys);
}

bool tls_ticket_keys_are(const struct tls_ticket_keys *keys, const char *file, uint32_t rotate_s) {
    return keys->rotate_s == rotate_s && (file == NULL) == (keys->file == NULL) &&
           (file == NULL || strcmp(file, keys->file) == 0);
}

/* --- in a handshake --- */

static bool contexts_set(const struct tls_ticket_key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                         int enc) {
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac, key->bytes),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0), OSSL_PARAM_construct_end()};

    return EVP_CipherInit_ex(cipher, key->bytes == 32 ? EVP_aes_256_cbc() : EVP_aes_128_cbc(), NULL, key->aes, iv,
                             enc) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(const struct tls_ticket_set *set, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac) {
    const struct tls_ticket_key *key = &set->keys[set->seals];

    if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
        return -1;
    memcpy(name, key->name, sizeof(key->name));
    return contexts_set(key, iv, cipher, mac, 1) ? 1 : -1;
}

/* 0: not of ours, a full handshake follows; 2: open, and to be replaced by one under the key that seals now. */
static int open_up(const struct tls_ticket_set *set, const uint8_t *name, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac) {
    for (uint32_t i = 0; i < set->n; i++) {
        if (memcmp(set->keys[i].name, name, sizeof(set->keys[i].name)) != 0)
            continue;
        if (!contexts_set(&set->keys[i], iv, cipher, mac, 0))
            return -1;
        return i == set->seals ? 1 : 2;
    }
    return 0;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). In between the callbacks of tls_verify.c and this one libssl has what a
 * ticket holds in plain, and frees it as it is: so it lies in the vault. */
static int ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc) {
    const struct tls_msg *msg = SSL_get_app_data(ssl);
    struct tls_ticket_keys *keys = msg->ctx->ticket_keys;
    const struct tls_ticket_set *set = tls_ticket_set_look(keys);

    tls_vault_leave();
    int rc = enc ? seal(set, name, iv, cipher, mac) : open_up(set, name, iv, cipher, mac);
    tls_ticket_set_look_away(keys);
    if (!enc && rc > 0)
        tls_vault_enter();
    return rc;
}

void tls_ticket_keys_offer(SSL_CTX *ssl, uint32_t tickets, uint32_t rotate_s) {
    /* A key opens until two more have come, so this is how long a ticket is good for at least. */
    uint64_t life_s = (uint64_t)rotate_s * (KEPT_RANDOM - 1);

    SSL_CTX_set_timeout(ssl, life_s < TLS_TICKET_LIFE_MAX_S ? (long)life_s : TLS_TICKET_LIFE_MAX_S);
    SSL_CTX_set_num_tickets(ssl, tickets);
    if (tickets == 0)
        SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET); /* 1.2, and none of 1.3 is taken */
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket);
}
