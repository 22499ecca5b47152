#!/bin/sh
# Set up the bridge of the cell '$cell' to its head office on this machine (Debian or Raspberry Pi OS), which may be that of the
# cell's broker. Run this again after every change:
#     sudo sh install.sh
set -eu
cd "$$(dirname "$$0")"
if [ "$$(id -u)" -ne 0 ]; then
    echo "install.sh: run this as root: sudo sh install.sh" >&2
    exit 2
fi
umask 022
if ! command -v mosquitto >/dev/null && ! [ -x /usr/sbin/mosquitto ]; then
    apt-get update -qq
    apt-get install -y -qq mosquitto
fi
install -d -o root -g mosquitto -m 0750 /etc/mosquitto/vp-bridge
# Readable by the bridge, writable only by root.
install -o root -g mosquitto -m 0640 bridge.conf ca.crt cell.crt cell.key head-ca.crt head.crt head.key /etc/mosquitto/vp-bridge/
install -m 0644 vp-bridge.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable vp-bridge
systemctl restart vp-bridge
echo "The bridge to mqtts://$address is running: journalctl -u vp-bridge"
