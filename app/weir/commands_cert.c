/* SPDX-License-Identifier: BSD-3-Clause */
/* `weirctl cert`: what is served, and reading it again. */
#include "control_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Index of an entry of `tls`, or -1. */
static int entry_find(const struct control *c, const char *name) {
    for (uint16_t i = 0; i < c->weir->config->n_tls; i++)
        if (strcmp(c->weir->config->tls[i].name, name) == 0)
            return i;
    return -1;
}

static json_t *names_json(const struct tls_cert_info *info) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < info->n_names; i++)
        json_array_append_new(list, json_string(info->names[i]));
    return list;
}

static json_t *fingerprint_json(const uint8_t fingerprint[32]) {
    char text[96];
    for (unsigned i = 0; i < 32; i++)
        snprintf(text + 3 * i, 4, "%02X%s", fingerprint[i], i + 1 < 32 ? ":" : "");
    return json_string(text);
}

static const char *ocsp_state(const struct tls_cert_info *info, bool configured) {
    if (!configured)
        return "off";
    if (info->ocsp_next_update_s == 0)
        return "none";
    return info->ocsp_next_update_s > (int64_t)time(NULL) ? "good" : "expired";
}

static json_t *cert_json(const struct config_tls *t, uint32_t i, const struct tls_cert_info *info) {
    const struct config_certificate *c = &t->certificates[i];
    return json_pack("{s:s, s:b, s:s, s:s, s:o, s:s, s:o*, s:s, s:o, s:I, s:I, s:I, s:s, s:I}", "tls", t->name,
                     "default", i == 0 && !t->strict_sni, "certificate", c->certificate, "key", c->key, "names",
                     names_json(info), "key_type", info->key_type, "issuer",
                     json_string(info->issuer) /* NULL and left out: no UTF-8 */, "serial", info->serial, "fingerprint",
                     fingerprint_json(info->fingerprint), "not_before", (json_int_t)info->not_before_s, "not_after",
                     (json_int_t)info->not_after_s, "since", (json_int_t)info->since_s, "ocsp",
                     ocsp_state(info, c->ocsp != NULL), "ocsp_next_update", (json_int_t)info->ocsp_next_update_s);
}

static json_t *cert_show(struct control *c, int only) {
    json_t *list = json_array();
    for (uint16_t i = 0; i < c->weir->config->n_tls; i++) {
        const struct tls_cert_info *info;
        for (uint32_t k = 0; (only < 0 || only == i) && (info = tls_ctx_cert(c->weir->snapshot->tls[i], k)) != NULL;
             k++)
            json_array_append_new(list, cert_json(&c->weir->config->tls[i], k, info));
    }
    return json_pack("{s:b, s:o}", "ok", 1, "certificates", list);
}

json_t *command_reload(struct control *c, uint64_t entries) {
    json_t *refusals = json_array();
    int bad = control_reload(c, entries, refusals);
    return json_pack("{s:b, s:s*, s:o}", "ok", bad == 0, "error",
                     bad != 0 ? "some certificates were refused; the old ones serve on" : NULL, "refused", refusals);
}

json_t *command_cert(struct control *c, char **words, int n) {
    int entry = n > 2 ? entry_find(c, words[2]) : -1;
    if (n > 2 && entry < 0)
        return commands_error("there is no tls entry %s; `weirctl cert show` lists them", words[2]);
    if (strcmp(words[1], "show") == 0)
        return cert_show(c, entry);
    if (strcmp(words[1], "reload") == 0)
        return command_reload(c, entry >= 0 ? SNAPSHOT_TLS(entry) : SNAPSHOT_ALL);
    return commands_error("usage: weirctl cert show|reload [TLS]");
}
