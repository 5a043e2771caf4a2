/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of ticket keys: both lengths, the order, and what is refused with its line. */
#include "harness.h"
#include "tls/tls_ticket_keys.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

static char path[] = "/tmp/weir-ticket-keys-XXXXXX", error[256];
static struct tls_ticket_set set;

static void make(void) {
    close(mkstemp(path));
}

static void gone(void) {
    unlink(path);
}

TestSuite(tls_ticket_file, .init = make, .fini = gone);

static bool read_text(const char *text) {
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    error[0] = 0;
    memset(&set, 0, sizeof(set));
    return tls_ticket_file_read(path, &set, error, sizeof(error));
}

/* A line of `n` bytes that begin with `first` and count up. */
static const char *line_of(uint8_t first, int n) {
    static char lines[16][256];
    static unsigned next;
    char *line = lines[next++ % 16];
    uint8_t raw[128];
    for (int i = 0; i < n; i++)
        raw[i] = (uint8_t)(first + i);
    EVP_EncodeBlock((unsigned char *)line, raw, n);
    strcat(line, "\n");
    return line;
}

static const char *joined(const char *a, const char *b, const char *c) {
    static char text[1024];
    snprintf(text, sizeof(text), "%s%s%s", a, b, c);
    return text;
}

Test(tls_ticket_file, both_lengths_as_haproxy_and_nginx_lay_them_out) {
    cr_assert(read_text(joined("# of the fleet\n\n", line_of(1, 80), line_of(100, 48))), "%s", error);
    cr_expect_eq(set.n, 2);
    cr_expect(set.keys[0].name[0] == 1 && set.keys[0].bytes == 32);
    cr_expect(set.keys[0].hmac[0] == 17 && set.keys[0].aes[0] == 49, "80: name, HMAC, AES-256");
    cr_expect(set.keys[1].name[0] == 100 && set.keys[1].bytes == 16);
    cr_expect(set.keys[1].aes[0] == 116 && set.keys[1].hmac[0] == 132, "48: name, AES-128, HMAC");
}

Test(tls_ticket_file, the_last_but_one_seals) {
    cr_assert(read_text(line_of(1, 80)));
    cr_expect_eq(set.seals, 0);
    cr_assert(read_text(joined(line_of(1, 80), line_of(2, 80), "")));
    cr_expect_eq(set.seals, 0);
    cr_assert(read_text(joined(line_of(1, 80), line_of(2, 80), line_of(3, 80))));
    cr_expect_eq(set.seals, 1);
}

Test(tls_ticket_file, of_too_many_the_last_count) {
    char text[2048] = "";
    for (uint8_t i = 0; i < TLS_TICKET_KEYS_MAX + 2; i++)
        strcat(text, line_of(i, 80));
    cr_assert(read_text(text));
    cr_expect_eq(set.n, TLS_TICKET_KEYS_MAX);
    cr_expect_eq(set.keys[0].name[0], 2);
    cr_expect_eq(set.keys[set.n - 1].name[0], TLS_TICKET_KEYS_MAX + 1);
}

Test(tls_ticket_file, the_last_line_needs_no_end) {
    char text[256];
    snprintf(text, sizeof(text), "%s", line_of(1, 80));
    text[strlen(text) - 1] = '\0';
    cr_expect(read_text(text), "%s", error);
}

static void refused(const char *text, unsigned line, const char *what) {
    char place[64];
    cr_expect(!read_text(text), "%s", text);
    snprintf(place, sizeof(place), line ? "ticket_keys %s:%u: " : "ticket_keys %s: ", path, line);
    cr_expect(strncmp(error, place, strlen(place)) == 0 && strstr(error, what), "%s", error);
}

/* What a complaint says makes keys does so. `command` ends with a bracket. */
static void command_makes_a_key(char *command) {
    char whole[512];

    *strrchr(command, ')') = '\0';
    snprintf(whole, sizeof(whole), "(%s) >%s 2>/dev/null", command, path);
    cr_expect_eq(system(whole), 0);
    cr_expect(tls_ticket_file_read(path, &set, error, sizeof(error)), "%s", command);
}

Test(tls_ticket_file, refuses) {
    char zero[128], longer[400];
    uint8_t none[80] = {1};
    EVP_EncodeBlock((unsigned char *)zero, none, 80);
    memset(longer, 'A', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    refused("", 0, "no key");
    refused("# nothing\n", 0, "no key");
    refused(joined(line_of(1, 80), "no base64!\n", ""), 2, "not a key");
    refused(line_of(1, 47), 1, "not a key");
    refused(line_of(1, 81), 1, "not a key");
    command_makes_a_key(strchr(error, '(') + 1);
    refused(zero, 1, "not a key"); /* never zero */
    refused(longer, 1, "not a key");
    refused(joined(line_of(1, 80), line_of(1, 48), ""), 2, "of that name");
    unlink(path);
    cr_expect(!tls_ticket_file_read(path, &set, error, sizeof(error)));
    cr_expect(strstr(error, "No such file"), "%s", error);
}
