/* SPDX-License-Identifier: BSD-3-Clause */
/* Alerts (RFC 8446 section 6, RFC 5246 section 7.2) and the names of drop reasons. */
#include "tls_int.h"

#include "../base/lower.h"

static const struct {
    char name[WEIR_NAME_MAX];
    const char *text;
    int alert;
} drops[TLS_DROP_COUNT] = {
    [TLS_DROP_NONE] = {"none", "none", -1},
#define X(name_, alert_, text_) [TLS_DROP_##name_] = {.name = WEIR_LOWER(#name_), .text = text_, .alert = alert_},
#include "tls_drops.def"
#undef X
};

#define X(name, alert, text) static_assert(sizeof(#name) <= WEIR_NAME_MAX, "drop name too long");
#include "tls_drops.def"
#undef X

const char *tls_drop_name(enum tls_drop d) {
    return d < TLS_DROP_COUNT ? drops[d].name : "unknown";
}

const char *tls_drop_text(enum tls_drop d) {
    return d < TLS_DROP_COUNT ? drops[d].text : "unknown";
}

int tls_drop_alert(enum tls_drop d) {
    return d < TLS_DROP_COUNT ? drops[d].alert : -1;
}

/* --- alerts by name --- */

static const char alerted_names[TLS_ALERTED_COUNT][WEIR_NAME_MAX] = {
    [TLS_ALERTED_OTHER] = "other",
#define X(name, number) [TLS_ALERTED_##name] = WEIR_LOWER(#name),
#include "tls_alerts.def"
#undef X
};

#define X(name, number) static_assert(sizeof(#name) <= WEIR_NAME_MAX, "alert name too long");
#include "tls_alerts.def"
#undef X

const char *tls_alerted_name(enum tls_alerted a) {
    return a < TLS_ALERTED_COUNT ? alerted_names[a] : "unknown";
}

enum tls_alerted tls_alerted_of(uint8_t description) {
    static const uint8_t alerted[UINT8_MAX + 1] = {
#define X(name, number) [number] = TLS_ALERTED_##name,
#include "tls_alerts.def"
#undef X
    };

    return (enum tls_alerted)alerted[description];
}

/* --- alerts of our own record layer --- */

int tls_alert_in(struct tls_turn *t, const uint8_t *body, uint32_t n) {
    struct tls_conn *c = t->c;
    struct span s = span_of(body, n);
    uint8_t level = span_u8(&s), description = span_u8(&s);

    if (s.failed || span_left(&s) > 0)
        return -TLS_DROP_BAD_ALERT;
    tls_alert_count(t->core, TLS_READ, description);
    t->alerted = tls_alerted_of(description);
    if (description == TLS_ALERT_CLOSE_NOTIFY) {
        c->flags |= TLS_F_READ_CLOSED;
        return TLS_CLOSE;
    }
    /* 1.3 ignores the level: all others end the connection but for user_canceled, which announces a close_notify. */
    bool warning = tls_conn_suite(c)->version == TLS_V13 ? description == TLS_ALERT_USER_CANCELED : level == 1;
    if (!warning)
        return -TLS_DROP_PEER_ALERT;
    return ++c->warning_run > TLS_WARNING_RUN_MAX ? -TLS_DROP_WARNING_FLOOD : 0;
}

void tls_alert_for_drop(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_drop drop, struct rope *wire) {
    int alert = tls_drop_alert(drop);
    int rc = WEIR_ESTATE;

    if (alert < 0 || c->flags & TLS_F_WRITE_CLOSED)
        return;
    /* These two are warnings by definition. */
    uint8_t level = alert == TLS_ALERT_CLOSE_NOTIFY || alert == TLS_ALERT_NO_RENEGOTIATION ? 1 : 2;
    const uint8_t record[7] = {TLS_CT_ALERT, 3, 3, 0, 2, level, (uint8_t)alert};

    if (c->phase == TLS_PHASE_OPEN)
        rc = tls_record_seal_bytes(core, c, id, TLS_CT_ALERT, record + TLS_HEADER_BYTES, 2, wire);
    else if (c->phase == TLS_PHASE_NEW)
        rc = rope_append(wire, core->pool, record, sizeof(record));
    /* else libssl has the keys, and has written its own */
    if (rc == 0)
        tls_alert_count(core, TLS_WRITE, (uint8_t)alert);
}
