/* SPDX-License-Identifier: BSD-3-Clause */
/* Every refusal of the configuration, by file, line, key and text; what is accepted, and what it becomes. Of `tls`:
 * test_config_tls.c, test_config_pool_tls.c. */
#include "config_good.h"

#include <arpa/inet.h>

TestSuite(config, .init = set_up, .fini = tear_down);

Test(config, accepts_and_resolves) {
    struct config *c;
    struct config_error e;
    char line[1200];
    cr_assert(parse(good, strlen(good), &c, &e) == 0, "%s", config_error_format(&e, line, sizeof(line)));

    cr_expect(c->cores.control == 0 && c->cores.n_workers == 2 && c->cores.workers[1] == 2);
    cr_expect(c->cores.n_handshake == 1 && c->cores.handshake[0] == 3 && c->cores.idle == CONFIG_IDLE_POLL);
    cr_expect(c->memory.max_connections == 50000 && c->memory.hugepages == CONFIG_HUGEPAGES_OFF);
    cr_expect(c->timeouts.connect_s == 4 && c->timeouts.handshake_s == 11 && c->timeouts.mqtt_connect_s == 12);
    cr_expect(c->timeouts.drain_s == 0 && c->timeouts.udp_idle_s == 90);
    cr_expect(c->timeouts.tcp_user_s == 20 && c->timeouts.tcp_keepalive_s == 7);
    cr_expect(c->limits.handshakes == 300 && c->limits.handshakes_per_source == 5);
    cr_expect(c->limits.handshake_refusal == CONFIG_REFUSAL_ALERT);
    cr_expect(c->log.level == LOG_LVL_DEBUG && c->log.format == LOG_FMT_JSON);
    snprintf(line, sizeof(line), "%s/weir.log", folder);
    cr_expect_str_eq(c->log.target, line);

    cr_assert(c->n_ports == 2);
    cr_expect_str_eq(c->ports[0].device, "net_tap0,iface=a");
    cr_expect(c->ports[0].mtu == 9000 && c->ports[1].mtu == 1500);
    cr_expect(c->ports[0].mss == 1200 && c->ports[1].mss == 0);
    cr_expect(c->ports[0].gateway_be == inet_addr("198.18.0.254") && c->ports[1].gateway_be == 0);
    cr_expect(!c->ports[0].exclusive && c->ports[1].exclusive);
    cr_expect(c->ports[1].n_addresses == 3, "two of its own and the pool's second source");
    cr_expect(c->ports[1].addresses[2].addr_be == inet_addr("198.18.1.5") && c->ports[1].addresses[2].from_pool);
    cr_expect(c->ports[1].addresses[2].prefix_len == 24 && !c->ports[1].addresses[1].from_pool);

    snprintf(line, sizeof(line), "%s/server.crt", folder);
    cr_expect(c->n_tls == 1 && c->tls[0].min_version == 0x0304);
    cr_assert_eq(c->tls[0].n_certificates, 1);
    cr_expect_str_eq(c->tls[0].certificates[0].certificate, line);
    cr_expect(c->tls[0].watch && !c->tls[0].strict_sni && c->tls[0].security_level == CONFIG_NONE);
    cr_expect(!c->tls[0].ciphers && !strcmp(c->tls[0].ciphersuites, "X"));

    const struct config_pool *p = &c->pools[0];
    cr_assert(c->n_pools == 1 && p->n_servers == 2 && c->n_servers == 2);
    cr_expect(p->policy == LB_ROUND_ROBIN && p->proxy_protocol == 2 && p->port == 1 && p->n_sources == 2);
    cr_expect(p->servers[0].weight == 3 && p->servers[1].weight == 1 && p->servers[1].id == 1);
    cr_expect(p->servers[1].addr_be == inet_addr("198.18.1.3") && p->servers[1].port_be == htons(1883));

    cr_assert(c->n_listeners == 3);
    cr_expect(c->listeners[0].mode == CONFIG_MODE_MQTT && c->listeners[0].tls == 0 && c->listeners[0].pool == 0);
    cr_expect(c->listeners[0].port == 0 && c->listeners[0].port_be == htons(8883));
    cr_expect(c->listeners[1].mode == CONFIG_MODE_ECHO && c->listeners[1].pool == CONFIG_NONE);
    cr_expect(c->listeners[2].mode == CONFIG_MODE_UDP && c->listeners[2].tls == CONFIG_NONE);

    snprintf(line, sizeof(line), "%s/weir.sock", folder);
    cr_expect(c->control.socket_enabled && c->control.http_enabled && c->control.http_port_be == htons(9090));
    cr_expect_str_eq(c->control.socket, line);
    cr_expect(c->n_warnings == 1, "only that proxy_protocol is not sent for udp");
    cr_expect(strstr(c->warnings[0], "weir.yaml:21:"), "%s", c->warnings[0]);
    config_free(c);
}

