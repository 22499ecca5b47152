"""`python -m vp_mqtt` is `vp`."""

from vp_mqtt.cli import main

main()
