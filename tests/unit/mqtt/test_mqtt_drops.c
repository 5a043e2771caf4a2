/* SPDX-License-Identifier: BSD-3-Clause */
#include "mqtt/mqtt.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

Test(mqtt_drops, every_reason_has_a_name_and_a_sentence) {
    for (unsigned d = 0; d < MQTT_DROP_COUNT; d++) {
        const char *name = mqtt_drop_name(d);
        cr_assert_str_neq(mqtt_drop_text(d), "");
        cr_assert_str_neq(name, "");
        for (const char *p = name; *p; p++)
            cr_assert(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_', "%s", name);
        for (unsigned e = 0; e < d; e++)
            cr_assert_str_neq(name, mqtt_drop_name(e));
    }
    cr_assert_str_eq(mqtt_drop_name(MQTT_DROP_SECOND_CONNECT), "second_connect");
}

Test(mqtt_drops, a_number_beyond_the_list_is_unknown) {
    cr_assert_str_eq(mqtt_drop_name(MQTT_DROP_COUNT), "unknown");
    cr_assert_str_eq(mqtt_drop_text(MQTT_DROP_COUNT), "unknown");
}
