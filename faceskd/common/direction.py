"""Which values of a metric are better."""

from typing import Literal

Direction = Literal["higher", "lower", "reference"]
"""Which values are better: higher, lower, or closest to the value of the HR images."""
