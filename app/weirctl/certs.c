/* SPDX-License-Identifier: BSD-3-Clause */
/* `cert show`: a few lines each, in the manner of `openssl x509 -text`. */
#include "weirctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "-";
}

static const char *moment(const json_t *o, const char *key, char buf[32]) {
    time_t t = (time_t)json_integer_value(json_object_get(o, key));
    struct tm tm;
    if (gmtime_r(&t, &tm) == NULL || strftime(buf, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(buf, 32, "?");
    return buf;
}

static void print_names(const json_t *names) {
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) printf("%s%s", i != 0 ? ", " : "", json_string_value(name));
    printf("%s\n", json_array_size(names) == 0 ? "none" : "");
}

static void print_one(const json_t *c) {
    char from[32], to[32], since[32], next[32];
    double days = difftime((time_t)json_integer_value(json_object_get(c, "not_after")), time(NULL)) / 86400;
    bool own = json_object_get(c, "pool") != NULL; /* towards servers */
    printf("%s%s: %s, %s%s\n", own ? "pool " : "", text(c, own ? "pool" : "tls"), text(c, "certificate"),
           text(c, "key_type"), json_is_true(json_object_get(c, "default")) ? " (default)" : "");
    printf("  names        ");
    print_names(json_object_get(c, "names"));
    printf("  issuer       %s\n  serial       %s\n", text(c, "issuer"), text(c, "serial"));
    printf("  valid        %s to %s (%.0f days left)\n", moment(c, "not_before", from), moment(c, "not_after", to),
           days > 0 ? days : 0);
    printf("  fingerprint  %s (SHA-256)\n", text(c, "fingerprint"));
    if (strcmp(text(c, "ocsp"), "good") == 0 || strcmp(text(c, "ocsp"), "expired") == 0)
        printf("  ocsp         %s, until %s\n", text(c, "ocsp"), moment(c, "ocsp_next_update", next));
    else if (!own)
        printf("  ocsp         %s\n", text(c, "ocsp"));
    printf("  in use       since %s, key %s\n", moment(c, "since", since), text(c, "key"));
}

void print_certs(const json_t *answer) {
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(answer, "certificates"), i, c) print_one(c);
}
