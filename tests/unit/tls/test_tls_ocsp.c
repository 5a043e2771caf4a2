/* SPDX-License-Identifier: BSD-3-Clause */
/* Responses from a file: which ones are stapled, and what is said of the others. */
#include "certs_fixture.h"

#include <openssl/ocsp.h>
#include <time.h>

static char file[64];

static void with_file(void) {
    fx_init();
    strcpy(file, "/tmp/weir-test-XXXXXX");
    close(mkstemp(file));
}

static void without_file(void) {
    unlink(file);
    fx_fini();
}

TestSuite(tls_ocsp, .init = with_file, .fini = without_file);

struct what {
    uint32_t about, by; /* places */
    int status;         /* V_OCSP_CERTSTATUS_... */
    long from_s, to_s;  /* from now; to_s 0: no nextUpdate */
};

static X509 *certificate_of(uint32_t i) {
    FILE *f = fopen(fx.certificate[i], "r");
    X509 *x509 = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    return x509;
}

static void write_response(OCSP_RESPONSE *response) {
    BIO *out = BIO_new_file(file, "wb");
    cr_assert(out && i2d_OCSP_RESPONSE_bio(out, response));
    BIO_free(out);
    OCSP_RESPONSE_free(response);
}

static void respond(const struct what *w) {
    X509 *about = certificate_of(w->about), *by = certificate_of(w->by);
    FILE *f = fopen(fx.key[w->by], "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), about, by);
    ASN1_TIME *from = X509_gmtime_adj(NULL, w->from_s), *to = w->to_s ? X509_gmtime_adj(NULL, w->to_s) : NULL;
    ASN1_GENERALIZEDTIME *from_g = ASN1_TIME_to_generalizedtime(from, NULL);
    ASN1_GENERALIZEDTIME *to_g = to ? ASN1_TIME_to_generalizedtime(to, NULL) : NULL;
    cr_assert(OCSP_basic_add1_status(basic, id, w->status, 0, from_g, from_g, to_g));
    cr_assert(OCSP_basic_sign(basic, by, key, EVP_sha256(), NULL, 0));
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    write_response(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_GENERALIZEDTIME_free(from_g);
    ASN1_GENERALIZEDTIME_free(to_g);
    EVP_PKEY_free(key);
    X509_free(about);
    X509_free(by);
}

/* Bytes of the response that a client gets which asks; -1: none. */
static long stapled(const char *name) {
    harness_connect(&fx.h, NULL);
    SSL_set_tlsext_status_type(fx.h.client, TLSEXT_STATUSTYPE_ocsp);
    SSL_ctrl(fx.h.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name);
    cr_assert(harness_handshake(&fx.h));
    uint8_t *response;
    long n = SSL_get_tlsext_status_ocsp_resp(fx.h.client, &response);
    harness_disconnect(&fx.h);
    return n;
}

static long file_bytes(void) {
    FILE *f = fopen(file, "r");
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    fclose(f);
    return n;
}

static const struct what good = {.status = V_OCSP_CERTSTATUS_GOOD, .from_s = -60, .to_s = 600};

Test(tls_ocsp, stapled_for_its_certificate_where_asked_for) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
    fx_add(KEY_RSA, "DNS:a.example");
    fx.certs[0].ocsp_file = file;
    respond(&good);
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.warnings, 0, "%s", fx.told);
    int64_t next_s = tls_ctx_cert(fx.h.ctx, 0)->ocsp_next_update_s, now_s = (int64_t)time(NULL);
    cr_expect(next_s > now_s + 500 && next_s <= now_s + 600);
    for (int version = TLS_V12; version <= TLS_V13; version++) {
        SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
        SSL_CTX_set_max_proto_version(fx.h.client_ctx, version);
        cr_expect_eq(stapled("a.example"), file_bytes());
        cr_expect_eq(stapled("b.example"), -1, "another certificate");
    }
    SSL_CTX_set1_sigalgs_list(fx.h.client_ctx, "RSA-PSS+SHA256");
    cr_expect_eq(stapled("a.example"), -1, "the same name's other certificate");
}

static void not_stapled(const struct what *w, const char *why) {
    respond(w);
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.warnings, 1);
    cr_expect(strstr(fx.told, why) && strstr(fx.told, file), "no <%s> in: %s", why, fx.told);
    cr_expect_eq(tls_ctx_cert(fx.h.ctx, 0)->ocsp_next_update_s, 0);
    cr_expect_eq(stapled("a.example"), -1);
}

Test(tls_ocsp, others_are_told_and_not_stapled) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
    fx.certs[0].ocsp_file = file;
    not_stapled(&(struct what){.status = V_OCSP_CERTSTATUS_GOOD, .from_s = -600, .to_s = -60}, "has expired");
    not_stapled(&(struct what){.status = V_OCSP_CERTSTATUS_GOOD, .from_s = 3000, .to_s = 6000}, "not valid yet");
    not_stapled(&(struct what){.status = V_OCSP_CERTSTATUS_GOOD, .from_s = -60}, "nextUpdate");
    not_stapled(&(struct what){.status = V_OCSP_CERTSTATUS_UNKNOWN, .from_s = -60, .to_s = 600}, "does not know");
    not_stapled(&(struct what){.status = V_OCSP_CERTSTATUS_REVOKED, .from_s = -60, .to_s = 600}, "revoked");
    not_stapled(&(struct what){.about = 1, .by = 1, .status = V_OCSP_CERTSTATUS_GOOD, .from_s = -60, .to_s = 600},
                "about another certificate");
}

Test(tls_ocsp, files_that_are_none) {
    fx_add(KEY_EC, "DNS:a.example");
    fx.certs[0].ocsp_file = "/nowhere/a.ocsp";
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect(strstr(fx.told, "/nowhere/a.ocsp: No such file"), "%s", fx.told);
    fx.certs[0].ocsp_file = fx.certificate[0];
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect(strstr(fx.told, "not an OCSP response in DER"), "%s", fx.told);
    fx.certs[0].ocsp_file = file;
    OCSP_RESPONSE *later = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, NULL);
    write_response(later);
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect(strstr(fx.told, "trylater"), "%s", fx.told);
}

Test(tls_ocsp, one_that_still_holds_outlives_a_bad_file) {
    fx_add(KEY_EC, "DNS:a.example");
    fx.certs[0].ocsp_file = file;
    respond(&good);
    cr_assert(fx_load(), "%s", fx.error);
    long n = file_bytes();
    cr_assert_eq(truncate(file, 10), 0);
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.warnings, 1);
    cr_expect_eq(stapled("a.example"), n);
}

Test(tls_ocsp, not_shown_any_more_once_it_expires) {
    fx_add(KEY_EC, "DNS:a.example");
    fx.certs[0].ocsp_file = file;
    respond(&good);
    cr_assert(fx_load(), "%s", fx.error);
    fx.h.ctx->certs->certs[0]->ocsp.next_update_s = (int64_t)time(NULL) - 1;
    cr_expect_eq(stapled("a.example"), -1);
}
