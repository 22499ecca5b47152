#!/bin/sh
# Set up the board '$board' of the site '$site' (Debian or Raspberry Pi OS, Python 3.11 or newer). Copy this folder to
# the board and run this, again after every change:
#     sudo sh install.sh [WHAT-PIP-INSTALLS]
set -eu
cd "$$(dirname "$$0")"
package=$${1:-$package}
if [ "$$(id -u)" -ne 0 ]; then
    echo "install.sh: run this as root: sudo sh install.sh" >&2
    exit 2
fi
umask 022
# The system's own Python: services cannot reach one in a user's home.
python=/usr/bin/python3
if ! [ -x $$python ] || ! $$python -c 'import ensurepip' 2>/dev/null; then
    apt-get update -qq
    apt-get install -y -qq python3-venv
fi
$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "install.sh: $$python is older than Python 3.11, which comes with Debian 12 and Raspberry Pi OS 12" >&2
    exit 2
}
getent passwd vp-mqtt >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vp-mqtt
[ -x /opt/vp-mqtt/bin/python ] || $$python -m venv /opt/vp-mqtt
/opt/vp-mqtt/bin/python -m pip --disable-pip-version-check --quiet install --upgrade "$$package"$more

install -d -m 0755 /etc/vp-mqtt
for file in settings/*; do
    case "$$file" in
        *.key | *.password | *.source | settings/camera.toml)
            install -o vp-mqtt -g vp-mqtt -m 0600 "$$file" /etc/vp-mqtt/
            ;;
        settings/bundle) install -d -m 0755 /etc/vp-mqtt/bundle && install -m 0644 "$$file"/* /etc/vp-mqtt/bundle/ ;;
        *) install -m 0644 "$$file" /etc/vp-mqtt/ ;;
    esac
done
install -m 0644 units/*.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable $units
systemctl restart $units
echo "Started: $units. Logs: journalctl -f -u 'vp-*'; to find problems: vp site doctor"
