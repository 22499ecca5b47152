#!/bin/sh
# Set up the broker of the site '$site' on this machine (Debian or Raspberry Pi OS). Run this again after every change:
#     sudo sh install.sh
set -eu
cd "$$(dirname "$$0")"
if [ "$$(id -u)" -ne 0 ]; then
    echo "install.sh: run this as root: sudo sh install.sh" >&2
    exit 2
fi
umask 022
# Whatever the plan says: a folder that others use is not given to the broker.
if [ -n "$$(ls -A $state 2>/dev/null)" ] && [ "$$(stat -L -c %U $state)" != mosquitto ]; then
    echo "install.sh: $state is in use, and not Mosquitto's: name another folder as 'state' in site.toml" >&2
    exit 2
fi
if ! command -v mosquitto >/dev/null && ! [ -x /usr/sbin/mosquitto ]; then
    apt-get update -qq
    apt-get install -y -qq mosquitto
fi
install -d -o root -g mosquitto -m 0750 /etc/mosquitto/vp
# Readable by the broker, writable only by root.
install -o root -g mosquitto -m 0640 mosquitto.conf passwords access ca.crt server.crt server.key /etc/mosquitto/vp/
install -d -o mosquitto -g mosquitto -m 0750 $state
install -D -m 0644 vp.conf /etc/systemd/system/mosquitto.service.d/vp.conf
systemctl daemon-reload
systemctl enable mosquitto
# A restart, not a reload: clients with renewed keys have to reconnect with the new ones.
systemctl restart mosquitto
echo "The broker is running: mqtts://$address. Limit connections per address, too: limits.nft says how"
