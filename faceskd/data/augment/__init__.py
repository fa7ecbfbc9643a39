"""Augmentations of HR faces."""