Test(config, how_tcp_behaves) {
    struct config *c = accepted("proxy_protocol: v2", "congestion: reno\n    ecn: on");
    cr_expect(c->pools[0].tcp.cc == TCP_CC_RENO && c->pools[0].tcp.ecn);
    cr_expect(c->listeners[0].tcp.cc == TCP_CC_CUBIC && !c->listeners[0].tcp.ecn, "the defaults");
    cr_expect(c->listeners[0].tcp.cookies == TCP_COOKIES_AUTO);
    config_free(c);
    c = accepted("mode: echo", "mode: echo, congestion: reno, ecn: on, syn_cookies: always");
    cr_expect(c->pools[0].tcp.cc == TCP_CC_CUBIC && !c->pools[0].tcp.ecn);
    cr_expect(c->listeners[1].tcp.cc == TCP_CC_RENO && c->listeners[1].tcp.ecn);
    cr_expect(c->listeners[1].tcp.cookies == TCP_COOKIES_ALWAYS);
    config_free(c);
    c = accepted("mode: echo", "mode: echo, congestion: cubic, ecn: off, syn_cookies: off");
    cr_expect(c->listeners[1].tcp.cc == TCP_CC_CUBIC && !c->listeners[1].tcp.ecn);
    cr_expect(c->listeners[1].tcp.cookies == TCP_COOKIES_OFF);
    config_free(c);
}

Test(config, minimal_takes_defaults) {
    static const char text[] = "ports: [{name: lab, device: \"net_tap0\", addresses: [198.18.0.1/24]}]\n"
                               "listeners: [{name: echo, address: \"198.18.0.1:7\", mode: echo}]\n";
    struct config *c;
    struct config_error e;
    cr_assert(parse(text, strlen(text), &c, &e) == 0);
    cr_expect(c->cores.control == 0 && c->cores.n_workers == 1 && c->cores.workers[0] == 1);
    cr_expect(c->cores.idle == CONFIG_IDLE_ADAPTIVE && c->memory.hugepages == CONFIG_HUGEPAGES_AUTO);
    cr_expect(c->memory.max_connections == 100000 && c->timeouts.drain_s == 30 && c->timeouts.connect_s == 5);
    cr_expect_str_eq(c->log.target, "stderr");
    cr_expect_str_eq(c->control.socket, "/run/weir/weir.sock");
    cr_expect(!c->control.http_enabled && c->n_warnings == 0);
    config_free(c);
}

Test(config, one_cpu_serves_all) {
    static const uint64_t one_cpu[CONFIG_CPUS / 64] = {0x1};
    static const char text[] = "ports: [{name: lab, device: \"net_tap0\", addresses: [198.18.0.1/24]}]\n"
                               "listeners: [{name: echo, address: \"198.18.0.1:7\", mode: echo}]\n";
    const struct config_source source = {text, strlen(text), "weir.yaml", folder};
    struct config *c;
    struct config_error e;
    cr_assert(config_parse_on(&source, one_cpu, &c, &e) == 0);
    cr_expect(c->cores.control == 0 && c->cores.workers[0] == 0);
    cr_expect(c->n_warnings == 1 && strstr(c->warnings[0], "also the control core"));
    config_free(c);
}

