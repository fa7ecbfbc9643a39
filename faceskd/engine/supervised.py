"""Training with losses on SR and HR images alone: baselines, and the student without teacher."""

from faceskd.engine.base import Engine


class Supervised(Engine):
    """`Engine` as it is: a weighted sum of losses between SR and HR faces."""
