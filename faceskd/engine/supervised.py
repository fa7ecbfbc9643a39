"""Training with losses on SR and HR images only: baselines, and students without a teacher."""

from faceskd.engine.base import Engine


class Supervised(Engine):
    """The plain `Engine`: a weighted sum of losses between SR and HR faces."""
