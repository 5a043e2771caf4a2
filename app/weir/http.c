/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_int.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <string.h>

#define HTTP_CONNECTIONS 16u
#define HTTP_TIMEOUT_S   10u

static enum MHD_Result answer(struct MHD_Connection *conn, unsigned status, const char *type, void *body, size_t n,
                              enum MHD_ResponseMemoryMode mode) {
    struct MHD_Response *r = MHD_create_response_from_buffer(n, body, mode);
    if (r == NULL)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) /* RFC 9110 15.5.6 */
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result rc = MHD_queue_response(conn, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result text(struct MHD_Connection *conn, unsigned status, const char *body) {
    return answer(conn, status, "text/plain; charset=utf-8", (void *)(uintptr_t)body, strlen(body),
                  MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result metrics(struct MHD_Connection *conn, const struct control *c) {
    size_t n = 0;
    char *body = metrics_text(&c->source, &n);
    if (body == NULL)
        return text(conn, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    return answer(conn, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", body, n, MHD_RESPMEM_MUST_FREE);
}

/* Healthy: every worker turns and weir is not draining, so that a balancer in front stops sending clients in time. */
static enum MHD_Result healthz(struct MHD_Connection *conn, const struct control *c) {
    if (c->draining)
        return text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "draining\n");
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        if (c->stalled[i])
            return text(conn, MHD_HTTP_SERVICE_UNAVAILABLE, "a worker is stalled\n");
    return text(conn, MHD_HTTP_OK, "ok\n");
}

static enum MHD_Result serve(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
                             const char *version, const char *upload, size_t *upload_bytes, void **request) {
    const struct control *c = cls;
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return text(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
    if (strcmp(url, "/metrics") == 0)
        return metrics(conn, c);
    if (strcmp(url, "/healthz") == 0)
        return healthz(conn, c);
    return text(conn, MHD_HTTP_NOT_FOUND, "weir serves /metrics and /healthz\n");
}

struct MHD_Daemon *http_start(struct control *c, uint32_t addr_be, uint16_t port_be, char *error, size_t error_bytes) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = port_be, .sin_addr.s_addr = addr_be};
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, ntohs(port_be), NULL, NULL, serve, c,
                                            MHD_OPTION_SOCK_ADDR, &a, MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS,
                                            MHD_OPTION_CONNECTION_TIMEOUT, HTTP_TIMEOUT_S, MHD_OPTION_END);
    if (d == NULL) {
        char addr[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &addr_be, addr, sizeof(addr));
        snprintf(error, error_bytes,
                 "control.http: cannot listen on %s:%u (%m); is another weir running, or is the "
                 "address missing on this host?",
                 addr, ntohs(port_be));
    }
    return d;
}

void http_stop(struct MHD_Daemon *d) {
    if (d != NULL)
        MHD_stop_daemon(d);
}