Test(config, refuses_what_is_not_yaml) {
    REFUSED({"cores: {", "cores: }", 1, "", "not YAML"}, {"log: {", "\tlog: {", 4, "", "indent with spaces, not tabs"},
            {"level: debug", "level: *x", 4, "", "aliases are not taken"},
            {"ports:\n", "---\nports:\n", 5, "", "a second document"},
            {"level: debug", "level: \"a\\0b\"", 4, "", "zero byte"},
            {"log: {", "log: {? [a] : b, ", 4, "", "plain word"},
            {"level: debug", "level: debug, level: info", 4, "", "\"level\" is given twice, first in line 4"},
            {"control: {socket", "ports: []\ncontrol: {socket", 22, "", "\"ports\" is given twice, first in line 5"},
            {"level: debug", "level: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", 4, "", "nested too deeply"});
}

Test(config, refuses_unknown_keys_and_shapes) {
    REFUSED({"mtu: 9000", "mtuu: 9000", 6, "ports[0].mtuu",
             "keys here: name, device, addresses, gateway, gateway_mac, mtu, mss"},
            {"memory: {", "memry: {", 2, "memry", "keys here: cores, memory, timeouts, limits"},
            {"weight: 3", "wait: 3", 16, "pools[0].servers[0].wait", "keys here: name, address, weight"},
            {"[1, 2]", "3", 1, "cores.workers", "a list is expected here, not a single value"},
            {"debug", "[debug]", 4, "log.level", "a single value is expected here, not a list"},
            {"{max_connections: 50000, hugepages: off}", "12", 2, "memory", "a mapping (key: value) is expected here"},
            {"{name: echo, address: \"198.18.0.1:7\", mode: echo}", "echo", 20, "listeners[1]",
             "a mapping (key: value) is expected here, not a single value"},
            {"hugepages: off", "<<: {}", 2, "memory.<<", "unknown key"});
}

Test(config, refuses_cores_memory_timeouts) {
    REFUSED(
        {"control: 0", "control: 8", 1, "cores.control", "CPU 8 is not online (online here: 0, 1, 2, 3"},
        {"control: 0", "control: one", 1, "cores.control", "\"one\" is not a number (a whole number from 0 to 1023)"},
        {"[1, 2]", "[1, 9]", 1, "cores.workers[1]", "CPU 9 is not online"},
        {"[1, 2]", "[]", 1, "cores.workers", "the list is empty"},
        {"[3]", "[1024]", 1, "cores.handshake[0]", "1024 is out of range"},
        {"idle: poll", "idle: never", 1, "cores.idle", "\"never\" is not known here (poll | adaptive)"},
        {"50000", "0", 2, "memory.max_connections", "0 is out of range (a whole number from 1 to 16000000)"},
        {"50000", "16000001", 2, "memory.max_connections", "out of range"},
        {"50000", "99999999999999999999999", 2, "memory.max_connections", "out of range"},
        {"50000", "-1", 2, "memory.max_connections", "\"-1\" is not a number"},
        {"50000", "1e3", 2, "memory.max_connections", "\"1e3\" is not a number"},
        {"50000", "''", 2, "memory.max_connections", "is empty"},
        {"hugepages: off", "hugepages: maybe", 2, "memory.hugepages", "(auto | required | off)"},
        {"connect_s: 4", "connect_s: 0", 3, "timeouts.connect_s", "(a whole number from 1 to 300)"},
        {"handshake_s: 11", "handshake_s: 301", 3, "timeouts.handshake_s", "out of range"},
        {"mqtt_connect_s: 12", "mqtt_connect_s: 10s", 3, "timeouts.mqtt_connect_s", "\"10s\" is not a number"},
        {"drain_s: 0", "drain_s: 86401", 3, "timeouts.drain_s", "from 0 to 86400"},
        {"udp_idle_s: 90", "udp_idle_s: 0", 3, "timeouts.udp_idle_s", "from 1 to 86400"},
        {"tcp_user_s: 20", "tcp_user_s: 4", 3, "timeouts.tcp_user_s", "from 5 to 86400"},
        {"tcp_keepalive_s: 7", "tcp_keepalive_s: 0", 3, "timeouts.tcp_keepalive_s", "from 1 to 86400"});
}

