/* SPDX-License-Identifier: BSD-3-Clause */
/* A counter's name is the lower-case of its X-list name. The preprocessor cannot lower a case, a constant initialiser
 * can: static const char names[][WEIR_NAME_MAX] = { WEIR_LOWER(#name), ... }; */
#ifndef WEIR_LOWER_H
#define WEIR_LOWER_H

#define WEIR_NAME_MAX 32 /* bytes with the final 0; longer names do not compile */

/* clang-format off */
#define WEIR_CHAR_AT(s, i)    ((s)[(i) < sizeof(s) ? (i) : sizeof(s) - 1])
#define WEIR_LOWER_AT(s, i)   (char)(WEIR_CHAR_AT(s, i) + (WEIR_CHAR_AT(s, i) >= 'A' && WEIR_CHAR_AT(s, i) <= 'Z' ? 32 : 0))
#define WEIR_LOWER_8(s, i)    WEIR_LOWER_AT(s, i), WEIR_LOWER_AT(s, i + 1), WEIR_LOWER_AT(s, i + 2), \
                              WEIR_LOWER_AT(s, i + 3), WEIR_LOWER_AT(s, i + 4), WEIR_LOWER_AT(s, i + 5), \
                              WEIR_LOWER_AT(s, i + 6), WEIR_LOWER_AT(s, i + 7)
#define WEIR_LOWER(s)         {WEIR_LOWER_8(s, 0), WEIR_LOWER_8(s, 8), WEIR_LOWER_8(s, 16), WEIR_LOWER_8(s, 24)}
/* clang-format on */

#endif
