/* SPDX-License-Identifier: BSD-3-Clause */
/* SRP: the file of verifiers, and handshakes with and without a certificate beside. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "certs_fixture.h"
#include "memory_search.h"
#include "tls/tls_psk.h"
#include "tls/tls_srp.h"

#include <openssl/err.h>
#include <openssl/srp.h>
#include <sys/wait.h>

static bool ours;
__attribute__((constructor)) static void guard(void) {
    ours = tls_libssl_guard(); /* before Criterion, or anybody else, uses libcrypto */
}

static char srp_file[] = "/tmp/weir-srp-XXXXXX", error[256], *password = "correct horse";

static void file_write(const char *text) {
    FILE *f = fopen(srp_file, "w");
    fputs(text, f);
    fclose(f);
}

/* A line as `openssl srp -add` writes it. */
static void user_write(const char *name, const char *with) {
    char *salt = NULL, *verifier = NULL, line[4096];

    cr_assert_not_null(SRP_create_verifier(name, with, &salt, &verifier, NULL, "2048"));
    snprintf(line, sizeof(line), "V\t%s\t%s\t%s\t2048\t\n", verifier, salt, name);
    OPENSSL_free(salt);
    OPENSSL_free(verifier);
    file_write(line);
}

static char *password_give(SSL *ssl, void *arg) {
    (void)ssl;
    (void)arg;
    return OPENSSL_strdup(password);
}

static void set_up(void) {
    fx_init();
    close(mkstemp(srp_file));
    user_write("device-1", "correct horse");
    fx.config.srp_file = srp_file;
    SSL_CTX_set_srp_client_pwd_callback(fx.h.client_ctx, password_give);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, TLS_V12);
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
}

static void done(void) {
    unlink(srp_file);
    fx_fini();
}

TestSuite(tls_srp, .init = set_up, .fini = done);

static bool shake_with(char *user, const char *suites, SSL_SESSION *offer) {
    SSL_CTX_set_srp_username(fx.h.client_ctx, user);
    SSL_CTX_set_cipher_list(fx.h.client_ctx, suites);
    harness_connect(&fx.h, offer);
    return harness_handshake(&fx.h);
}

static bool shake(char *user, const char *suites) {
    return shake_with(user, suites, NULL);
}

static void end(void) {
    SSL_shutdown(fx.h.client);
    harness_disconnect(&fx.h);
}

Test(tls_srp, without_any_certificate) {
    static const char *const suites[] = {"SRP-AES-128-CBC-SHA", "SRP-AES-256-CBC-SHA"};

    cr_assert(fx_load(), "%s", fx.error);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++) {
        cr_assert(shake("device-1", suites[i]), "%s: %d", suites[i], fx.h.error);
        const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
        cr_assert_not_null(id);
        cr_expect_str_eq(id->psk, "device-1");
        cr_expect(!id->certificate);
        struct tls_info info;
        tls_conn_info(&fx.h.core, fx.h.id, &info);
        cr_expect(!info.taken_over, "CBC stays with libssl");
        harness_receive(&fx.h, 3000);
        harness_send(&fx.h, 3000, 1000);
        end();
    }
}