Test(config, refuses_limits) {
    REFUSED(
        {"handshakes: 300", "handshakes: 0", 23, "limits.handshakes", "from 1 to 1000000"},
        {"per_source: 5", "per_source: 1000001", 23, "limits.handshakes_per_source", "from 0 to 1000000"},
        {"refusal: alert", "refusal: no", 23, "limits.handshake_refusal", "\"no\" is not known here (reset | alert)"},
        {"handshakes: 300", "handshake: 300", 23, "limits.handshake",
         "keys here: handshakes, handshakes_per_source, handshake_refusal"});
}

/* A user name that no client of the listener could ever have. */
Test(config, refuses_too_many_workers) {
    char list[512] = "[0";
    for (int i = 0; i < WEIR_MAX_WORKERS; i++)
        strcat(list, ", 0");
    strcat(list, "]");
    refused(&(struct refusal){"[1, 2]", list, 1, "cores.workers", "too many entries: at most 32"});
}

Test(config, refuses_log_and_control) {
    static const char deep[] = "/run/a-folder-with-a-very-long-name/and-another-one-below-it-that-is-long-as-well/"
                               "and-yet-another-one/weir.sock";
    REFUSED({"level: debug", "level: loud", 4, "log.level", "(error | warning | info | debug)"},
            {"format: json", "format: xml", 4, "log.format", "(text | json)"},
            {"target: weir.log", "target: ''", 4, "log.target", "is empty"},
            {"target: weir.log", "target: nowhere/weir.log", 4, "log.target", "No such file or directory"},
            {"target: weir.log", "target: /", 4, "log.target", "is a folder"},
            {"target: weir.log", "target: \"a\\nb\"", 4, "log.target", "control character"},
            {"127.0.0.1:9090", "127.0.0.1", 22, "control.http", "has no port (address:port"},
            {"127.0.0.1:9090", "127.0.0.1:0", 22, "control.http", "from 1 to 65535"},
            {"127.0.0.1:9090", "::1:9090", 22, "control.http", "looks like IPv6, which weir does not speak yet"});
    refused(&(struct refusal){"weir.sock", deep, 22, "control.socket", "longer than the 107 bytes"});
}

