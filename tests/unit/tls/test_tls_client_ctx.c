/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wrong with a client's context is said with the name of the file. */
#include "ctx_fixture.h"

TestSuite(tls_client_ctx, .init = files, .fini = files_gone);

static void refused(const struct tls_client_ctx_config *config, const char *about, const char *what) {
    error[0] = 0;
    cr_assert_null(tls_client_ctx_new(config, error, sizeof(error)));
    cr_assert_not_null(strstr(error, about), "%s", error);
    cr_assert_not_null(strstr(error, what), "%s", error);
}

Test(tls_client_ctx, good_ones) {
    struct tls_client_ctx_config config = {.name = "brokers", .ca_file = certificate};
    struct tls_ctx *ctx = tls_client_ctx_new(&config, error, sizeof(error));

    cr_assert_not_null(ctx, "%s", error);
    cr_assert_eq(tls_ctx_expires_in_s(ctx), INT64_MAX, "no certificate");
    tls_ctx_ref(ctx);
    tls_ctx_unref(ctx);
    tls_ctx_unref(ctx);
    config.certificate_file = certificate;
    config.key_file = key;
    ctx = tls_client_ctx_new(&config, error, sizeof(error));
    cr_assert_not_null(ctx, "%s", error);
    cr_assert_gt(tls_ctx_expires_in_s(ctx), 3500);
    tls_ctx_unref(ctx);
}

/* People see what servers are shown as they see what clients are served. */
Test(tls_client_ctx, its_certificate_is_told) {
    struct tls_client_ctx_config config = {.ca_file = certificate, .certificate_file = certificate, .key_file = key};
    struct tls_ctx *ctx = tls_client_ctx_new(&config, error, sizeof(error));

    cr_assert_not_null(ctx, "%s", error);
    const struct tls_cert_info *info = tls_ctx_cert(ctx, 0);
    cr_assert_not_null(info);
    cr_expect_str_eq(info->certificate_file, certificate);
    cr_expect_str_eq(info->key_type, "EC P-256");
    cr_expect_null(tls_ctx_cert(ctx, 1));
    ((struct tls_cert_info *)(uintptr_t)info)->since_s = 1000;
    config.old = ctx;
    struct tls_ctx *again = tls_client_ctx_new(&config, error, sizeof(error));
    cr_assert_not_null(again, "%s", error);
    cr_expect_eq(tls_ctx_cert(again, 0)->since_s, 1000, "the same is in use since then");
    tls_ctx_unref(again);
    config.certificate_file = other_certificate;
    config.key_file = other_key;
    again = tls_client_ctx_new(&config, error, sizeof(error));
    cr_assert_not_null(again, "%s", error);
    cr_expect_neq(tls_ctx_cert(again, 0)->since_s, 1000);
    tls_ctx_unref(again);
    config = (struct tls_client_ctx_config){.ca_file = certificate, .old = ctx};
    again = tls_client_ctx_new(&config, error, sizeof(error));
    cr_assert_not_null(again, "%s", error);
    cr_expect_null(tls_ctx_cert(again, 0), "it has none");
    tls_ctx_unref(again);
    tls_ctx_unref(ctx);
}

Test(tls_client_ctx, bad_ones) {
    refused(&(struct tls_client_ctx_config){.ca_file = "/nowhere/ca.pem"}, "/nowhere/ca.pem", "No such file");
    refused(&(struct tls_client_ctx_config){.ca_file = key}, key, "CA certificates");
    refused(&(struct tls_client_ctx_config){.certificate_file = certificate}, certificate, "neither");
    refused(&(struct tls_client_ctx_config){.key_file = key}, key, "neither");
    refused(&(struct tls_client_ctx_config){.certificate_file = certificate, .key_file = other_key}, other_key,
            "does not belong to");
    refused(&(struct tls_client_ctx_config){.ciphers = "NONSENSE"}, "NONSENSE", "ciphers");
    refused(&(struct tls_client_ctx_config){.ciphersuites = "TLS_NONSENSE"}, "TLS_NONSENSE", "ciphersuites");
    refused(&(struct tls_client_ctx_config){.min_version = 0x0302}, "0x0302", "min_version");
}
