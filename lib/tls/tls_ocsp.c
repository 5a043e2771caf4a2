/* SPDX-License-Identifier: BSD-3-Clause */
/* OCSP stapling from a file (RFC 6960, RFC 6066 section 8): somebody else asks the CA and writes the answer down. */
#include "tls_certs.h"

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#define SKEW_S 300 /* that the CA's clock may be ahead */

/* Who issued the certificate, as far as its file tells; NULL: it does not. */
static X509 *issuer_of(const struct tls_cert *cert) {
    for (int i = 0; i < sk_X509_num(cert->chain); i++)
        if (X509_check_issued(sk_X509_value(cert->chain, i), cert->x509) == X509_V_OK)
            return sk_X509_value(cert->chain, i);
    return X509_check_issued(cert->x509, cert->x509) == X509_V_OK ? cert->x509 : NULL;
}

/* Does it speak of this certificate? Without the issuer the serial number has to do. */
static bool is_about(const struct tls_cert *cert, const OCSP_CERTID *id) {
    ASN1_OBJECT *hash = NULL;
    ASN1_INTEGER *serial = NULL;
    X509 *issuer = issuer_of(cert);

    OCSP_id_get0_info(NULL, &hash, NULL, &serial, (OCSP_CERTID *)(uintptr_t)id);
    if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(cert->x509)) != 0)
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(hash);
    if (issuer == NULL || md == NULL)
        return true;
    OCSP_CERTID *ours = OCSP_cert_to_id(md, cert->x509, issuer);
    bool same = ours && OCSP_id_cmp(ours, id) == 0;
    OCSP_CERTID_free(ours);
    return same;
}

/* NULL where the answer about the certificate is one to show; else what is wrong with it. */
static const char *fault(const struct tls_cert *cert, OCSP_BASICRESP *basic, int64_t *next_update_s) {
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        ASN1_GENERALIZEDTIME *now, *next;
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        if (!is_about(cert, OCSP_SINGLERESP_get0_id(single)))
            continue;
        int status = OCSP_single_get0_status(single, NULL, NULL, &now, &next);
        if (status == V_OCSP_CERTSTATUS_REVOKED)
            return "says that the certificate is revoked";
        if (status != V_OCSP_CERTSTATUS_GOOD)
            return "does not know the certificate";
        if (next == NULL) /* clients would have to take it for current for ever */
            return "has no nextUpdate";
        *next_update_s = tls_cert_seconds(next);
        if (*next_update_s <= (int64_t)time(NULL))
            return "has expired; fetch a new one";
        return OCSP_check_validity(now, next, SKEW_S, -1) == 1 ? NULL : "is not valid yet";
    }
    return "is about another certificate";
}

bool tls_ocsp_load(const struct tls_cert *cert, const char *file, struct tls_ocsp *out, char *error,
                   size_t error_bytes) {
    BIO *bio = BIO_new_file(file, "rb");
    OCSP_RESPONSE *response = bio ? d2i_OCSP_RESPONSE_bio(bio, NULL) : NULL;
    OCSP_BASICRESP *basic = NULL;
    const char *wrong = NULL;

    *out = (struct tls_ocsp){0};
    if (bio == NULL)
        wrong = tls_ctx_reason();
    else if (response == NULL)
        wrong = "not an OCSP response in DER";
    else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        wrong = OCSP_response_status_str(OCSP_response_status(response));
    else if ((basic = OCSP_response_get1_basic(response)) == NULL)
        wrong = "not a basic OCSP response";
    else
        wrong = fault(cert, basic, &out->next_update_s);
    if (wrong == NULL) {
        int bytes = i2d_OCSP_RESPONSE(response, &out->der);
        out->bytes = bytes > 0 ? (uint32_t)bytes : 0;
        if (bytes <= 0)
            wrong = "out of memory";
    }
    if (wrong)
        snprintf(error, error_bytes, "ocsp %s: %s; no response is stapled for %s", file, wrong,
                 cert->info.certificate_file);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    BIO_free(bio);
    return wrong == NULL;
}

/* The client asked. libssl has chosen the certificate already, and frees the copy it is given. */
static int asked(SSL *ssl, void *arg) {
    const struct tls_set *set = arg;
    const X509 *chosen = SSL_get_certificate(ssl);

    for (int kind = 0; kind < TLS_KEY_KINDS; kind++) {
        const struct tls_cert *cert = set->certs[kind];
        if (cert == NULL || cert->x509 != chosen)
            continue;
        if (cert->ocsp.der == NULL || cert->ocsp.next_update_s <= (int64_t)time(NULL))
            break;
        void *copy = OPENSSL_memdup(cert->ocsp.der, cert->ocsp.bytes);
        if (copy == NULL)
            break;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, cert->ocsp.bytes);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

void tls_ocsp_offer(SSL_CTX *ssl, struct tls_set *set) {
    for (int kind = 0; kind < TLS_KEY_KINDS; kind++) {
        if (set->certs[kind] && set->certs[kind]->ocsp.der) {
            SSL_CTX_set_tlsext_status_cb(ssl, asked);
            SSL_CTX_set_tlsext_status_arg(ssl, set);
            return;
        }
    }
}
