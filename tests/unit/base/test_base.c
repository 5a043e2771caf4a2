/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/base.h"

#include <criterion/criterion.h>

Test(base, every_error_has_its_text) {
    cr_expect_str_eq(weir_error_text(WEIR_MORE), "more bytes are needed");
    cr_expect_str_eq(weir_error_text(WEIR_ECLOSED), "closed");
    cr_expect_str_eq(weir_error_text(0), "unknown error");
    cr_expect_str_eq(weir_error_text(-1000), "unknown error");
    cr_expect_str_eq(weir_error_text(7), "unknown error");
}

Test(base, min_and_max) {
    cr_expect_eq(weir_min_u32(0, UINT32_MAX), 0);
    cr_expect_eq(weir_max_u32(0, UINT32_MAX), UINT32_MAX);
}
