"""Restoring faces, photos and videos with trained networks."""
