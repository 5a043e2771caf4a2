/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys are written where the configuration says so, with a warning each time, readable by nobody else. */
#include "certs_fixture.h"
#include "tls/tls_key_log.h"

#include <sys/stat.h>

static char folder[] = "/tmp/weir-key-log-XXXXXX", file[64];

static void set_up(void) {
    fx_init();
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/keys.log", folder);
    fx_add(KEY_EC, "DNS:a.example");
}

static void done(void) {
    unlink(file);
    rmdir(folder);
    fx_fini();
}

TestSuite(tls_key_log, .init = set_up, .fini = done);

Test(tls_key_log, lines_of_a_handshake) {
    char text[4096] = "", random[65];
    uint8_t raw[32];
    struct stat st;
    fx.config.key_log_file = file;
    for (int i = 0; i < 2; i++) { /* at start and on each reload */
        cr_assert(fx_load(), "%s", fx.error);
        cr_expect(fx.warnings == 1 && strstr(fx.told, "key_log") && strstr(fx.told, file), "%s", fx.told);
    }
    cr_assert(fx_shake(NULL));
    SSL_get_client_random(fx.h.client, raw, sizeof(raw));
    for (int i = 0; i < 32; i++)
        snprintf(random + 2 * i, 3, "%02x", raw[i]);
    harness_disconnect(&fx.h);
    FILE *f = fopen(file, "r");
    cr_assert_not_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    cr_expect(strstr(text, "CLIENT_TRAFFIC_SECRET_0 ") && strstr(text, random), "%s", text);
    cr_expect(text[0] != 0 && text[strlen(text) - 1] == '\n');
    cr_expect(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
}

Test(tls_key_log, not_unless_asked_for) {
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(fx_shake(NULL));
    harness_disconnect(&fx.h);
    cr_expect_eq(fx.warnings, 0);
    cr_expect_neq(access(file, F_OK), 0);
}

Test(tls_key_log, a_file_that_cannot_be_written) {
    fx.config.key_log_file = "/nowhere/keys.log";
    cr_expect(!fx_load() && strstr(fx.error, "key_log /nowhere/keys.log: No such file"), "%s", fx.error);
}