Test(config, refuses_ports) {
    REFUSED(
        {"name: front, ", "", 6, "ports[0].name", "is missing"},
        {"name: front", "name: a b", 6, "ports[0].name", "\"a b\" cannot be a name"},
        {"name: front", "name: abcdefghijklmnopqrstuvwxyz012345", 6, "ports[0].name", "1 to 31 letters"},
        {"name: back", "name: front", 7, "ports[1].name", "port \"front\" exists already: ports[0]"},
        {"device: \"net_tap0,iface=a\", ", "", 6, "ports[0].device", "is missing (a PCI address or a DPDK device"},
        {"\"net_tap0,iface=a\"", "eth0", 6, "ports[0].device", "for a kernel interface write net_af_xdp0,iface=eth0"},
        {"\"net_tap0,iface=a\"", "\"00:18\"", 6, "ports[0].device", "is no DPDK device"},
        {"\"0000:18:00.1\"", "\"net_tap0,iface=b\"", 7, "ports[1].device", "net_tap0 is port \"front\" already"},
        {"\"0000:18:00.1\"", "\"net_af_xdp0,iface=a\"", 7, "ports[1].device", "a is port \"front\" already"},
        {"\"0000:18:00.1\"", "\"net_virtio_user0,path=/x\"", 2, "memory.hugepages",
         "port \"back\" (net_virtio_user) shares its memory"},
        {", addresses: [198.18.0.1/24]", "", 6, "ports[0].addresses", "is missing"},
        {"[198.18.0.1/24]", "[]", 6, "ports[0].addresses", "is missing"},
        {"198.18.0.1/24", "198.18.0.1", 6, "ports[0].addresses[0]", "has no prefix length"},
        {"198.18.0.1/24", "198.18.0.1/33", 6, "ports[0].addresses[0]", "33 is out of range"},
        {"198.18.0.1/24", "198.18.0.256/24", 6, "ports[0].addresses[0]", "\"198.18.0.256\" is not an IPv4 address"},
        {"198.18.0.1/24", "\"2001:db8::1/64\"", 6, "ports[0].addresses[0]", "looks like IPv6"},
        {"198.18.0.1/24", "224.0.0.1/24", 6, "ports[0].addresses[0]", "not the address of a host"},
        {"198.18.0.1/24", "127.0.0.1/8", 6, "ports[0].addresses[0]", "not the address of a host"},
        {"198.18.0.1/24", "198.18.0.0/24", 6, "ports[0].addresses[0]", "network address of its subnet"},
        {"198.18.0.1/24", "198.18.0.255/24", 6, "ports[0].addresses[0]", "broadcast address of its subnet"},
        {"198.18.1.9/24", "198.18.1.1/25", 7, "ports[1].addresses[1]", "198.18.1.1 is named twice"},
        {"198.18.1.9/24", "198.18.0.1/24", 7, "ports[1].addresses[1]", "198.18.0.1 is named twice"},
        {"gateway: 198.18.0.254", "gateway: 198.18.9.254", 6, "ports[0].gateway", "in no subnet of this port"},
        {"gateway: 198.18.0.254", "gateway: 198.18.0.1", 6, "ports[0].gateway", "weir's own address"},
        {"gateway: 198.18.0.254", "gateway: router", 6, "ports[0].gateway", "not an IPv4 address"},
        {"mtu: 9000", "mtu: 575", 6, "ports[0].mtu", "(a whole number from 576 to 9000)"},
        {"mtu: 9000", "mtu: 9001", 6, "ports[0].mtu", "9001 is out of range"},
        {"mss: 1200", "mss: 87", 6, "ports[0].mss", "(a whole number from 88 to 8960)"},
        {"mtu: 9000", "mtu: 1239", 6, "ports[0].mss", "1200 is out of range (a whole number from 88 to 1199)"},
        {"mtu: 9000", "gateway_mac: '02:00:00:00:FE'", 6, "ports[0].gateway_mac", "is not a MAC address"},
        {"mtu: 9000", "gateway_mac: '02:00:00:00:FE:0g'", 6, "ports[0].gateway_mac", "is not a MAC address"},
        {"mtu: 9000", "gateway_mac: '2:00:00:00:FE:001'", 6, "ports[0].gateway_mac", "is not a MAC address"},
        {"mtu: 9000", "gateway_mac: 'ff:ff:ff:ff:ff:ff'", 6, "ports[0].gateway_mac", "not the address of a station"},
        {"mtu: 9000", "gateway_mac: '00:00:00:00:00:00'", 6, "ports[0].gateway_mac", "not the address of a station"},
        {"gateway: 198.18.0.254", "gateway_mac: '02:00:00:00:fe:01'", 6, "ports[0].gateway_mac", "there is no gateway"},
        {"mtu: 9000", "mtu: 15oo", 6, "ports[0].mtu", "\"15oo\" is not a number"},
        {"exclusive: true", "exclusive: maybe", 7, "ports[1].exclusive", "(true | false)"});
}

