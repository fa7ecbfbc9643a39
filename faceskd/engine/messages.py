"""What a training says on stderr, once, however many processes train."""

from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

WARNING = "yellow"


@rank_zero_only
def say(text: str, style: str | None = None) -> None:
    """Print a line to stderr in the first process."""
    Console(stderr=True, soft_wrap=True).print(text, style=style, markup=False, highlight=False)
