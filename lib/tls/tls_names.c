/* SPDX-License-Identifier: BSD-3-Clause */
/* Host names as certificates and clients give them (RFC 6066 section 3, RFC 6125 section 6.4). */
#include "tls_certs.h"

#include <ctype.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* Letters, digits, '-' and '_' (which devices use), in labels that are not empty. */
bool tls_name_fold(const char *name, size_t n, bool wildcard, char out[TLS_NAME_MAX + 1]) {
    size_t label = 0, i = 0;

    if (n == 0 || n > TLS_NAME_MAX)
        return false;
    if (wildcard && n > 2 && name[0] == '*' && name[1] == '.') { /* the whole first label, and no other one */
        memcpy(out, "*.", 2);
        i = 2;
    }
    for (; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        bool dot = c == '.';
        if (dot ? label == 0 : !isascii(c) || !(isalnum(c) || c == '-' || c == '_'))
            return false;
        label = dot ? 0 : label + 1;
        out[i] = (char)tolower(c);
    }
    out[n] = 0;
    return label > 0;
}

static bool add(char ***names, int *n, const ASN1_STRING *text) {
    char folded[TLS_NAME_MAX + 1];

    if (!tls_name_fold((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text), true, folded))
        return true;
    char **more = realloc(*names, ((size_t)*n + 1) * sizeof(**names));
    if (more == NULL)
        return false;
    *names = more;
    more[*n] = strdup(folded);
    return more[*n] != NULL && ++*n > 0;
}

int tls_names_of(const X509 *x509, char ***names) {
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    bool ok = true, dns = false;
    int n = 0;

    *names = NULL;
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(alternatives); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);
        if (name->type != GEN_DNS)
            continue;
        dns = true;
        ok = add(names, &n, name->d.dNSName);
    }
    GENERAL_NAMES_free(alternatives);
    if (ok && !dns) {
        const X509_NAME *subject = X509_get_subject_name(x509);
        int last = -1;
        for (int i; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0;)
            last = i;
        if (last >= 0)
            ok = add(names, &n, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    }
    if (ok)
        return n;
    tls_names_free(*names, (uint32_t)n);
    *names = NULL;
    return -1;
}

void tls_names_free(char **names, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}
