# SPDX-License-Identifier: BSD-3-Clause
"""HAProxy, set up as its configuration manual advises for TLS offload on one core: one thread, session cache and tickets,
a backlog that takes a storm, no logging, no health checks, TCP_NODELAY (its default), buffers of the default 16 KB.

It balances by turns, which is the least it can do; weir reads CONNECT and picks by client-id."""
from kernel_server import KernelServer

CONFIG = """\
global
    nbthread 1
    maxconn {maxconn}
    ssl-default-bind-options ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
    ssl-default-bind-curves X25519:P-256
    tune.ssl.cachesize 20000
    tune.ssl.lifetime 3600

defaults
    mode tcp
    maxconn {maxconn}
    option tcp-smart-accept
    option tcp-smart-connect
    timeout connect 10s
    timeout client 1h
    timeout server 1h

frontend mqtts
    bind {front}:{port} ssl crt {pem} backlog 65535
    default_backend brokers

backend brokers
    balance roundrobin
"""


class HAProxy(KernelServer):
    name = "haproxy"
    title = "HAProxy"
    program = "/usr/sbin/haproxy"

    def configure(self):
        lab = self.lab
        pem = self.path("pem")
        with open(pem, "w", encoding="ascii") as out:
            for part in (lab.certs.certificate(self.certificate), lab.certs.key(self.certificate)):
                with open(part, encoding="ascii") as file:
                    out.write(file.read())
        text = CONFIG.format(maxconn=self.connections + 200, front=self.front, port=self.port, pem=pem)
        for number, broker in enumerate(self.brokers):
            text += f"    server b{number + 1} {broker}\n"
        return text

    def command(self):
        return [self.program, "-db", "-f", self.config_path]

    @staticmethod
    def version():
        return KernelServer.first_match([HAProxy.program, "-v"], r"version (\d+\.\d+\.\d+)")


