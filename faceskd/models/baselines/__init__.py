"""Baselines at x8. Each file implements one network from its paper."""