Test(config, refuses_pools) {
    REFUSED(
        {"name: brokers", "name: bro/kers", 11, "pools[0].name", "cannot be a name"},
        {"pools:\n", "pools:\n  - {name: brokers, servers: [{name: x, address: \"198.18.1.4:1\"}]}\n", 12,
         "pools[1].name", "pool \"brokers\" exists already: pools[0]"},
        {"round-robin", "random", 12, "pools[0].policy", "(client-id | username | certificate | source | least-conne"},
        {"proxy_protocol: v2", "proxy_protocol: v3", 14, "pools[0].proxy_protocol", "(off | v1 | v2)"},
        {"proxy_protocol: v2", "proxy_protocol: v2\n    proxy_certificate: yes", 15, "pools[0].proxy_certificate",
         "(true | false)"},
        {"proxy_protocol: v2", "proxy_protocol: v1\n    proxy_certificate: true", 15, "pools[0].proxy_certificate",
         "only version 2 of the PROXY protocol carries certificates (set proxy_protocol to v2)"},
        {"proxy_protocol: v2", "proxy_certificate: true", 14, "pools[0].proxy_certificate",
         "only version 2 of the PROXY protocol carries certificates"},
        {"proxy_protocol: v2", "congestion: vegas", 14, "pools[0].congestion",
         "\"vegas\" is not known here (cubic | reno)"},
        {"proxy_protocol: v2", "ecn: true", 14, "pools[0].ecn", "\"true\" is not known here (on | off)"},
        {"proxy_protocol: v2", "syn_cookies: off", 14, "pools[0].syn_cookies", "unknown key"},
        {"proxy_protocol: v2", "port: bakc", 14, "pools[0].port", "no port is named \"bakc\" (ports: front, back)"},
        {"[198.18.1.1, 198.18.1.5]", "[198.18.1.1, 198.18.1.1]", 13, "pools[0].source_addresses[1]", "named twice"},
        {"[198.18.1.1, 198.18.1.5]", "[198.18.0.1]", 13, "pools[0].source_addresses[0]",
         "in no subnet of the port that reaches the servers (the servers are reached by port \"back\", 198.18.1.1/24)"},
        {"[198.18.1.1, 198.18.1.5]", "[198.18.1.255]", 13, "pools[0].source_addresses[0]", "broadcast address"},
        {"[198.18.1.1, 198.18.1.5]", "[198.18.1]", 13, "pools[0].source_addresses[0]", "not an IPv4 address"},
        {"[198.18.1.1, 198.18.1.5]", "[198.18.1.2]", 16, "pools[0].servers[0].address", "weir's own address on port"},
        {"name: b2", "name: b1", 17, "pools[0].servers[1].name", "server \"b1\" exists already: pools[0].servers[0]"},
        {"198.18.1.3:1883", "198.18.1.2:1883", 17, "pools[0].servers[1].address", "the same as that of server \"b1\""},
        {"198.18.1.3:1883", "198.18.1.9:1883", 17, "pools[0].servers[1].address", "weir cannot be its own server"},
        {"198.18.1.3:1883", "198.18.0.9:1883", 17, "pools[0].servers[1].address",
         "is reached by port \"front\", but server \"b1\" by port \"back\""},
        {", address: \"198.18.1.3:1883\"", "", 17, "pools[0].servers[1].address", "is missing (address:port"},
        {"198.18.1.3:1883", "198.18.1.3", 17, "pools[0].servers[1].address", "has no port"},
        {"198.18.1.3:1883", "broker.example:1883", 17, "pools[0].servers[1].address", "is not an IPv4 address"},
        {"weight: 3", "weight: 257", 16, "pools[0].servers[0].weight", "from 1 to 256"});
}

Test(config, a_gateway_is_pinned) {
    char *text = changed("mtu: 9000", "gateway_mac: '02:00:00:00:FE:01'");
    struct config *c;
    struct config_error e;
    cr_assert(parse(text, strlen(text), &c, &e) == 0);
    cr_expect(c->ports[0].gateway_pinned && !c->ports[1].gateway_pinned);
    cr_expect_arr_eq(c->ports[0].gateway_mac, "\2\0\0\0\xfe\1", 6);
    config_free(c);
    free(text);
}

Test(config, refuses_servers_out_of_reach) {
    char *text = changed("gateway: 198.18.0.254, ", "");
    char *at = strstr(text, "198.18.1.2:1883");
    struct config *c;
    struct config_error e;
    memcpy(at, "198.19.1.2:1883", 15);
    cr_expect(parse(text, strlen(text), &c, &e) == WEIR_EINVAL);
    cr_expect(e.line == 16 && !strcmp(e.key, "pools[0].servers[0].address"));
    cr_expect(strstr(e.message, "198.19.1.2 lies in no port's subnet, and no port has a gateway"), "%s", e.message);
    cr_expect(strstr(e.hint, "front 198.18.0.1/24, back 198.18.1.1/24"), "%s", e.hint);
    free(text);
}