Test(tls_srp, beside_an_rsa_certificate) {
    fx_add(KEY_RSA, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(shake("device-1", "SRP-RSA-AES-128-CBC-SHA"), "%d", fx.h.error);
    cr_expect_eq(fx_served(), 0);
    end();
    cr_assert(shake(NULL, "ECDHE+AESGCM"), "others are served as ever: %d", fx.h.error);
    cr_expect_null(tls_conn_identity(&fx.h.core, fx.h.id));
    end();
}

/* An unknown user and a wrong password fail alike. */
Test(tls_srp, unknown_and_wrong_look_alike) {
    int last[2];

    cr_assert(fx_load(), "%s", fx.error);
    for (int unknown = 0; unknown < 2; unknown++) {
        password = unknown ? "correct horse" : "wrong";
        cr_expect(!shake(unknown ? "device-2" : "device-1", "SRP"));
        cr_expect_eq(fx.h.error, -TLS_DROP_HS_SRP, "%d: %d", unknown, fx.h.error);
        ERR_clear_error();
        SSL_do_handshake(fx.h.client);
        last[unknown] = ERR_GET_REASON(ERR_peek_last_error());
        ERR_clear_error();
        end();
    }
    cr_expect_eq(last[0], last[1], "%d, %d", last[0], last[1]);
    cr_expect_gt(last[0], SSL_AD_REASON_OFFSET);
}

/* A user who is taken out of the file, or has another password, has to prove it anew. */
Test(tls_srp, session_ends_with_its_verifier) {
    for (int gone = 0; gone < 2; gone++) {
        user_write("device-1", "correct horse");
        cr_assert(fx_load(), "%s", fx.error);
        cr_assert(shake("device-1", "SRP"));
        SSL_SESSION *made = SSL_SESSION_dup(SSL_get_session(fx.h.client));
        end();
        cr_assert(fx_load(), "%s", fx.error);
        cr_assert(shake_with("device-1", "SRP", made));
        cr_expect(SSL_session_reused(fx.h.client));
        cr_expect_str_eq(tls_conn_identity(&fx.h.core, fx.h.id)->psk, "device-1");
        end();
        user_write(gone ? "device-2" : "device-1", "battery staple");
        cr_assert(fx_load(), "%s", fx.error);
        cr_expect(!shake_with("device-1", "SRP", made), "%d", gone);
        end();
        SSL_SESSION_free(made);
    }
}

static char *salt_seen;
static int groups_seen(SSL *ssl, void *arg) {
    (void)arg;
    OPENSSL_free(salt_seen);
    salt_seen = BN_bn2hex(SSL_get_srp_N(ssl));
    return 1;
}

/* What a stranger is shown is shown again, and has the group of those that exist. */
Test(tls_srp, unknown_users_have_the_group_of_others) {
    SSL_CTX_set_srp_verify_param_callback(fx.h.client_ctx, groups_seen);
    cr_assert(fx_load(), "%s", fx.error);
    char *first = NULL;
    static char *const users[] = {"device-1", "device-2"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(users); i++) {
        (void)shake(users[i], "SRP");
        cr_assert_not_null(salt_seen);
        if (first)
            cr_expect_str_eq(salt_seen, first);
        OPENSSL_free(first);
        first = OPENSSL_strdup(salt_seen);
        end();
    }
    OPENSSL_free(first);
    OPENSSL_free(salt_seen);
}

Test(tls_srp, names_that_are_no_text) {
    cr_assert(fx_load(), "%s", fx.error);
    char longest[TLS_PSK_NAME_MAX + 2];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    cr_expect(!shake(longest, "SRP"));
    cr_expect_eq(fx.h.error, -TLS_DROP_HS_SRP, "%d", fx.h.error);
    end();
    cr_expect(!shake("a\nb", "SRP"));
    end();
}

/* Where a certificate is required of all others. */
Test(tls_srp, sessions_where_certificates_are_required) {
    fx_add(KEY_EC, "DNS:a.example");
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_REQUIRED;
    fx.config.client_ca_file = fx.certificate[0];
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(shake("device-1", "SRP"), "%d", fx.h.error);
    SSL_SESSION *made = SSL_SESSION_dup(SSL_get_session(fx.h.client));
    end();
    cr_expect(shake_with("device-1", "SRP", made), "%d", fx.h.error);
    cr_expect(SSL_session_reused(fx.h.client));
    end();
    SSL_SESSION_free(made);
}

Test(tls_srp, bad_file_on_reload) {
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(shake("device-1", "SRP"));
    SSL_SESSION *made = SSL_SESSION_dup(SSL_get_session(fx.h.client));
    end();
    file_write("");
    for (int again = 0; again < 2; again++) {
        cr_assert(fx_load(), "%s", fx.error);
        cr_expect(fx.refusals == 1 && strstr(fx.told, srp_file) && strstr(fx.told, "no user in it"), "%s", fx.told);
        cr_expect(shake_with("device-1", "SRP", again ? made : NULL), "%d", fx.h.error);
        cr_expect_eq(SSL_session_reused(fx.h.client), again);
        end();
    }
    fx.config.srp_file = "/nowhere/srp";
    cr_expect(!fx_load() && strstr(fx.error, "srp_file /nowhere/srp"), "%s", fx.error);
    SSL_SESSION_free(made);
}

Test(tls_srp, files_that_are_refused) {
    static const struct {
        const char *text, *says;
    } files[] = {{"", "no user in it"}, {"device-1:secret\n", "no"}, {"V\tnot base 64!\t\t\t\t\n", "no"}};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(files); i++) {
        file_write(files[i].text);
        cr_expect_null(tls_srp_new(srp_file, error, sizeof(error)), "%zu", i);
        cr_expect(strstr(error, srp_file) && strstr(error, files[i].says), "%zu: %s", i, error);
    }
    unlink(srp_file);
    cr_expect_null(tls_srp_new(srp_file, error, sizeof(error)));
    cr_expect(strstr(error, "No such file"), "%s", error);
    cr_expect_null(tls_srp_new("/tmp", error, sizeof(error)));
    cr_expect(strstr(error, "directory"), "%s", error);
    tls_srp_unref(NULL);
}

/* A user whose verifier this process knows from the file alone; a child, which makes it, tells what to search for. */
static void user_of_a_child(const char *name, struct needle *needle) {
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        uint8_t words[512];
        user_write(name, password);
        SRP_VBASE *users = SRP_VBASE_new(NULL);
        SRP_VBASE_init(users, srp_file);
        const BIGNUM *v = sk_SRP_user_pwd_value(users->users_pwd, 0)->v;
        BN_bn2lebinpad(v, words, BN_num_bytes(v));
        needle_set(needle, words + 64, NULL);
        (void)!write(ends[1], needle->inverted, sizeof(needle->inverted));
        _exit(0);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], needle->inverted, sizeof(needle->inverted)), sizeof(needle->inverted));
    needle->what = "a verifier";
    close(ends[0]);
    waitpid(child, NULL, 0);
}

/* Whoever has a verifier can be the server. */
Test(tls_srp, verifiers_are_locked_and_not_dumped) {
    struct needle needles[NEEDLES] = {0};

    cr_assert(ours);
    user_of_a_child("device-2", needles);
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(shake("device-2", "SRP-AES-128-CBC-SHA"), "%s", tls_drop_name((enum tls_drop) - fx.h.error));
    struct hits during = memory_search(needles);
    cr_expect_gt(during.guarded, 1, "the file's, and the handshake's");
    cr_expect_eq(during.in_dumps, 0, "%s is in %s", during.what, during.where);
    end();
    uint32_t none;
    (void)tls_poll(&fx.h.core, 8, &none, 1); /* the SSL object goes */
    struct hits alive = memory_search(needles);
    cr_expect_gt(alive.guarded, 0, "the search finds what is there");
    cr_expect_eq(alive.in_dumps, 0, "%s is in %s", alive.what, alive.where);
    tls_ctx_unref(fx.h.ctx);
    fx.h.ctx = NULL;
    struct hits ended = memory_search(needles);
    cr_expect_eq(ended.guarded + ended.in_dumps, 0, "%s is left in %s", ended.what, ended.where);
}
