"""Baselines at x8, one file a network, each from its paper."""
