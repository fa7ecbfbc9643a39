"""Synthetic portraits with exactly known landmarks, for trying everything without a data set."""

from faceskd.portraits.folder import write_portraits
from faceskd.portraits.render import Portrait, draw, portrait_landmarks, render_portrait

__all__ = ["Portrait", "draw", "portrait_landmarks", "render_portrait", "write_portraits"]
