/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates' private keys: where they lie from the first byte of their file on, and that nothing is left of them.
 * The keys are made in a child process, so that this one knows them from their files alone; it is told, inverted, what
 * to search its own memory for. */
#include "certs_fixture.h"
#include "memory_search.h"
#include "tls/tls_vault.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Before libgit2, which Criterion brings along, uses libcrypto. */
static bool ours;
__attribute__((constructor)) static void guard(void) {
    ours = tls_libssl_guard();
}

/* --- in the child --- */

/* A secret number, as the file has it and as libcrypto's words do. */
static uint32_t number_tell(struct needle *n, EVP_PKEY *key, const char *what, bool as_words) {
    uint8_t bytes[512];
    BIGNUM *bn = NULL;

    if (EVP_PKEY_get_bn_param(key, what, &bn) != 1)
        return 0;
    int len = BN_num_bytes(bn);
    (as_words ? BN_bn2lebinpad : BN_bn2binpad)(bn, bytes, len);
    needle_set(n, bytes + len / 2 - (int)NEEDLE_BYTES / 2, as_words ? "a number of the key" : "a number of the file");
    BN_free(bn);
    return 1;
}

/* The line in the middle of the file: what comes before is public, or the same in all keys of that kind. */
static void line_tell(struct needle *n, const char *file) {
    char text[256] = "";
    uint32_t lines = 0;
    FILE *f = fopen(file, "r");

    while (fgets(text, sizeof(text), f))
        lines++;
    rewind(f);
    for (uint32_t i = 0; i <= lines / 2; i++)
        (void)!fgets(text, sizeof(text), f);
    fclose(f);
    needle_set(n, (const uint8_t *)text, "a line of the file");
}

static void needles_tell(int to, EVP_PKEY *key, const char *file) {
    static const char *const names[] = {OSSL_PKEY_PARAM_PRIV_KEY,        OSSL_PKEY_PARAM_RSA_D,
                                        OSSL_PKEY_PARAM_RSA_FACTOR1,     OSSL_PKEY_PARAM_RSA_FACTOR2,
                                        OSSL_PKEY_PARAM_RSA_EXPONENT1,   OSSL_PKEY_PARAM_RSA_EXPONENT2,
                                        OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    struct needle needles[NEEDLES] = {0};
    uint32_t n = 0;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++)
        for (int words = 0; words < 2; words++)
            n += number_tell(&needles[n], key, names[i], words);
    line_tell(&needles[n++], file);
    (void)!write(to, needles, n * sizeof(needles[0]));
}

/* --- in the test --- */

static EVP_PKEY *key_read(const char *file) {
    FILE *f = fopen(file, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

    fclose(f);
    return key;
}

/* Add such a pair to the configuration. Returns how many needles there are. */
static uint32_t pair_add(enum key_kind kind, struct needle needles[NEEDLES]) {
    uint32_t i = fx.config.n_certificates++, n = 0;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    strcpy(fx.certificate[i], "/tmp/weir-test-pair.crt");
    pid_t child = fork();
    if (child == 0) {
        harness_files(kind, fx.certificate[i], fx.key[i]);
        (void)!write(ends[1], fx.certificate[i], sizeof(fx.certificate[i]));
        (void)!write(ends[1], fx.key[i], sizeof(fx.key[i]));
        needles_tell(ends[1], key_read(fx.key[i]), fx.key[i]);
        _exit(0);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], fx.certificate[i], sizeof(fx.certificate[i])), sizeof(fx.certificate[i]));
    cr_assert_eq(read(ends[0], fx.key[i], sizeof(fx.key[i])), sizeof(fx.key[i]));
    while (n < NEEDLES && read(ends[0], &needles[n], sizeof(needles[n])) == sizeof(needles[n]))
        n++; /* their texts lie where the child has them */
    cr_assert(n >= 2 && n < NEEDLES);
    close(ends[0]);
    waitpid(child, NULL, 0);
    fx.certs[i] = (struct tls_certificate_config){.certificate_file = fx.certificate[i], .key_file = fx.key[i]};
    fx.config.certificates = fx.certs;
    return n;
}

