/* SPDX-License-Identifier: BSD-3-Clause */
#include "mqtt.h"

#include "../base/lower.h"

static const struct {
    char name[WEIR_NAME_MAX];
    const char *text;
} drops[MQTT_DROP_COUNT] = {
    [MQTT_DROP_NONE] = {"none", "nothing wrong"},
#define X(name, code3, code5, text) [MQTT_DROP_##name] = {WEIR_LOWER(#name), text},
#include "mqtt_drops.def"
#undef X
};

#define X(name, code3, code5, text) static_assert(sizeof(#name) <= WEIR_NAME_MAX, "drop name too long");
#include "mqtt_drops.def"
#undef X

const char *mqtt_drop_name(enum mqtt_drop d) {
    return d < MQTT_DROP_COUNT ? drops[d].name : "unknown";
}

const char *mqtt_drop_text(enum mqtt_drop d) {
    return d < MQTT_DROP_COUNT ? drops[d].text : "unknown";
}
