"""The command line: the programs `vp`, `vp-camera`, `vp-node` and `vp-fusion`, one module per group of commands."""
