/* SPDX-License-Identifier: BSD-3-Clause */
#include "cert_watch.h"

#include "snapshot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel's: more is a loop */
#define EVENTS                                                                                                         \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct watched {
    const char *path; /* of the configuration */
    uint64_t entry;   /* its bit */
    struct stat seen; /* zero: not there */
};

struct cert_watch {
    struct watched *files;
    uint32_t n;
    int fd;
    uint64_t first_us, last_us; /* events that were not acted on yet; 0: none */
    uint64_t looked_us;
};

/* --- folders --- */

/* Put `target`, a link's text found in folder `path` (its first `n` bytes), in place of what is left: absolute, or
 * behind that folder; `rest` follows. Returns false: too long. */
static bool link_follow(char path[PATH_MAX], size_t n, const char *target, const char *rest) {
    char joined[PATH_MAX];
    int len = target[0] == '/' ? snprintf(joined, sizeof(joined), "%s%s", target, rest)
                               : snprintf(joined, sizeof(joined), "%.*s/%s%s", (int)n, path, target, rest);
    if (len < 0 || (size_t)len >= sizeof(joined))
        return false;
    memcpy(path, joined, (size_t)len + 1);
    return true;
}

/* Watch the folder of each component that is a link, and of the last one. */
static void folders_watch(int fd, const char *file) {
    char path[PATH_MAX], target[PATH_MAX];
    snprintf(path, sizeof(path), "%s", file);
    int links = 0;
    for (char *slash = path; slash != NULL && links < LINKS_MAX;) {
        char *end = strchr(slash + 1, '/');
        char rest[PATH_MAX] = "";
        if (end != NULL) {
            snprintf(rest, sizeof(rest), "%s", end);
            *end = '\0';
        }
        ssize_t n = readlink(path, target, sizeof(target) - 1);
        if (n > 0 || end == NULL) { /* the folder in front of `slash`, "/" where that is the first byte */
            char folder[PATH_MAX];
            snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
            (void)inotify_add_watch(fd, folder, EVENTS);
        }
        if (n > 0) {
            target[n] = '\0';
            links++;
            if (!link_follow(path, (size_t)(slash - path), target, rest))
                return;
            slash = path; /* from the root again: a link may lead anywhere */
            continue;
        }
        if (end != NULL)
            *end = '/';
        slash = end;
    }
}

/* All folders anew: links may lead elsewhere now. */
static void watches_make(struct cert_watch *w) {
    if (w->fd >= 0)
        close(w->fd);
    w->fd = w->n > 0 ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    for (uint32_t i = 0; i < w->n && w->fd >= 0; i++)
        folders_watch(w->fd, w->files[i].path);
}

/* --- files --- */

static bool same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Entries with a file that is not what it was. */
static uint64_t files_look(struct cert_watch *w) {
    uint64_t changed = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        struct watched *f = &w->files[i];
        struct stat now = {0};
        if (stat(f->path, &now) != 0)
            now = (struct stat){0};
        if (!same(&now, &f->seen))
            changed |= f->entry;
        f->seen = now;
    }
    return changed;
}

static void file_add(struct cert_watch *w, const char *path, uint64_t entry) {
    if (path != NULL)
        w->files[w->n++] = (struct watched){.path = path, .entry = entry};
}

struct cert_watch *cert_watch_new(const struct config *config) {
    struct cert_watch *w = calloc(1, sizeof(*w));
    size_t n = 1;
    for (uint16_t i = 0; i < config->n_tls; i++)
        n += 3u * config->tls[i].n_certificates + 4u;
    n += 3u * config->n_pools;
    if (w == NULL || (w->files = calloc(n, sizeof(*w->files))) == NULL) {
        free(w);
        return NULL;
    }
    for (uint16_t i = 0; i < config->n_tls; i++) {
        const struct config_tls *t = &config->tls[i];
        for (uint16_t c = 0; c < t->n_certificates && t->watch; c++) {
            file_add(w, t->certificates[c].certificate, SNAPSHOT_TLS(i));
            file_add(w, t->certificates[c].key, SNAPSHOT_TLS(i));
            file_add(w, t->certificates[c].ocsp, SNAPSHOT_TLS(i));
        }
        if (t->watch) {
            file_add(w, t->client_ca, SNAPSHOT_TLS(i));
            file_add(w, t->client_crl, SNAPSHOT_TLS(i));
            file_add(w, t->ticket_keys, SNAPSHOT_TLS(i));
            file_add(w, t->psk_file, SNAPSHOT_TLS(i));
            file_add(w, t->srp_file, SNAPSHOT_TLS(i));
        }
    }
    for (uint16_t i = 0; i < config->n_pools; i++) {
        const struct config_pool_tls *t = &config->pools[i].tls;
        file_add(w, t->ca, SNAPSHOT_POOL(i));
        file_add(w, t->certificate, SNAPSHOT_POOL(i));
        file_add(w, t->key, SNAPSHOT_POOL(i));
    }
    w->fd = -1;
    watches_make(w);
    (void)files_look(w);
    return w;
}

void cert_watch_free(struct cert_watch *w) {
    if (w == NULL)
        return;
    if (w->fd >= 0)
        close(w->fd);
    free(w->files);
    free(w);
}

int cert_watch_fd(const struct cert_watch *w) {
    return w->fd;
}

void cert_watch_read(struct cert_watch *w, uint64_t now_us) {
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;
    while (read(w->fd, events, sizeof(events)) > 0) /* what happened does not matter: the files themselves tell */
        any = true;
    if (!any)
        return;
    if (w->first_us == 0)
        w->first_us = now_us;
    w->last_us = now_us;
}

uint64_t cert_watch_due(struct cert_watch *w, uint64_t now_us) {
    bool event = w->first_us != 0 &&
                 (now_us - w->last_us >= CERT_WATCH_QUIET_US || now_us - w->first_us >= CERT_WATCH_PATIENCE_US);
    if (w->n == 0 || (!event && now_us - w->looked_us < CERT_WATCH_LOOK_US))
        return 0;
    w->looked_us = now_us;
    w->first_us = w->last_us = 0;
    watches_make(w); /* first, so that a change behind the look is seen */
    return files_look(w);
}
