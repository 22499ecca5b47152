#!/bin/sh
# Set up the board '$board' of the site '$site' (Debian or Raspberry Pi OS, Python 3.11 or newer). Copy this folder to
# the board and run this, again after every change:
#     sudo sh install.sh
set -eu
cd "$$(dirname "$$0")"
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
# pip runs as the services' user, not as root, and installs nothing but files with the hashes in requirements.txt.
work=$$(mktemp -d)
# Afterwards it is root's again: a service that was taken over cannot change what is run.
trap 'rm -rf "$$work"; chown -R root:root /opt/vp-mqtt' EXIT
install -m 0644 requirements.txt $package "$$work"
head -n 1 requirements.txt >"$$work/own.txt"
chmod 0755 "$$work"
install -d -o vp-mqtt -g vp-mqtt -m 0755 /opt/vp-mqtt
chown -R vp-mqtt:vp-mqtt /opt/vp-mqtt
as_user() {
    (cd "$$work" && HOME="$$work" runuser -u vp-mqtt -- "$$@")
}
[ -x /opt/vp-mqtt/bin/python ] || as_user $$python -m venv /opt/vp-mqtt
pip_install() {
    as_user /opt/vp-mqtt/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet install \
        --require-hashes --only-binary :all: "$$@"
}
pip_install --requirement requirements.txt
# Another wheel may have the same version.
pip_install --no-index --no-deps --force-reinstall --requirement own.txt
chown -R root:root /opt/vp-mqtt

install -d -m 0755 /etc/vp-mqtt
# What an earlier plan had this board do ends: its services, and the keys for them.
for unit in $units; do echo "unit $$unit"; done >"$$work/installed"
for file in $settings; do echo "setting $$file"; done >>"$$work/installed"
if [ -e /etc/vp-mqtt/installed ]; then
    while read -r kind name; do
        grep -qxF "$$kind $$name" "$$work/installed" && continue
        case "$$kind" in
            unit) if systemctl disable --now "$$name" </dev/null; then echo "Stopped: $$name"; fi ;;
            setting) rm -rf "/etc/vp-mqtt/$${name:?}" ;;
        esac
    done </etc/vp-mqtt/installed
fi
install -m 0644 "$$work/installed" /etc/vp-mqtt/installed
# Of another site, which may have the same name: a node begins with the bundle that ran last.
cmp -s settings/ca.crt /etc/vp-mqtt/ca.crt || rm -rf /var/cache/vp-mqtt/bundles
# Not all files that are here: the folder may have been copied over an earlier one.
for file in $settings; do
    case "$$file" in
        *.key | *.password | *.passwords | *.source | *.token | camera.toml)
            install -o vp-mqtt -g vp-mqtt -m 0600 "settings/$$file" /etc/vp-mqtt/
            ;;
        bundle)
            rm -rf /etc/vp-mqtt/bundle
            install -d -m 0755 /etc/vp-mqtt/bundle
            install -m 0644 settings/bundle/* /etc/vp-mqtt/bundle/
            ;;
        *) install -m 0644 "settings/$$file" /etc/vp-mqtt/ ;;
    esac
done
for folder in $folders; do
    [ -z "$$folder" ] || install -d -o vp-mqtt -g vp-mqtt -m 0700 "$$folder"
done
install -m 0644 units/*.service /etc/systemd/system/
systemctl daemon-reload
systemctl enable $units
# They start only once they reach the broker, which may not be there yet.
systemctl restart --no-block $units
echo "Started: $units. Logs: journalctl -f -u 'vp-*'; to find problems: vp site doctor"
