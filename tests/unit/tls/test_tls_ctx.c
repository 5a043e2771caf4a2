/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wrong with a certificate, key or list is said with the name of the file. */
#include "ctx_fixture.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>

TestSuite(tls_ctx, .init = files, .fini = files_gone);

static void refused(const struct tls_ctx_config *config, const char *about, const char *what) {
    error[0] = 0;
    cr_assert_null(tls_ctx_new(config, error, sizeof(error)));
    cr_assert_not_null(strstr(error, about), "%s", error);
    cr_assert_not_null(strstr(error, what), "%s", error);
}

Test(tls_ctx, good_pair) {
    struct tls_ctx_config config = {.name = "a listener with a name of more than thirty-two characters",
                                    .certificate_file = certificate,
                                    .key_file = key};
    struct tls_ctx *ctx = tls_ctx_new(&config, error, sizeof(error));

    cr_assert_not_null(ctx, "%s", error);
    cr_assert_gt(tls_ctx_expires_in_s(ctx), 3500, "the harness gives an hour");
    cr_assert_leq(tls_ctx_expires_in_s(ctx), 3600);
    tls_ctx_ref(ctx);
    tls_ctx_unref(ctx);
    tls_ctx_unref(ctx);
}

Test(tls_ctx, missing_and_malformed_files) {
    refused(&(struct tls_ctx_config){.name = "none"}, "certificate", "none is given");
    refused(&(struct tls_ctx_config){.certificate_file = "/nowhere/a.pem", .key_file = key}, "/nowhere/a.pem",
            "No such file");
    refused(&(struct tls_ctx_config){.certificate_file = certificate, .key_file = "/nowhere/b.pem"}, "/nowhere/b.pem",
            "No such file");
    refused(&(struct tls_ctx_config){.certificate_file = key, .key_file = key}, key, "certificate");
    refused(&(struct tls_ctx_config){.certificate_file = certificate, .key_file = certificate}, certificate, "key");
}

Test(tls_ctx, pair_that_does_not_match) {
    refused(&(struct tls_ctx_config){.certificate_file = certificate, .key_file = other_key}, other_key,
            "does not belong to");
}

Test(tls_ctx, encrypted_key_does_not_ask_at_the_terminal) {
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    FILE *f = fopen(other_key, "w");

    PEM_write_PrivateKey(f, pair, EVP_aes_128_cbc(), NULL, 0, NULL, "secret");
    fclose(f);
    EVP_PKEY_free(pair);
    refused(&(struct tls_ctx_config){.certificate_file = certificate, .key_file = other_key}, other_key, "encrypted");
}

Test(tls_ctx, lists_and_versions) {
    struct tls_ctx_config config = {.certificate_file = certificate, .key_file = key, .ciphers = "NONSENSE"};

    refused(&config, "NONSENSE", "ciphers");
    config.ciphers = NULL;
    config.ciphersuites = "TLS_NONSENSE";
    refused(&config, "TLS_NONSENSE", "ciphersuites");
    config.ciphersuites = NULL;
    config.min_version = 0x0301;
    refused(&config, "0x0301", "min_version");
    config.min_version = 0;
    config.groups = "P-256:P-999";
    refused(&config, "P-256:P-999", "groups");
    config.groups = "P-256:P-256";
    refused(&config, "P-256:P-256", "groups");
}

/* Whatever the security level, which would keep libssl itself from using them. */
Test(tls_ctx, suites_that_protect_nothing) {
    static const struct {
        const char *list, *suite, *fault;
    } bad[] = {{"NULL-SHA", "NULL-SHA", "does not encrypt"},
               {"ECDHE+AESGCM:eNULL", "NULL", "does not encrypt"},
               {"ALL:COMPLEMENTOFALL", "A", "authenticates nobody"},
               {"ADH-AES128-GCM-SHA256:ECDHE+AESGCM", "ADH-AES128-GCM-SHA256", "authenticates nobody"},
               {"HIGH@SECLEVEL=0", "ADH", "authenticates nobody"},
               {"PSK-NULL-SHA256", "PSK-NULL-SHA256", "does not encrypt"}};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct tls_ctx_config config = {.certificate_file = certificate, .key_file = key, .ciphers = bad[i].list};
        refused(&config, "ciphers \"", bad[i].fault);
        cr_assert_not_null(strstr(error, bad[i].suite), "%s", error);
    }
    const char *const good[] = {"HIGH:!aNULL", "ALL:!aNULL:!eNULL", "PSK+AESGCM", "AES128-SHA"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good); i++) {
        struct tls_ctx_config config = {.certificate_file = certificate, .key_file = key, .ciphers = good[i]};
        struct tls_ctx *ctx = tls_ctx_new(&config, error, sizeof(error));
        cr_assert_not_null(ctx, "%s: %s", good[i], error);
        tls_ctx_unref(ctx);
    }
}

/* As people and RFCs spell them, and as OpenSSL does. */
Test(tls_ctx, spellings_of_groups) {
    static const char *const lists[] = {"X25519",    "P-256:P-384", "prime256v1:secp384r1",
                                        "secp256r1", "P-521",       "x25519"};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        struct tls_ctx_config config = {.certificate_file = certificate, .key_file = key, .groups = lists[i]};
        struct tls_ctx *ctx = tls_ctx_new(&config, error, sizeof(error));
        cr_assert_not_null(ctx, "%s", error);
        tls_ctx_unref(ctx);
    }
}
