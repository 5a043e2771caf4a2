/* SPDX-License-Identifier: BSD-3-Clause */
/* A certificate with its chain, and its private key, from their files into an SSL_CTX. Either file may hold both. The
 * text of a key, and what libcrypto makes of it, lie in memory that is locked, left out of core dumps and zeroed. */
#include "tls_msg.h"
#include "tls_vault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (256u << 10) /* 256 KiB: a pair with a long chain has 10 KB, all CAs of a browser 220 */

/* --- files --- */

struct text { /* of a file */
    uint8_t *at;
    size_t bytes;
    BIO *bio;          /* reads it */
    const char *fault; /* of a file that cannot be what it should be, where libcrypto would not name it */
};

static void text_close(struct text *text) {
    BIO_free(text->bio);
    tls_secret_free(text->at, FILE_MAX);
    *text = (struct text){0};
}

/* All of it, in pages of our own: stdio, and so BIO_new_file, gives its buffers back as they are. Returns how many
 * bytes, or -1 and errno says why not. */
static ssize_t file_read(const char *file, uint8_t *to) {
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = fd;

    while (got >= 0 && n <= FILE_MAX) {
        if (n == FILE_MAX) {
            errno = EFBIG;
            got = -1;
        } else if ((got = read(fd, to + n, FILE_MAX - n)) == 0) {
            break;
        }
        n += got > 0 ? (size_t)got : 0;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return got < 0 ? -1 : (ssize_t)n;
}

/* What keeps a file from holding what lies in PEM blocks (RFC 7468) with such a label; NULL: nothing. */
static const char *text_fault(const struct text *text, const char *label, const char *no_label) {
    if (text->bytes == 0)
        return "the file is empty";
    if (memmem(text->at, text->bytes, "-----BEGIN ", 11) == NULL)
        return "no PEM block found";
    return memmem(text->at, text->bytes, label, strlen(label)) ? NULL : no_label;
}

static const char *text_reason(const struct text *text) {
    return text->fault ? text->fault : tls_ctx_reason();
}

/* `label`: how the line ends with which a block of it begins, `no_label`: that there is none. false: text_reason says
 * why, from libcrypto's list of errors where the file cannot be read, as if it had been its own to read. */
static bool text_open(struct text *text, const char *file, const char *label, const char *no_label) {
    bool locked; /* or not: as with the keys of connections, of which the owner is told */

    *text = (struct text){.at = tls_secret_alloc(FILE_MAX, &locked)};
    ssize_t n = text->at ? file_read(file, text->at) : -1;
    if (n < 0 && errno == EFBIG) {
        text->fault = "larger than 256 KiB";
        return false;
    }
    if (n < 0) {
        ERR_raise_data(ERR_LIB_SYS, errno, "%s", file);
        return false;
    }
    text->bytes = (size_t)n;
    text->fault = text_fault(text, label, no_label);
    text->bio = text->fault ? NULL : BIO_new_mem_buf(text->at, (int)n);
    return text->bio != NULL;
}

/* --- the certificate --- */

/* Never ask at a terminal for a passphrase. */
static int no_passphrase(char *buffer, int bytes, int writing, void *user) {
    (void)buffer;
    (void)bytes;
    (void)writing;
    *(bool *)user = true;
    return -1;
}

static bool chain_end(void) {
    unsigned long last = ERR_peek_last_error();

    if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error();
    return true;
}

/* As SSL_CTX_use_certificate_chain_file does it: the first is the own one. */
static bool chain_use(SSL_CTX *ssl, BIO *in) {
    bool encrypted;
    X509 *x509 = PEM_read_bio_X509_AUX(in, NULL, no_passphrase, &encrypted);
    bool ok = x509 && SSL_CTX_use_certificate(ssl, x509) == 1;

    X509_free(x509);
    while (ok && (x509 = PEM_read_bio_X509(in, NULL, no_passphrase, &encrypted)) != NULL) {
        ok = SSL_CTX_add0_chain_cert(ssl, x509) == 1;
        if (!ok)
            X509_free(x509);
    }
    return ok && chain_end();
}

/* Is the file what it should be, and what it holds too weak? */
static bool is_weak(void) {
    int reason = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL ? ERR_GET_REASON(ERR_peek_error()) : 0;

    return reason == SSL_R_EE_KEY_TOO_SMALL || reason == SSL_R_CA_KEY_TOO_SMALL || reason == SSL_R_CA_MD_TOO_WEAK;
}

static void certificate_complain(const SSL_CTX *ssl, const struct text *text, const char *file, char *error,
                                 size_t error_bytes) {
    if (text->fault == NULL && is_weak())
        snprintf(error, error_bytes, "certificate %s: %s for OpenSSL's security level %d; give a stronger one", file,
                 text_reason(text), SSL_CTX_get_security_level(ssl));
    else
        snprintf(error, error_bytes, "certificate %s: %s; it must be a readable PEM file, own certificate first", file,
                 text_reason(text));
}

static bool certificate_load(SSL_CTX *ssl, const char *file, char *error, size_t error_bytes) {
    struct text text;
    bool ok = text_open(&text, file, "CERTIFICATE-----", "no PEM block of a certificate found");

    if (ok && memmem(text.at, text.bytes, "PRIVATE KEY", 11)) /* which libcrypto decodes, to pass over it */
        tls_vault_enter();
    ok = ok && chain_use(ssl, text.bio);
    tls_vault_leave();
    if (!ok)
        certificate_complain(ssl, &text, file, error, error_bytes);
    text_close(&text);
    return ok;
}

/* --- the key --- */

/* One signature, of nothing: with it libcrypto has made of the key all that it will ever keep (tls_vault.h). */
static bool signs(EVP_PKEY *key) {
    uint8_t signature[1024];
    size_t n = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const uint8_t *)"", 0) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool key_use(SSL_CTX *ssl, BIO *in, bool *encrypted) {
    tls_vault_enter();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, encrypted);
    bool ok = key && SSL_CTX_use_PrivateKey(ssl, key) == 1 && SSL_CTX_check_private_key(ssl) == 1 && signs(key);
    EVP_PKEY_free(key);
    tls_vault_leave();
    return ok;
}

static void key_complain(const struct text *text, bool encrypted, const char *file, const char *certificate_file,
                         char *error, size_t error_bytes) {
    int reason = ERR_GET_REASON(ERR_peek_error());

    if (encrypted)
        snprintf(error, error_bytes, "key %s: encrypted; store it without a passphrase, readable by weir alone", file);
    else if (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH)
        snprintf(error, error_bytes, "key %s does not belong to certificate %s; give a matching pair", file,
                 certificate_file);
    else
        snprintf(error, error_bytes, "key %s: %s; it must be a readable PEM file with one private key", file,
                 text_reason(text));
}

static bool key_load(SSL_CTX *ssl, const char *file, const char *certificate_file, char *error, size_t error_bytes) {
    struct text text;
    bool encrypted = false;
    bool ok = text_open(&text, file, "PRIVATE KEY-----", "no PEM block of a private key found") &&
              key_use(ssl, text.bio, &encrypted);

    if (!ok)
        key_complain(&text, encrypted, file, certificate_file, error, error_bytes);
    text_close(&text);
    return ok;
}

bool tls_pair_load(SSL_CTX *ssl, const char *certificate_file, const char *key_file, char *error, size_t error_bytes) {
    if (!certificate_load(ssl, certificate_file, error, error_bytes))
        return false;
    ERR_clear_error();
    return key_load(ssl, key_file, certificate_file, error, error_bytes);
}