Test(config, refuses_servers_reached_twice_until_the_pool_names_a_port) {
    static const char text[] =
        "ports:\n"
        "  - {name: a, device: \"net_tap0\", addresses: [198.18.0.1/24], gateway: 198.18.0.254}\n"
        "  - {name: b, device: \"net_tap1\", addresses: [198.18.1.1/24], gateway: 198.18.1.254}\n"
        "pools:\n"
        "  - {name: p, %sservers: [{name: s, address: \"198.19.0.9:1883\"}]}\n"
        "listeners:\n"
        "  - {name: l, address: \"198.18.0.1:1883\", mode: mqtt, pool: p}\n";
    struct config *c;
    struct config_error e;
    char filled[1024];
    snprintf(filled, sizeof(filled), text, "");
    cr_expect(parse(filled, strlen(filled), &c, &e) == WEIR_EINVAL);
    cr_expect(e.line == 5 && !strcmp(e.key, "pools[0].servers[0].address"));
    cr_expect(strstr(e.message, "through the gateway of more than one port") && strstr(e.hint, "a, b"), "%s",
              e.message);
    snprintf(filled, sizeof(filled), text, "port: b, ");
    cr_assert(parse(filled, strlen(filled), &c, &e) == 0, "%s", e.message);
    cr_expect(c->pools[0].port == 1);
    cr_expect(c->pools[0].n_sources == 1 && c->pools[0].source_addresses_be[0] == inet_addr("198.18.1.1"));
    config_free(c);
}

Test(config, refuses_listeners) {
    REFUSED(
        {"name: mqtts, ", "", 19, "listeners[0].name", "is missing"},
        {"name: echo", "name: mqtts", 20, "listeners[1].name", "listener \"mqtts\" exists already"},
        {"address: \"198.18.0.1:8883\", mode: mqtt", "mode: mqtt", 19, "listeners[0].address", "is missing"},
        {"198.18.0.1:8883", "198.18.0.1:65536", 19, "listeners[0].address", "65536 is out of range"},
        {"198.18.0.1:8883", "198.18.0.7:8883", 19, "listeners[0].address", "add it to ports[0].addresses"},
        {"198.18.0.1:8883", "198.18.1.5:8883", 19, "listeners[0].address", "198.18.1.5 is not an address of any port"},
        {"198.18.0.1:8883", "198.18.7.1:8883", 19, "listeners[0].address",
         "lies outside every port's subnet (ports: front 198.18.0.1/24, back 198.18.1.1/24"},
        {", mode: mqtt", "", 19, "listeners[0].mode", "is missing (mqtt | tcp | udp | echo)"},
        {"mode: mqtt", "mode: http", 19, "listeners[0].mode", "\"http\" is not known here"},
        {"tls: t,", "tls: s,", 19, "listeners[0].tls", "no tls entry is named \"s\" (tls: t)"},
        {"tls: t, pool: brokers", "tls: t, pool: brokrs", 19, "listeners[0].pool",
         "weir: weir.yaml:19:73: listeners[0].pool: no pool is named \"brokrs\" (pools: brokers)"},
        {"tls: t, pool: brokers", "tls: t", 19, "listeners[0].pool", "is missing (mode mqtt needs a pool of servers)"},
        {"mode: udp, pool: brokers", "mode: udp", 21, "listeners[2].pool", "mode udp needs a pool"},
        {"mode: echo", "mode: echo, pool: brokers", 20, "listeners[1].pool", "has no pool (leave it out)"},
        {"mode: udp,", "mode: udp, tls: t,", 21, "listeners[2].tls", "mode udp has no TLS"},
        {"mode: udp,", "mode: udp, congestion: reno,", 21, "listeners[2].congestion", "mode udp has no congestion"},
        {"mode: udp,", "mode: udp, ecn: on,", 21, "listeners[2].ecn", "mode udp has no ecn"},
        {"mode: udp,", "mode: udp, syn_cookies: off,", 21, "listeners[2].syn_cookies", "(leave it out"},
        {"mode: echo", "mode: echo, congestion: bbr", 20, "listeners[1].congestion", "(cubic | reno)"},
        {"mode: echo", "mode: echo, ecn: yes", 20, "listeners[1].ecn", "(on | off)"},
        {"mode: echo", "mode: echo, syn_cookies: on", 20, "listeners[1].syn_cookies", "(auto | always | off)"},
        {"198.18.0.1:7", "198.18.0.1:8883", 20, "listeners[1].address",
         "198.18.0.1:8883 (TCP) is taken by listener \"mqtts\""},
        {"name: dgram, address: \"198.18.0.1:8883\"", "name: dgram, address: \"198.18.0.1:7\"", 21,
         "listeners[2].address", "198.18.0.1:7 (UDP) is taken by listener \"echo\""});
}

