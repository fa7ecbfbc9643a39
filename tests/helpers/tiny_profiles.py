"""A network whose work is known, and profiles of a moment."""

from torch import nn

from faceskd.models.base import SuperResolver
from faceskd.profiling.profile import profile_models


class Small(SuperResolver):
    """A 3x3 convolution, a strided one in groups, and a matrix product: countable by hand."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 4, stride=4, groups=4)
        self.last = nn.Linear(8, 192)

    def forward_features(self, lr, boxes=None):
        cells = self.grouped(self.first(lr)).movedim(1, -1)
        sr = nn.functional.pixel_shuffle(self.last(cells).movedim(-1, 1), 8)
        return sr.repeat_interleave(4, 2).repeat_interleave(4, 3), []


SMALL_MACS = 32 * 32 * 8 * 3 * 9 + 8 * 8 * 8 * (8 // 4) * 16 + 8 * 8 * 8 * 192


def quick(subjects, **settings):
    defaults = {"warmup": 0, "repeats": 1, "memory": False, "ceiling": False, "end_to_end": False}
    return profile_models(subjects, **(defaults | settings))
