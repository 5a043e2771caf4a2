/* SPDX-License-Identifier: BSD-3-Clause */
/* What is a host name, and which ones a certificate is for. */
#include "harness.h"
#include "tls/tls_certs.h"

#include <openssl/pem.h>
#include <stdio.h>

static char folded[TLS_NAME_MAX + 1];

static bool fold(const char *name, bool wildcard) {
    return tls_name_fold(name, strlen(name), wildcard, folded);
}

Test(tls_names, folded) {
    cr_assert(fold("Broker-1.EXAMPLE.com", false));
    cr_expect_str_eq(folded, "broker-1.example.com");
    cr_assert(fold("host", false) && fold("_mqtt.a", false) && fold("1.2.3.4", false));
    cr_assert(fold("*.Example.com", true));
    cr_expect_str_eq(folded, "*.example.com");
}

Test(tls_names, refused) {
    static const char *const bad[] = {"",   ".",    ".a",   "a.",   "a..b",  "a b",   "a/b",
                                      "*",  "*.",   "*a.b", "a*.b", "a.*.b", "*.*.b", "\xc3\xa4.de",
                                      "**", "*..a", "a:1",  "a\nb", "[::1]"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        cr_expect(!fold(bad[i], true), "<%s>", bad[i]);
    cr_expect(!fold("*.example.com", false), "a client has no wildcards");
    cr_expect(!tls_name_fold("a\0b", 3, false, folded), "a zero byte inside");
    char longest[TLS_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    cr_expect(tls_name_fold(longest, TLS_NAME_MAX, false, folded));
    cr_expect(!tls_name_fold(longest, TLS_NAME_MAX + 1, false, folded));
}

static int names_of(const char *alt_names, char ***names) {
    char certificate[64], key[64];
    harness_certificate(&(struct harness_certificate){.alt_names = alt_names}, certificate, key);
    FILE *f = fopen(certificate, "r");
    X509 *x509 = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    int n = tls_names_of(x509, names);
    X509_free(x509);
    harness_files_remove(certificate, key);
    return n;
}

Test(tls_names, of_a_certificate) {
    char **names;
    int n = names_of("DNS:A.example,IP:198.18.0.1,DNS:*.b.example,DNS:f*.c.example,email:x@y.z", &names);
    cr_assert_eq(n, 2, "addresses, mail and parts of labels are no server's names: %d", n);
    cr_expect_str_eq(names[0], "a.example");
    cr_expect_str_eq(names[1], "*.b.example");
    tls_names_free(names, 2);
}

Test(tls_names, common_name_only_without_dns_names) {
    char **names;
    cr_assert_eq(names_of("IP:198.18.0.1", &names), 1);
    cr_expect_str_eq(names[0], "weir.test");
    tls_names_free(names, 1);
    cr_assert_eq(names_of("DNS:f*.example", &names), 0, "it has DNS names, though none that is served");
    tls_names_free(names, 0);
}