Test(config, refuses_without_ports_or_listeners) {
    static const struct {
        const char *text, *key, *message;
    } cases[] = {
        {"", "", "the configuration is empty"},
        {"# nothing\n", "", "the configuration is empty"},
        {"log: {}\n", "ports", "is missing"},
        {"ports: []\n", "ports", "is missing"},
        {"ports: [{name: a, device: net_tap0, addresses: [198.18.0.1/24]}]\n", "listeners", "is missing"},
        {"[1, 2]\n", "", "a mapping (key: value) is expected here, not a list"},
        {"hello\n", "", "a mapping (key: value) is expected here, not a single value"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct config *c;
        struct config_error e;
        cr_expect(parse(cases[i].text, strlen(cases[i].text), &c, &e) == WEIR_EINVAL);
        cr_expect(!strcmp(e.key, cases[i].key) && strstr(e.message, cases[i].message), "<%s>: %s: %s", cases[i].text,
                  e.key, e.message);
    }
}

Test(config, refuses_more_entries_than_there_is_room_for) {
    static char text[65536];
    struct config *c;
    struct config_error e;
    size_t len = 0;
    len += (size_t)sprintf(text, "ports: [{name: a, device: net_tap0, addresses: [198.18.0.1/24]}]\nlisteners:\n");
    for (int i = 0; i <= WEIR_MAX_LISTENERS; i++)
        len += (size_t)sprintf(text + len, "  - {name: l%d, address: \"198.18.0.1:%d\", mode: echo}\n", i, i + 1);
    cr_expect(parse(text, len, &c, &e) == WEIR_EINVAL);
    cr_expect(!strcmp(e.key, "listeners") && !strcmp(e.message, "too many entries: at most 64"), "%s: %s", e.key,
              e.message);
}

Test(config, warns) {
    static const struct {
        const char *from, *to, *text;
    } cases[] = {
        {"[1, 2]", "[1, 1]", "weir.yaml:1:34: cores.workers[1]: CPU 1 is named twice"},
        {"[1, 2]", "[0]", "cores.workers[0]: CPU 0 is also the control core; a polling worker leaves it little time"},
        {"[3]", "[1]", "cores.handshake[0]: CPU 1 is also a worker's"},
        {"50000", "999999", "pools[0].source_addresses: 2 source and 2 server addresses hold about 240000 connections"},
        {"127.0.0.1:9090", "0.0.0.0:9090", "control.http: metrics can be read by everybody"},
        {"mode: mqtt, tls: t, pool", "mode: mqtt, pool", "weir.yaml:9:5: tls[0]: no listener uses \"t\""},
        {"round-robin", "certificate", "listeners[0].pool: pool \"brokers\" balances by certificate, which no client"},
        {"round-robin", "client-id", "listeners[2].pool: pool \"brokers\" balances by client-id, which mode udp"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct config *c;
        struct config_error e;
        char *text = changed(cases[i].from, cases[i].to);
        bool found = false;
        cr_assert(parse(text, strlen(text), &c, &e) == 0, "%s: %s", e.key, e.message);
        for (unsigned w = 0; w < c->n_warnings; w++)
            found |= strstr(c->warnings[w], cases[i].text) != NULL;
        cr_expect(found, "<%s>: no <%s>, but %s", cases[i].to, cases[i].text, c->n_warnings ? c->warnings[0] : "none");
        config_free(c);
        free(text);
    }
}

Test(config, names_of_enums) {
    cr_expect_str_eq(config_mode_name(CONFIG_MODE_UDP), "udp");
    cr_expect_str_eq(config_idle_name(CONFIG_IDLE_ADAPTIVE), "adaptive");
    cr_expect_str_eq(config_hugepages_name(CONFIG_HUGEPAGES_REQUIRED), "required");
    cr_expect_str_eq(config_mode_name((enum config_mode)99), "?");
}
