# SPDX-License-Identifier: BSD-3-Clause
"""weir, as it is shipped: one worker that polls, AES-128-GCM, servers picked by client-id."""


class Weir:
    name = "weir"
    title = "weir"
    on_kernel = False

    def __init__(self, lab, certificate, connections):
        self.lab = lab
        lab.kernel_addresses(False)
        config = lab.weir_config(max_connections=connections + 200, certificate=certificate)
        config["tls"][0] |= {"min_version": "1.3", "ciphersuites": "TLS_AES_128_GCM_SHA256"}
        self.configure(config)
        self.run = lab.start_weir(config)

    def configure(self, config):
        """For those that want it otherwise."""

    def check(self):
        self.run.check()

    def log(self):
        return self.run.log()

    def pids(self):
        return [self.run.pid]

    def cpu_seconds(self):
        """Turns that found work: the rest is polling, which yields to nobody but costs nothing that anybody else wants."""
        return self.run.metrics().get("weir_worker_busy_seconds_total")

    @staticmethod
    def cpu_share(used):
        """Of its CPU: turns that found work, receive threads and soft interrupts. Those interrupt turns and so count twice:
        it is an upper bound."""
        return min(1.0, (used["server"] + used["receive"] + used["softirq"]) / used["at"])

    def stop(self):
        self.run.stop()


def before(folder):
    """The system that another build directory's weir is."""
    class Before(Weir):
        name = "before"
        title = "weir before"

        def __init__(self, lab, certificate, connections):
            lab.weir_folder = folder
            super().__init__(lab, certificate, connections)

    return Before
