"""Augmentation of HR faces: geometry and tone, parts of other faces, morphs."""
