"""Profiling: measure time, work and memory of networks, and report them."""
