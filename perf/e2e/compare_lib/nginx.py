# SPDX-License-Identifier: BSD-3-Clause
"""NGINX's stream module, set up as its documentation advises for TLS termination on one core: one worker, shared session
cache and tickets, a backlog that takes a storm, multi_accept, no logging, TCP_NODELAY (its default), buffers of the default
16 KB.

It balances by turns, which is the least it can do; weir reads CONNECT and picks by client-id."""
from kernel_server import KernelServer

CONFIG = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {files};
pid {pid};
error_log {log} error;

events {{
    use epoll;
    worker_connections {files};
    multi_accept on;
}}

stream {{
    access_log off;
    tcp_nodelay on;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519:prime256v1;
    ssl_session_cache shared:mqtts:10m;
    ssl_session_tickets on;
    ssl_session_timeout 1h;
    ssl_handshake_timeout 30s;
    proxy_connect_timeout 10s;
    proxy_timeout 1h;

    upstream brokers {{
{servers}    }}

    server {{
        listen {front}:{port} ssl backlog=65535;
        proxy_pass brokers;
    }}
}}
"""


class Nginx(KernelServer):
    name = "nginx"
    title = "NGINX stream"
    program = "/usr/sbin/nginx"

    def configure(self):
        servers = "".join(f"        server {broker} max_fails=0;\n" for broker in self.brokers)
        return CONFIG.format(files=2 * self.connections + 400, pid=self.path("pid"), log=self.path("error.log"),
                             certificate=self.lab.certs.certificate(self.certificate),
                             key=self.lab.certs.key(self.certificate), servers=servers, front=self.front, port=self.port)

    def command(self):
        return [self.program, "-p", self.lab.folder, "-c", self.config_path]

    @staticmethod
    def version():
        return KernelServer.first_match([Nginx.program, "-v"], r"nginx/(\d+\.\d+\.\d+)")
