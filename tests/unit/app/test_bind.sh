#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# drivers-config/bind against a made-up machine: a tree in place of /sys, and stand-ins for ip and dpdk-devbind.py.
set -eu

bind=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# nic PCI INTERFACE DRIVER
nic() {
    mkdir -p "$tree/sys/devices/pci0000:00/$1/net/$2" "$tree/sys/bus/pci/devices" "$tree/sys/class/net" \
        "$tree/sys/bus/pci/drivers/$3"
    echo 0x020000 >"$tree/sys/devices/pci0000:00/$1/class"
    ln -s "$tree/sys/bus/pci/drivers/$3" "$tree/sys/devices/pci0000:00/$1/driver"
    ln -s "../../../devices/pci0000:00/$1" "$tree/sys/bus/pci/devices/$1"
    ln -s "../.." "$tree/sys/devices/pci0000:00/$1/net/$2/device"
    ln -s "../../devices/pci0000:00/$1/net/$2" "$tree/sys/class/net/$2"
}

nic 0000:18:00.0 eth0 ixgbe # the way in, under br0
nic 0000:18:00.1 eth1 ixgbe # has an address
nic 0000:19:00.0 eth2 i40e  # free
nic 0000:19:00.1 eth3 i40e  # the default route itself
mkdir -p "$tree/sys/devices/virtual/net/br0" "$tree/bin"
ln -s ../../devices/virtual/net/br0 "$tree/sys/class/net/br0"
ln -s ../../../../virtual/net/br0 "$tree/sys/devices/pci0000:00/0000:18:00.0/net/eth0/upper_br0"

cat >"$tree/bin/ip" <<'END'
#!/bin/sh
case "$*" in
"-4 route show table all default") echo "default via 198.18.0.254 dev br0 proto static" ;;
"-6 route show table all default") echo "default via fe80::1 dev eth3 metric 1024 pref medium" ;;
"-brief address show dev eth1") echo "eth1 UP 198.18.5.1/24 fe80::2/64" ;;
"-brief address show dev eth2") echo "eth2 UP fe80::3/64" ;;
esac
END
cat >"$tree/bin/dpdk-devbind.py" <<END
#!/bin/sh
echo "\$*" >>"$tree/calls"
END
chmod +x "$tree/bin/ip" "$tree/bin/dpdk-devbind.py"

# expect STATUS TEXT CALL ARGUMENT...: exit status, a part of the output, and what dpdk-devbind.py was given (- : not run)
expect() {
    status=$1 text=$2 call=$3
    shift 3
    rm -f "$tree/calls"
    got=0
    output=$(PATH="$tree/bin:$PATH" BIND_SYSFS="$tree/sys" "$bind" "$@" 2>&1) || got=$?
    calls=-
    [ -e "$tree/calls" ] && calls=$(cat "$tree/calls")
    case $output in
    *"$text"*) found=yes ;;
    *) found=no ;;
    esac
    if [ "$got" != "$status" ] || [ "$found" = no ] || [ "$calls" != "$call" ]; then
        failures=$((failures + 1))
        echo "bind $*: status $got (expected $status), dpdk-devbind.py: $calls (expected $call), no <$text> in: $output"
    fi
}

expect 0 "" "--bind=vfio-pci 0000:19:00.0" vfio-pci 0000:19:00.0
expect 0 "" "--bind=vfio-pci 0000:19:00.0" vfio-pci 19:00.0
expect 0 "" "--bind=vfio-pci 0000:19:00.0" vfio-pci eth2
expect 1 "interface eth1 198.18.5.1/24 is in use" - vfio-pci eth1
expect 0 "" "--force --bind=vfio-pci 0000:18:00.1" --force vfio-pci eth1
expect 1 "eth3 carries the default route" - vfio-pci 0000:19:00.1
expect 1 "eth3 carries the default route" - --force vfio-pci eth3
expect 1 "br0 carries the default route" - --force vfio-pci eth0
expect 1 "br0 carries the default route" - vfio-pci eth2 eth0
expect 1 "there is no PCI device 0000:99:00.0" - vfio-pci 99:00.0
expect 1 "is no PCI address and no interface" - vfio-pci wlan7
expect 1 "br0 is no PCI device" - vfio-pci br0
expect 2 "Usage:" - vfio-pci
expect 2 "unknown option --forse" - --forse vfio-pci eth2
expect 0 "Usage:" - --help
expect 0 "0000:18:00.0  ixgbe        eth0             carries the default route: not to be taken" - --status
expect 0 "has 198.18.5.1/24: --force takes it" - --status
expect 0 "0000:19:00.0  i40e         eth2             free" - --status

[ "$failures" = 0 ] || exit 1
echo "bind: all as expected"
