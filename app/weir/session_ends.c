/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/lower.h"
#include "worker.h"

static const struct {
    char name[WEIR_NAME_MAX];
    const char *text;
} ends[SESSION_END_COUNT] = {
    [SESSION_END_NONE] = {"none", "not ended"},
#define X(name, text) [SESSION_END_##name] = {WEIR_LOWER(#name), text},
#include "session_ends.def"
#undef X
};

const char *session_end_name(enum session_end e) {
    return e < SESSION_END_COUNT ? ends[e].name : "unknown";
}

const char *session_end_text(enum session_end e) {
    return e < SESSION_END_COUNT ? ends[e].text : "unknown";
}
