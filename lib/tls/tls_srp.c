/* SPDX-License-Identifier: BSD-3-Clause */
#define OPENSSL_SUPPRESS_DEPRECATED /* all of SRP is, since 3.0, and nothing took its place */
#include "tls_srp.h"
#include "tls_psk.h"
#include "tls_vault.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/srp.h>
#include <stdio.h>
#include <stdlib.h>

#define SEED_BYTES 32u

struct tls_srp {
    atomic_uint references;
    char *file;
    SRP_VBASE *users;
};

/* libcrypto takes a missing file, and one without users, as it takes an empty one. */
static bool is_readable(const char *file) {
    FILE *f = fopen(file, "re");

    if (f == NULL)
        return false;
    errno = 0;
    bool ok = getc(f) != EOF || errno == 0;
    int why = errno;
    fclose(f);
    errno = why;
    return ok;
}

/* Salts of users that do not exist hang on this, in hex as libcrypto takes it. */
static bool seed_make(char seed[2 * SEED_BYTES + 1]) {
    uint8_t bytes[SEED_BYTES];

    if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(seed + 2 * i, 3, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof(bytes));
    return true;
}

static bool users_read(SRP_VBASE *users, const char *file, char *error, size_t error_bytes) {
    char name[4096];

    if (!is_readable(file)) {
        snprintf(error, error_bytes, "srp_file %s: %s", file, strerror(errno));
        return false;
    }
    if ((size_t)snprintf(name, sizeof(name), "%s", file) >= sizeof(name) ||
        SRP_VBASE_init(users, name) != SRP_NO_ERROR) { /* its parameter is not const */
        snprintf(error, error_bytes, "srp_file %s: not a file of SRP verifiers; make it with openssl srp", file);
        return false;
    }
    if (sk_SRP_user_pwd_num(users->users_pwd) == 0) {
        snprintf(error, error_bytes, "srp_file %s: no user in it", file);
        return false;
    }
    const SRP_user_pwd *first = sk_SRP_user_pwd_value(users->users_pwd, 0);
    users->default_g = first->g; /* of users that do not exist */
    users->default_N = first->N;
    return true;
}

struct tls_srp *tls_srp_new(const char *file, char *error, size_t error_bytes) {
    struct tls_srp *srp = calloc(1, sizeof(*srp));
    char seed[2 * SEED_BYTES + 1];

    snprintf(error, error_bytes, "out of memory");
    if (srp == NULL)
        return NULL;
    atomic_init(&srp->references, 1);
    srp->file = strdup(file);
    tls_vault_enter();
    if (seed_make(seed))
        srp->users = SRP_VBASE_new(seed);
    explicit_bzero(seed, sizeof(seed));
    bool ok = srp->file && srp->users && users_read(srp->users, file, error, error_bytes);
    tls_vault_leave();
    if (ok)
        return srp;
    tls_srp_unref(srp);
    return NULL;
}

struct tls_srp *tls_srp_ref(struct tls_srp *srp) {
    atomic_fetch_add_explicit(&srp->references, 1, memory_order_relaxed);
    return srp;
}

void tls_srp_unref(struct tls_srp *srp) {
    if (srp == NULL || atomic_fetch_sub_explicit(&srp->references, 1, memory_order_acq_rel) != 1)
        return;
    SRP_VBASE_free(srp->users);
    free(srp->file);
    free(srp);
}

bool tls_srp_is_of(const struct tls_srp *srp, const char *file) {
    return strcmp(srp->file, file) == 0;
}

/* --- in a handshake --- */

static int find(SSL *ssl, int *alert, void *arg) {
    struct tls_msg *msg = SSL_get_app_data(ssl);
    char *name = SSL_get_srp_username(ssl);

    (void)arg;
    *alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
    if (name == NULL || !tls_psk_name_keep(msg, (const uint8_t *)name, strlen(name)))
        return SSL3_AL_FATAL;
    tls_vault_enter(); /* both copy it */
    SRP_user_pwd *user = SRP_VBASE_get1_by_user(msg->ctx->srp->users, name);
    bool ok = user && SSL_set_srp_server_param(ssl, user->N, user->g, user->s, user->v, user->info) == 1;
    SRP_user_pwd_free(user);
    tls_vault_leave();
    return ok ? SSL_ERROR_NONE : SSL3_AL_FATAL;
}

void tls_srp_offer(SSL_CTX *ssl) {
    SSL_CTX_set_srp_username_callback(ssl, find);
}

bool tls_srp_mark(const struct tls_srp *srp, const char *user, uint8_t mark[TLS_PSK_MARK_BYTES]) {
    char name[TLS_PSK_NAME_MAX + 1];
    uint8_t hash[EVP_MAX_MD_SIZE];

    snprintf(name, sizeof(name), "%s", user);
    const SRP_user_pwd *found = SRP_VBASE_get_by_user(srp->users, name); /* none is made up here */
    char *verifier = found ? BN_bn2hex(found->v) : NULL;
    bool ok = verifier && EVP_Digest(verifier, strlen(verifier), hash, NULL, EVP_sha256(), NULL) == 1;
    if (verifier)
        OPENSSL_clear_free(verifier, strlen(verifier));
    if (ok)
        memcpy(mark, hash, TLS_PSK_MARK_BYTES);
    return ok;
}

bool tls_srp_in_use(const SSL *ssl) {
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);

    if (cipher == NULL)
        cipher = SSL_get_current_cipher(ssl);
    return cipher && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_srp;
}
