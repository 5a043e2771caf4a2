/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <stdarg.h>
#include <string.h>

static int options_fail(char *error, size_t error_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int options_fail(char *error, size_t error_bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error, error_bytes, format, args);
    va_end(args);
    return WEIR_EINVAL;
}

static int level_of(const char *text) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0)
            return (int)i; /* in the order of enum log_level */
    return -1;
}
static_assert(LOG_LVL_ERROR == 0 && LOG_LVL_WARNING == 1 && LOG_LVL_INFO == 2 && LOG_LVL_DEBUG == 3, "names above");

/* Is argv[*i] the option `name` (short one may be NULL) with its value, as "-c F", "--config F" or "--config=F"? The
 * value goes to *value, NULL where the line ends before it. */
static bool option_value(int argc, char **argv, int *i, const char *short_name, const char *name, const char **value) {
    const char *arg = argv[*i];
    size_t len = strlen(name);
    if (strncmp(arg, name, len) == 0 && arg[len] == '=') {
        *value = arg + len + 1;
        return true;
    }
    if (strcmp(arg, name) != 0 && !(short_name && strcmp(arg, short_name) == 0))
        return false;
    *value = *i + 1 < argc && strcmp(argv[*i + 1], "--") != 0 ? argv[++*i] : NULL;
    return true;
}

/* --help and --version win over --check, whatever their order. */
static void action_raise(struct options *o, enum options_action action) {
    if (action > o->action)
        o->action = action;
}

static int option_take(int argc, char **argv, int *i, struct options *o, char *error, size_t error_bytes) {
    const char *arg = argv[*i], *value;
    if (option_value(argc, argv, i, "-c", "--config", &value)) {
        if (!value || !*value)
            return options_fail(error, error_bytes, "%s needs a file: weir -c /etc/weir/weir.yaml", arg);
        o->config_path = value;
    } else if (option_value(argc, argv, i, NULL, "--log-level", &value)) {
        o->log_level = value ? level_of(value) : -1;
        if (o->log_level < 0)
            return options_fail(error, error_bytes, "--log-level takes error, warning, info or debug, not \"%.40s\"",
                                value ? value : "");
    } else if (strcmp(arg, "--check") == 0) {
        action_raise(o, OPTIONS_CHECK);
    } else if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
        action_raise(o, OPTIONS_HELP);
    } else if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
        action_raise(o, OPTIONS_VERSION);
    } else if (arg[0] == '-') {
        return options_fail(error, error_bytes, "unknown option %.60s (weir --help lists them; DPDK's own go after --)",
                            arg);
    } else {
        return options_fail(error, error_bytes,
                            "unexpected argument \"%.60s\" (a configuration is given with -c %.60s)", arg, arg);
    }
    return 0;
}

int options_parse(int argc, char **argv, struct options *o, char *error, size_t error_bytes) {
    *o = (struct options){.action = OPTIONS_RUN, .config_path = OPTIONS_DEFAULT_CONFIG, .log_level = -1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            o->eal_args = argv + i + 1;
            o->n_eal_args = argc - i - 1;
            return 0;
        }
        int rc = option_take(argc, argv, &i, o, error, error_bytes);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void options_print_help(FILE *out) {
    fputs(
        "weir " WEIR_VERSION ": an MQTT front door. It terminates TCP and TLS on cores of its own, reads MQTT and\n"
        "balances the connections over your brokers.\n"
        "\n"
        "Usage: weir [-c FILE] [--check] [--log-level LEVEL] [-- EAL ARGUMENTS]\n"
        "\n"
        "  -c, --config FILE    the configuration (default " OPTIONS_DEFAULT_CONFIG ")\n"
        "      --check          read it, say what is wrong or what it costs in memory, and exit 0 or 1;\n"
        "                       touches no device and needs no privilege\n"
        "      --log-level L    error, warning, info or debug; wins over log.level\n"
        "  -h, --help           this text\n"
        "  -V, --version        the version\n"
        "  -- ...               handed to DPDK as it is, after weir's own EAL arguments\n"
        "\n"
        "Examples:\n"
        "  weir -c weir.yaml --check            is this configuration good, and does it fit?\n"
        "  weir -c weir.yaml                    run in the foreground; prints \"weir: ready\" when it serves\n"
        "  weir -c weir.yaml --log-level debug  the same, telling more\n"
        "  weir -c weir.yaml -- --log-level=pmd.net.ixgbe:debug\n"
        "                                       the same, with a driver of DPDK telling more\n"
        "\n"
        "The smallest configuration is a port and a listener; this one answers what it gets:\n"
        "  ports:\n"
        "    - {name: lab, device: \"net_tap0,iface=weir0\", addresses: [198.18.0.1/24]}\n"
        "  listeners:\n"
        "    - {name: echo, address: \"198.18.0.1:7\", mode: echo}\n"
        "\n"
        "Signals: TERM or INT stop accepting, drain for timeouts.drain_s and exit; HUP reads the certificates again;\n"
        "USR1 opens the log file again.\n"
        "Exit status: 0 done, 1 an error that stderr names.\n"
        "More: man weir, man weir.yaml, and weirctl --help for a running weir.\n",
        out);
}

void options_print_version(FILE *out) {
    fputs("weir " WEIR_VERSION "\n", out);
}
