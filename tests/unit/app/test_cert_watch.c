/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of files and of the links that lead to them, on a real file system and with a clock of the test's own. */
#include "weir/cert_watch.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static struct config config;
static struct config_certificate certificates[2];
static struct cert_watch *watch;
static uint64_t now_us = 1000000;

static char *path_of(const char *name) {
    char *path;
    cr_assert(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

static void write_file(const char *name, const char *text) {
    char *path = path_of(name);
    FILE *f = fopen(path, "w");
    cr_assert(f, "%s", path);
    fputs(text, f);
    fclose(f);
    free(path);
}

static void make_link(const char *target, const char *name) {
    char *temporary, *path = path_of(name);
    cr_assert(asprintf(&temporary, "%s.tmp", path) > 0); /* beside it: no other folder has an event */
    cr_assert_eq(symlink(target, temporary), 0);
    cr_assert_eq(rename(temporary, path), 0);
    free(temporary);
    free(path);
}

static void set_up(void) {
    strcpy(folder, "/tmp/weir-watch-XXXXXX");
    cr_assert(mkdtemp(folder));
    write_file("server.crt", "not looked into");
    write_file("server.key", "not looked into");
}

/* Two entries of one certificate each. */
static void begin(const char *certificate, const char *key) {
    config.n_tls = 2;
    certificates[0] = (struct config_certificate){.certificate = path_of(certificate), .key = path_of(key)};
    certificates[1] = (struct config_certificate){.certificate = path_of("server.crt"), .key = path_of("server.key")};
    for (int i = 0; i < 2; i++) {
        config.tls[i].certificates = &certificates[i];
        config.tls[i].n_certificates = 1;
        config.tls[i].watch = true;
    }
    watch = cert_watch_new(&config);
    cr_assert_not_null(watch);
    cr_assert_eq(cert_watch_due(watch, now_us), 0);
}

static bool told(void) {
    struct pollfd p = {.fd = cert_watch_fd(watch), .events = POLLIN};
    if (poll(&p, 1, 0) != 1)
        return false;
    cert_watch_read(watch, now_us);
    return true;
}

/* What is due after the files have been quiet. */
static uint32_t settle(void) {
    cr_expect(told(), "an event");
    cr_expect_eq(cert_watch_due(watch, now_us += CERT_WATCH_QUIET_US - 1), 0, "not quiet yet");
    return cert_watch_due(watch, now_us += 1);
}

static void end(void) {
    cert_watch_free(watch);
    for (int i = 0; i < 2; i++) {
        free(certificates[i].certificate);
        free(certificates[i].key);
    }
    char *command;
    cr_assert(asprintf(&command, "rm -rf '%s'", folder) > 0 && system(command) == 0);
    free(command);
}

TestSuite(cert_watch, .init = set_up, .fini = end);

Test(cert_watch, file_written_or_replaced) {
    write_file("a.crt", "1");
    write_file("a.key", "1");
    begin("a.crt", "a.key");
    write_file("a.crt", "22");
    cr_expect_eq(settle(), 1);
    cr_expect_eq(cert_watch_due(watch, now_us += CERT_WATCH_QUIET_US), 0, "once");
    write_file("new", "333");
    char *from = path_of("new"), *to = path_of("server.key");
    cr_assert_eq(rename(from, to), 0);
    cr_expect_eq(settle(), 2);
    cr_assert_eq(unlink(to), 0);
    cr_expect_eq(settle(), 2, "one that is gone is a change");
    free(from);
    free(to);
}

Test(cert_watch, other_files_of_the_folder_do_not_matter) {
    write_file("a.crt", "1");
    write_file("a.key", "1");
    begin("a.crt", "a.key");
    write_file("unrelated", "1");
    cr_expect_eq(settle(), 0);
}

/* certbot: live/a.crt is a link to ../archive/a1.crt, and then to ../archive/a2.crt. */
Test(cert_watch, link_to_a_file_swapped) {
    char *live = path_of("live"), *archive = path_of("archive");
    mkdir(live, 0700);
    mkdir(archive, 0700);
    write_file("archive/a1.crt", "1");
    write_file("archive/a1.key", "1");
    make_link("../archive/a1.crt", "live/a.crt");
    make_link("../archive/a1.key", "live/a.key");
    begin("live/a.crt", "live/a.key");
    write_file("archive/a2.crt", "22");
    cr_expect_eq(settle(), 0, "nobody points there yet");
    make_link("../archive/a2.crt", "live/a.crt");
    cr_expect_eq(settle(), 1);
    write_file("archive/a2.crt", "333");
    cr_expect_eq(settle(), 1, "the file behind the new link is watched");
    free(live);
    free(archive);
}

static void make_releases(void) {
    static const char *const names[] = {"..1", "..2"};
    for (int i = 0; i < 2; i++) {
        char *release = path_of(names[i]), file[64];
        mkdir(release, 0700);
        free(release);
        snprintf(file, sizeof(file), "%s/tls.crt", names[i]);
        write_file(file, i ? "22" : "1");
        snprintf(file, sizeof(file), "%s/tls.key", names[i]);
        write_file(file, i ? "22" : "1");
    }
}

/* Kubernetes: tls.crt is a link to ..data/tls.crt, and ..data one to a folder, which is swapped. */
Test(cert_watch, link_to_a_folder_swapped) {
    make_releases();
    make_link("..1", "..data");
    make_link("..data/tls.crt", "tls.crt");
    make_link("..data/tls.key", "tls.key");
    begin("tls.crt", "tls.key");
    make_link("..2", "..data");
    cr_expect_eq(settle(), 1);
    make_link("..1", "..data");
    cr_expect_eq(settle(), 1);
}

/* No file is a link, but a folder on the way is: nothing else is watched in the folder that this one lies in. */
Test(cert_watch, link_on_the_way_swapped) {
    char *site = path_of("site");
    mkdir(site, 0700);
    free(site);
    make_releases();
    make_link("../..1", "site/current");
    begin("site/current/tls.crt", "site/current/tls.key");
    make_link("../..2", "site/current");
    cr_expect_eq(settle(), 1);
    make_link("../..1", "site/current");
    cr_expect_eq(settle(), 1, "watched again behind the first swap");
}

Test(cert_watch, patience_ends) {
    write_file("a.crt", "1");
    write_file("a.key", "1");
    begin("a.crt", "a.key");
    uint32_t due = 0;
    uint64_t start_us = now_us;
    while (due == 0 && now_us - start_us < 2 * CERT_WATCH_PATIENCE_US) {
        char text[24];
        snprintf(text, sizeof(text), "%lu", (unsigned long)now_us);
        write_file("a.crt", text);
        cr_assert(told());
        due = cert_watch_due(watch, now_us += CERT_WATCH_QUIET_US / 2);
    }
    cr_expect_eq(due, 1);
    cr_expect(now_us - start_us <= CERT_WATCH_PATIENCE_US + CERT_WATCH_QUIET_US);
}

Test(cert_watch, a_look_now_and_then_without_events) {
    write_file("a.crt", "1");
    write_file("a.key", "1");
    begin("a.crt", "a.key");
    write_file("a.crt", "22");
    cr_expect_eq(cert_watch_due(watch, now_us += CERT_WATCH_QUIET_US), 0, "nobody read the events");
    cr_expect_eq(cert_watch_due(watch, now_us += CERT_WATCH_LOOK_US), 1);
}

Test(cert_watch, off) {
    begin("server.crt", "server.key");
    cert_watch_free(watch);
    config.tls[0].watch = config.tls[1].watch = false;
    watch = cert_watch_new(&config);
    cr_expect_eq(cert_watch_fd(watch), -1);
    cr_expect_eq(cert_watch_due(watch, 10 * CERT_WATCH_LOOK_US), 0);
}
