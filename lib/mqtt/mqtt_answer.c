/* SPDX-License-Identifier: BSD-3-Clause */
/* The packets that refuse, with the standard's own code: CONNACK (3.2) up to CONNECT, DISCONNECT (3.14) behind it. */
#include "mqtt_int.h"

#include <string.h>

static const struct {
    uint8_t code3, code5;
} codes[MQTT_DROP_COUNT] = {
#define X(name, code3, code5, text) [MQTT_DROP_##name] = {code3, code5},
#include "mqtt_drops.def"
#undef X
};

/* Reason codes a server may put into each packet, a bit for each from 0x80 (5.0 3.2.2.2, 3.14.2.1). */
#define CODE(c) (UINT64_C(1) << ((c)-0x80))
static const uint64_t connack_codes = CODE(0x80) | CODE(0x81) | CODE(0x82) | CODE(0x83) | CODE(0x84) | CODE(0x85) |
                                      CODE(0x86) | CODE(0x87) | CODE(0x88) | CODE(0x89) | CODE(0x8a) | CODE(0x8c) |
                                      CODE(0x90) | CODE(0x95) | CODE(0x97) | CODE(0x99) | CODE(0x9a) | CODE(0x9b) |
                                      CODE(0x9c) | CODE(0x9d) | CODE(0x9f);
static const uint64_t disconnect_codes =
    CODE(0x80) | CODE(0x81) | CODE(0x82) | CODE(0x83) | CODE(0x87) | CODE(0x89) | CODE(0x8b) | CODE(0x8d) | CODE(0x8e) |
    CODE(0x8f) | CODE(0x90) | CODE(0x93) | CODE(0x94) | CODE(0x95) | CODE(0x96) | CODE(0x97) | CODE(0x98) | CODE(0x99) |
    CODE(0x9a) | CODE(0x9b) | CODE(0x9c) | CODE(0x9d) | CODE(0x9e) | CODE(0x9f) | CODE(0xa0) | CODE(0xa1) | CODE(0xa2);

#define UNSPECIFIED_ERROR  0x80
#define SERVER_UNAVAILABLE 0x88

static uint8_t allowed_code(uint8_t code, uint64_t allowed, uint8_t otherwise) {
    return allowed & CODE(code) ? code : otherwise;
}

uint32_t mqtt_refuse_connect(uint8_t level, enum mqtt_drop why, uint8_t *buf) {
    uint8_t code3 = codes[why].code3, code5 = codes[why].code5;

    if (level == 0 || (level < 5 ? code3 : code5) == 0)
        return 0;
    if (level < 5) { /* flags (no session present), return code */
        const uint8_t connack[] = {MQTT_CONNACK << 4, 2, 0, code3};
        memcpy(buf, connack, sizeof(connack));
        return sizeof(connack);
    }
    /* flags, reason code, no properties */
    const uint8_t connack[] = {MQTT_CONNACK << 4, 3, 0, allowed_code(code5, connack_codes, SERVER_UNAVAILABLE), 0};
    memcpy(buf, connack, sizeof(connack));
    return sizeof(connack);
}

uint32_t mqtt_refuse_stream(uint8_t level, enum mqtt_drop why, uint8_t *buf) {
    uint8_t code5 = codes[why].code5;

    if (level != 5 || code5 == 0)
        return 0;
    /* a remaining length below 2 says that there are no properties (3.14.2.2.1) */
    const uint8_t disconnect[] = {MQTT_DISCONNECT << 4, 1, allowed_code(code5, disconnect_codes, UNSPECIFIED_ERROR)};
    memcpy(buf, disconnect, sizeof(disconnect));
    return sizeof(disconnect);
}
