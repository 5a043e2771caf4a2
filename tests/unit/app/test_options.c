/* SPDX-License-Identifier: BSD-3-Clause */
#include "weir/options.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PARSE(...)                                                                                                     \
    char *argv[] = {(char[]){"weir"}, __VA_ARGS__};                                                                    \
    char error[200] = "";                                                                                              \
    struct options o;                                                                                                  \
    int rc = options_parse((int)WEIR_ARRAY_LEN(argv), argv, &o, error, sizeof(error))

#define A(text) ((char[]){text})

Test(options, defaults) {
    char *argv[] = {A("weir")};
    char error[200];
    struct options o;
    cr_assert(options_parse(1, argv, &o, error, sizeof(error)) == 0);
    cr_expect(o.action == OPTIONS_RUN && o.log_level == -1 && o.n_eal_args == 0);
    cr_expect_str_eq(o.config_path, OPTIONS_DEFAULT_CONFIG);
}

Test(options, short_forms_and_eal_arguments) {
    PARSE(A("-c"), A("x.yaml"), A("--check"), A("--log-level"), A("debug"), A("--"), A("-m"), A("64"));
    cr_assert(rc == 0, "%s", error);
    cr_expect(o.action == OPTIONS_CHECK && o.log_level == LOG_LVL_DEBUG);
    cr_expect_str_eq(o.config_path, "x.yaml");
    cr_assert(o.n_eal_args == 2);
    cr_expect_str_eq(o.eal_args[0], "-m");
}

Test(options, long_forms) {
    PARSE(A("--config=y.yaml"), A("--log-level=error"));
    cr_assert(rc == 0, "%s", error);
    cr_expect(o.log_level == LOG_LVL_ERROR);
    cr_expect_str_eq(o.config_path, "y.yaml");
}

Test(options, help_wins) {
    PARSE(A("--help"), A("--check"));
    cr_expect(rc == 0 && o.action == OPTIONS_HELP);
}

Test(options, version) {
    PARSE(A("-V"));
    cr_expect(rc == 0 && o.action == OPTIONS_VERSION);
}

Test(options, config_without_a_file) {
    PARSE(A("-c"));
    cr_expect(rc == WEIR_EINVAL && strstr(error, "-c needs a file"), "%s", error);
}

Test(options, config_does_not_swallow_the_end_mark) {
    PARSE(A("-c"), A("--"), A("-m"));
    cr_expect(rc == WEIR_EINVAL && strstr(error, "-c needs a file"), "%s", error);
}

Test(options, unknown_option) {
    PARSE(A("--chekc"));
    cr_expect(rc == WEIR_EINVAL && strstr(error, "unknown option --chekc (weir --help"), "%s", error);
}

Test(options, stray_argument) {
    PARSE(A("weir.yaml"));
    cr_expect(rc == WEIR_EINVAL && strstr(error, "-c weir.yaml"), "%s", error);
}

Test(options, bad_level) {
    PARSE(A("--log-level"), A("loud"));
    cr_expect(rc == WEIR_EINVAL && strstr(error, "not \"loud\""), "%s", error);
}

Test(options, help_names_every_option) {
    static const char *const names[] = {"--config",  "--check", "--log-level", "--help",
                                        "--version", "-- ...",  "Examples"};
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    options_print_help(out);
    fclose(out);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++)
        cr_expect(strstr(text, names[i]), "%s", names[i]);
    free(text);
    out = open_memstream(&text, &len);
    options_print_version(out);
    fclose(out);
    cr_expect_str_eq(text, "weir " WEIR_VERSION "\n");
    free(text);
}
