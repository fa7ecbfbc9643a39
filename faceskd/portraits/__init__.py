"""Synthetic portraits with exact landmarks, for tests and for trying faceskd without photos."""

from faceskd.portraits.folder import write_portraits
from faceskd.portraits.render import Portrait, draw, portrait_landmarks, render_portrait

__all__ = ["Portrait", "draw", "portrait_landmarks", "render_portrait", "write_portraits"]
