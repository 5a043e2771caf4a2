/* SPDX-License-Identifier: BSD-3-Clause */
#include "base.h"

const char *weir_error_text(int error) {
    switch (error) {
#define X(name, value, text)                                                                                           \
    case WEIR_##name:                                                                                                  \
        return text;
        WEIR_ERRORS(X)
#undef X
    default:
        return "unknown error";
    }
}
