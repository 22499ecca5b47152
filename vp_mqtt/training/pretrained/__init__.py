"""Pretrained weights to start a training from."""
