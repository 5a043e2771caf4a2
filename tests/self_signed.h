/* SPDX-License-Identifier: BSD-3-Clause */
/* A self-signed certificate, made on the spot. */
#ifndef TESTS_SELF_SIGNED_H
#define TESTS_SELF_SIGNED_H

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Of the key, for weir.test; it begins and expires so many seconds from now. The caller's, as the key is. */
static inline X509 *self_signed(EVP_PKEY *key, long begins_s, long expires_s) {
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), begins_s);
    X509_gmtime_adj(X509_getm_notAfter(x), expires_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"weir.test", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    if (X509_sign(x, key, EVP_sha256()) == 0)
        abort();
    return x;
}

/* One of an EC key from now on, and the key, in a new file. `path` is a template of mkstemp's. */
static inline void self_signed_file(char *path, long expires_s) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = self_signed(key, 0, expires_s);
    FILE *f = fdopen(mkstemp(path), "w");

    PEM_write_X509(f, x);
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

#endif
