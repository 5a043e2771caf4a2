/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#include "../base/lower.h"

static const struct {
    char name[WEIR_NAME_MAX];
    const char *text;
} drops[NET_DROP_COUNT] = {
    [NET_DROP_NONE] = {"none", "not a drop"},
#define X(name, text) [NET_DROP_##name] = {WEIR_LOWER(#name), text},
#include "net_drops.def"
#undef X
};

#define X(name, text) static_assert(sizeof(#name) <= WEIR_NAME_MAX, "drop name too long");
#include "net_drops.def"
#undef X

const char *net_drop_name(enum net_drop d) {
    return d < NET_DROP_COUNT ? drops[d].name : "unknown";
}

const char *net_drop_text(enum net_drop d) {
    return d < NET_DROP_COUNT ? drops[d].text : "unknown";
}
