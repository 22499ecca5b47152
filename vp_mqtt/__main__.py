"""`python -m vp_mqtt` is `vp`."""

from vp_mqtt.cli.app import main

main()
