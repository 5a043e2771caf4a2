/* SPDX-License-Identifier: BSD-3-Clause */
/* One pair: what is told of it, and what is refused. */
#include "certs_fixture.h"

#include <time.h>

TestSuite(tls_cert, .init = fx_init, .fini = fx_fini);

Test(tls_cert, described) {
    fx_add(KEY_EC, "DNS:A.example,DNS:*.example");
    fx_add(KEY_RSA, "DNS:c.example");
    cr_assert(fx_load(), "%s", fx.error);
    const struct tls_cert_info *info = tls_ctx_cert(fx.h.ctx, 0);
    int64_t now_s = (int64_t)time(NULL);
    cr_expect_str_eq(info->certificate_file, fx.certificate[0]);
    cr_expect_str_eq(info->key_type, "EC P-256");
    cr_expect_str_eq(tls_ctx_cert(fx.h.ctx, 1)->key_type, "RSA 2048");
    cr_expect_str_eq(info->issuer, "CN=weir.test");
    cr_expect_str_eq(info->serial, "01");
    cr_assert_eq(info->n_names, 2);
    cr_expect_str_eq(info->names[0], "a.example");
    cr_expect(info->not_before_s <= now_s - 59 && info->not_before_s >= now_s - 120);
    cr_expect(info->not_after_s > now_s + 3500 && info->not_after_s <= now_s + 3600);
    cr_expect(info->since_s <= now_s && info->since_s >= now_s - 60);
    cr_expect_eq(info->ocsp_next_update_s, 0);
    X509 *x509 = fx.h.ctx->certs->certs[0]->x509;
    uint8_t digest[32];
    X509_digest(x509, EVP_sha256(), digest, NULL);
    cr_expect_eq(memcmp(digest, info->fingerprint, 32), 0);
    cr_expect_null(tls_ctx_cert(fx.h.ctx, 2));
}

Test(tls_cert, names_of_the_configuration_win) {
    static const char *const names[] = {"Other.example", "*.more.example"};
    uint32_t i = fx_add(KEY_EC, "DNS:a.example");
    fx.certs[i].names = names;
    fx.certs[i].n_names = 2;
    cr_assert(fx_load(), "%s", fx.error);
    const struct tls_cert_info *info = tls_ctx_cert(fx.h.ctx, 0);
    cr_assert_eq(info->n_names, 2);
    cr_expect_str_eq(info->names[0], "other.example");
    cr_expect_str_eq(info->names[1], "*.more.example");
}

Test(tls_cert, bad_name_is_refused) {
    static const char *const names[] = {"good.example", "f*.example"};
    uint32_t i = fx_add(KEY_EC, NULL);
    fx.certs[i].names = names;
    fx.certs[i].n_names = 2;
    cr_assert(!fx_load());
    cr_expect(strncmp(fx.error, "names \"f*.example\"", 18) == 0, "%s", fx.error);
}

Test(tls_cert, security_level_judges_the_key) {
    int level = 3; /* 128 bits: RSA of 3072 */
    fx_add(KEY_RSA, NULL);
    fx.config.security_level = &level;
    cr_assert(!fx_load());
    cr_expect(strstr(fx.error, "ee key too small for OpenSSL's security level 3; give a stronger one"), "%s", fx.error);
    level = 2;
    cr_assert(fx_load(), "%s", fx.error);
}

static void copy(const char *from, const char *to) {
    char buffer[8192];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    cr_assert(in && out);
    fwrite(buffer, 1, fread(buffer, 1, sizeof(buffer), in), out);
    fclose(in);
    fclose(out);
}

/* The files of place 0 become those of place 1, which is left out. */
static void renew_first(bool key_too) {
    copy(fx.certificate[1], fx.certificate[0]);
    if (key_too)
        copy(fx.key[1], fx.key[0]);
}

Test(tls_cert, refused_at_a_reload_the_old_one_serves_on) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
    fx.config.n_certificates = 1;
    cr_assert(fx_load(), "%s", fx.error);
    uint8_t before[32];
    memcpy(before, tls_ctx_cert(fx.h.ctx, 0)->fingerprint, 32);

    renew_first(false);
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.refusals, 1);
    cr_expect(strstr(fx.told, "does not belong to"), "%s", fx.told);
    cr_expect_eq(memcmp(before, tls_ctx_cert(fx.h.ctx, 0)->fingerprint, 32), 0);
    cr_expect_eq(fx_ask("a.example"), 0);

    renew_first(true);
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.refusals, 0);
    cr_expect_neq(memcmp(before, tls_ctx_cert(fx.h.ctx, 0)->fingerprint, 32), 0);
    fx.config.n_certificates = 2;
}

Test(tls_cert, since_outlives_reloads) {
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    fx.h.ctx->certs->certs[0]->info.since_s = 1000;
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(tls_ctx_cert(fx.h.ctx, 0)->since_s, 1000);
}
