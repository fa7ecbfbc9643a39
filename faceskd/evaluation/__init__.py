"""Evaluation: compare methods on the same faces, also by skin tone; statistics; report."""