/* Both parts in one file, as others want it: behind the key, so that it has to be passed over. */
static void files_join(uint32_t i) {
    char command[300];

    snprintf(command, sizeof(command), "cat %.63s >>%.63s && cp %.63s %.63s", fx.certificate[i], fx.key[i], fx.key[i],
             fx.certificate[i]);
    cr_assert_eq(system(command), 0);
}

static void key_check(enum key_kind kind, uint32_t numbers, bool one_file) {
    struct needle needles[NEEDLES] = {0};

    fx_init();
    cr_assert(ours);
    cr_assert_eq(pair_add(kind, needles), 2 * numbers + 1);
    if (one_file)
        files_join(0);
    cr_assert(fx_load(), "%s", fx.error);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(fx_ask(NULL), 0);
    struct hits alive = memory_search(needles);
    cr_assert_geq(alive.guarded, numbers, "the search finds what is there");
    cr_assert_eq(alive.in_dumps, 0, "%s is in %s", alive.what, alive.where);
    cr_assert(tls_private_keys_locked());
    tls_ctx_unref(fx.h.ctx);
    fx.h.ctx = NULL;
    struct hits ended = memory_search(needles);
    cr_assert_eq(ended.guarded + ended.in_dumps, 0, "%s is left in %s", ended.what, ended.where);
    fx_fini();
}

Test(tls_pair, rsa_keys_are_locked_and_not_dumped) {
    key_check(KEY_RSA, 6, false);
}

Test(tls_pair, ec_keys_are_locked_and_not_dumped) {
    key_check(KEY_EC, 1, false);
}

/* As before a reload and after many. */
Test(tls_pair, reloads_take_no_more_room) {
    fx_init();
    for (int i = 0; i < 2; i++)
        fx_add(i == 0 ? KEY_EC : KEY_RSA, NULL);
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(fx_load(), "%s", fx.error); /* what libcrypto keeps of a first time is there now */
    size_t used = tls_vault_used();
    for (int i = 0; i < 20; i++)
        cr_assert(fx_load(), "%s", fx.error);
    cr_assert_eq(tls_vault_used(), used);
    cr_assert_lt(used, 1u << 20);
    fx_fini();
}

Test(tls_pair, so_are_keys_in_a_file_with_their_certificate) {
    key_check(KEY_RSA, 6, true);
}

static void refused(const char *certificate, const char *key, const char *what) {
    char error[256];
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());

    ERR_clear_error();
    cr_assert_not(tls_pair_load(ssl, certificate, key, error, sizeof(error)));
    cr_assert(strstr(error, what), "%s", error);
    SSL_CTX_free(ssl);
}

Test(tls_pair, files_that_are_none) {
    char certificate[64], key[64], large[] = "/tmp/weir-test-XXXXXX";

    harness_files(KEY_EC, certificate, key);
    int fd = mkstemp(large);
    cr_assert_eq(ftruncate(fd, 2 << 20), 0);
    close(fd);
    refused(large, key, "larger than 256 KiB");
    refused(certificate, large, "larger than 256 KiB");
    refused("/tmp", key, "directory");
    refused(certificate, "/dev/null",
            "/dev/null: the file is empty; it must be a readable PEM file with one private key");
    refused("/dev/null", key, "/dev/null: the file is empty; it must be a readable PEM file, own certificate first");
    refused(certificate, "/etc/passwd", "no PEM block found");
    refused("/etc/passwd", key, "no PEM block found");
    refused(certificate, certificate, "no PEM block of a private key found");
    refused(key, key, "no PEM block of a certificate found");
    unlink(large);
    harness_files_remove(certificate, key);
}

/* A chain that breaks off in the middle is no shorter chain. */
Test(tls_pair, chain_with_a_broken_end) {
    char certificate[64], key[64];

    harness_files(KEY_EC, certificate, key);
    FILE *f = fopen(certificate, "a");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n", f);
    fclose(f);
    refused(certificate, key, "own certificate first");
    harness_files_remove(certificate, key);
}

Test(tls_pair, works_unlocked_and_says_so) {
    static const struct rlimit nothing;

    (void)harness_pool();
    cr_assert(tls_private_keys_locked());
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &nothing), 0);
    if (geteuid() == 0)
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    fx_init();
    fx_add(KEY_EC, NULL);
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert_not(tls_private_keys_locked());
    cr_assert_eq(fx_ask(NULL), 0);
    fx_fini();
}
