"""Faces in photos: detection, landmarks, alignment, component boxes, LR faces."""
