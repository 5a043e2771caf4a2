/* SPDX-License-Identifier: BSD-3-Clause */
/* Configurations that lie in files: what cannot be read, and those of the documentation. */
#include "config_fixture.h"

#include <dirent.h>

TestSuite(config_files, .init = set_up, .fini = tear_down);

static const char *write_config(const char *text, size_t len) {
    static char path[128];
    snprintf(path, sizeof(path), "%s/weir.yaml", folder);
    FILE *f = fopen(path, "w");
    cr_assert(f);
    cr_assert(fwrite(text, 1, len, f) == len);
    fclose(f);
    return path;
}

Test(config_files, loaded_or_said_why_not) {
    struct config *c;
    struct config_error e;
    char line[1200];
    cr_expect(config_load("/nowhere/weir.yaml", &c, &e) == WEIR_EIO && !c);
    cr_expect_str_eq(config_error_format(&e, line, sizeof(line)),
                     "weir: /nowhere/weir.yaml: cannot be read: No such file or directory (name the configuration file "
                     "with -c FILE)");
    cr_expect(config_load(folder, &c, &e) == WEIR_EIO && strstr(e.message, "Is a directory"));

    static char large[CONFIG_FILE_MAX + 2];
    memset(large, '#', sizeof(large));
    cr_expect(config_load(write_config(large, sizeof(large)), &c, &e) == WEIR_EIO && strstr(e.message, "1 MiB"));

    static const char text[] = "ports: [{name: lab, device: net_tap0, addresses: [198.18.0.1/24]}]\n"
                               "tls: [{name: t, certificate: server.crt, key: ./server.key}]\n"
                               "listeners: [{name: echo, address: \"198.18.0.1:7\", mode: echo, tls: t}]\n";
    cr_assert(config_load(write_config(text, strlen(text)), &c, &e) == 0, "%s", e.message);
    cr_expect(c->tls[0].certificates[0].key[0] == '/' && access(c->tls[0].certificates[0].key, R_OK) == 0);
    config_free(c);
    config_free(NULL);
}

/* The documentation's own configurations, with certificates beside them, as --check would see them. */
static void example_passes(const char *path) {
    static char text[65536];
    struct config *c;
    struct config_error e;
    char line[1200];
    FILE *f = fopen(path, "r");
    cr_assert(f, "%s", path);
    size_t len = fread(text, 1, sizeof(text), f);
    fclose(f);
    const struct config_source source = {text, len, path, folder};
    int rc = config_parse_on(&source, eight_cpus, &c, &e);
    cr_assert(rc == 0, "%s", config_error_format(&e, line, sizeof(line)));
    for (unsigned i = 0; i < c->n_warnings; i++)
        cr_expect(strstr(path, "docs/"), "%s", c->warnings[i]);
    config_free(c);
}

Test(config_files, examples_pass) {
    char path[512];
    unsigned n = 0;
    example_passes(WEIR_SOURCE_ROOT "/docs/weir.example.yaml");
    DIR *d = opendir(WEIR_SOURCE_ROOT "/drivers-config");
    cr_assert(d);
    for (struct dirent *entry; (entry = readdir(d));) {
        if (!strstr(entry->d_name, ".yaml"))
            continue;
        snprintf(path, sizeof(path), "%s/drivers-config/%s", WEIR_SOURCE_ROOT, entry->d_name);
        example_passes(path);
        n++;
    }
    closedir(d);
    cr_expect(n >= 8, "TAP, AF_XDP, virtio-user, vhost, memif, ixgbe, i40e, ice");
}
