"""Drawn landscapes: the same scene in every season, by day and by night.

They serve tests, and for trying the translation of pictures without photos.
"""

from faceskd.landscapes.folder import DOMAINS, write_landscapes
from faceskd.landscapes.render import render_landscape
from faceskd.landscapes.scene import SEASONS

__all__ = ["DOMAINS", "SEASONS", "render_landscape", "write_landscapes"]
