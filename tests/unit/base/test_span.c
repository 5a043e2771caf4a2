/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/span.h"

#include <criterion/criterion.h>

Test(span, reads_big_endian_in_order) {
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct span s = span_of(bytes, sizeof(bytes));

    cr_expect_eq(span_u8(&s), 1);
    cr_expect_eq(span_u16(&s), 0x0203);
    cr_expect_eq(span_u24(&s), 0x040506u);
    cr_expect_eq(span_u32(&s), 0x0708090au);
    cr_expect_eq(span_left(&s), 1);
    cr_expect_not(s.failed);
}

Test(span, failure_sticks_and_yields_zero) {
    const uint8_t bytes[] = {0xff, 0xff, 0xff};
    struct span s = span_of(bytes, sizeof(bytes));

    cr_expect_eq(span_u32(&s), 0);
    cr_expect(s.failed);
    cr_expect_eq(span_u8(&s), 0, "bytes are left, but the failure sticks");
    cr_expect_null(span_bytes(&s, 0));
    cr_expect(span_sub(&s, 1).failed);
}

Test(span, length_near_size_max_does_not_wrap) {
    const uint8_t bytes[] = {1, 2};
    struct span s = span_of(bytes, sizeof(bytes));

    cr_expect_null(span_bytes(&s, SIZE_MAX));
    cr_expect(s.failed);
}

Test(span, sub_is_bounded_by_itself) {
    const uint8_t bytes[] = {1, 2, 3, 4};
    struct span s = span_of(bytes, sizeof(bytes)), sub = span_sub(&s, 2);

    cr_expect_eq(span_u16(&sub), 0x0102);
    cr_expect_eq(span_u8(&sub), 0);
    cr_expect(sub.failed);
    cr_expect_not(s.failed, "the outer view is not touched");
    cr_expect_eq(span_u16(&s), 0x0304);
}

Test(span, writer_stops_at_its_end) {
    uint8_t buffer[8] = {0};
    struct span_writer w = span_writer_of(buffer, 7);

    span_put_u8(&w, 0xaa);
    span_put_u16(&w, 0x0102);
    span_put_u32(&w, 0x03040506);
    cr_expect_not(w.failed);
    cr_expect_eq(span_written(&w), 7);
    cr_expect_arr_eq(buffer, ((uint8_t[]){0xaa, 1, 2, 3, 4, 5, 6, 0}), 8);
    span_put_u8(&w, 1);
    cr_expect(w.failed);
    cr_expect_eq(buffer[7], 0);
    span_put_bytes(&w, "x", 0);
    cr_expect(w.failed);
}
