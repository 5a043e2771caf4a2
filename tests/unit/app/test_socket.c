/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line's socket: rights, what is taken over and what is not. */
#include "weir/control_int.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[32], path[64], error[512];

static void setup(void) {
    strcpy(folder, "/tmp/weir-socket-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/weir.sock", folder);
}

static void teardown(void) {
    unlink(path);
    rmdir(folder);
}

TestSuite(socket, .init = setup, .fini = teardown);

static int open_it(void) {
    error[0] = '\0';
    return socket_open(path, error, sizeof(error));
}

static int connect_it(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, sizeof(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int rc = connect(fd, (const struct sockaddr *)&a, sizeof(a));
    close(fd);
    return rc;
}

Test(socket, listens_with_rights_for_owner_and_group) {
    struct stat st;
    mode_t mask = umask(0);
    int fd = open_it();
    umask(mask);
    cr_assert_geq(fd, 0, "%s", error);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect(S_ISSOCK(st.st_mode));
    cr_expect_eq(st.st_mode & 0777, 0660);
    cr_expect_eq(connect_it(), 0);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

Test(socket, a_stale_one_is_taken_over) {
    int fd = open_it();
    cr_assert_geq(fd, 0);
    close(fd); /* as after kill -9: the file stays */
    fd = open_it();
    cr_assert_geq(fd, 0, "%s", error);
    cr_expect_eq(connect_it(), 0);
    close(fd);
}

Test(socket, a_living_one_is_not) {
    int first = open_it();
    cr_assert_geq(first, 0);
    cr_expect_eq(open_it(), -1);
    cr_expect(strstr(error, path) != NULL && strstr(error, "another weir") != NULL, "%s", error);
    cr_expect_eq(connect_it(), 0, "the first one's socket is gone");
    close(first);
}

Test(socket, another_file_stays) {
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(write(file, "x", 1), 1);
    close(file);
    cr_expect_eq(open_it(), -1);
    cr_expect(strstr(error, path) != NULL, "%s", error);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0, "a file that is no socket was removed");
    cr_expect(S_ISREG(st.st_mode) && st.st_size == 1);
}

Test(socket, its_folder_is_made) {
    char parent[sizeof(path)];
    snprintf(parent, sizeof(parent), "%s/run", folder);
    snprintf(path, sizeof(path), "%s/run/weir.sock", folder);
    int fd = open_it();
    cr_assert_geq(fd, 0, "%s", error);
    close(fd);
    unlink(path);
    cr_expect_eq(rmdir(parent), 0);
}

Test(socket, no_such_parent) {
    snprintf(path, sizeof(path), "%s/no/such/weir.sock", folder);
    cr_expect_eq(open_it(), -1);
    cr_expect(strstr(error, path) != NULL && strstr(error, "No such file") != NULL, "%s", error);
}

Test(socket, too_long) {
    char longer[256];
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    cr_expect_eq(socket_open(longer, error, sizeof(error)), -1);
    cr_expect(strstr(error, "107") != NULL, "%s", error);
}
