"""Hypotheses about pairs of methods, and what the figures of the same faces say about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean as mean
from typing import Any

from faceskd.evaluation.statistics import Paired, adjusted, compare_paired
from faceskd.reporting.tables import format_cell
from faceskd.reproduce import published
from faceskd.reproduce.tables import Evaluated, direction

COMPARED = ("psnr", "lpips")
"""Metrics in which methods are compared, by the beginning of their names."""
CONFIRMED, CONTRADICTED, UNDECIDED = VERDICTS = ("confirmed", "contradicted", "undecided")
OVER_TRAININGS, OVER_FACES = SPREADS = ("faces and trainings", "faces only")


@dataclass(frozen=True)
class Hypothesis:
    """The first method is better than the second in one metric, or as good as it.

    Attributes:
        evaluation, first, second, metric: what is compared.
        paired: the differences over faces and trainings.
        adjusted_p: p value, corrected for the number of tests.
        limit: "as good as" means worse by at most this; None for "better than".
        paper: the difference that the paper reports; None where it has none.
    """

    evaluation: str
    first: str
    second: str
    metric: str
    paired: Paired
    adjusted_p: float
    limit: float | None = None
    paper: float | None = None

    @property
    def verdict(self) -> str:
        """Confirmed or contradicted if all of the interval says so, else undecided."""
        sign = 1 if direction(self.metric) == "higher" else -1
        low, high = sorted((sign * self.paired.low, sign * self.paired.high))
        least = -(self.limit or 0)
        if low > least:
            return CONFIRMED
        return CONTRADICTED if high < least else UNDECIDED

    @property
    def spread(self) -> str:
        """What the interval is over, one of SPREADS."""
        return OVER_TRAININGS if self.paired.over_trainings else OVER_FACES

    def row(self) -> dict[str, Any]:
        """A row of the table of comparisons."""
        paired = self.paired
        return {
            "faces": self.evaluation,
            "first": self.first,
            "second": self.second,
            "trainings": "{}, {}".format(*paired.trainings),
            "metric": self.metric,
            "first - second": round(paired.difference, 4),
            "95 % interval": self._interval(),
            "interval over": self.spread,
            "paper": None if self.paper is None else f"{self.paper:.4g}",
            "relative, %": f"{100 * paired.relative:.2f}",
            "p": p_text(paired.p_value),
            "p, adjusted": p_text(self.adjusted_p),
            "hypothesis": "better" if self.limit is None else "as good",
            "verdict": self.verdict,
        }

    def sentence(self) -> str:
        """The hypothesis and its figures in words."""
        relation = "better than" if self.limit is None else "as good as"
        paper = "" if self.paper is None else f"; in the paper {self.paper:.4g}"
        return (
            f"{self.first} is {relation} {self.second} in {self.metric} (table of "
            f"`{self.evaluation}`): {self.first} minus {self.second} is "
            f"{self.paired.difference:+.4f} ({direction(self.metric)} is better), 95 % interval "
            f"{self._interval()} over {self.spread}{paper}; "
            f"{' and '.join(map(str, self.paired.trainings))} trainings"
        )

    def _interval(self) -> str:
        low, high = (format_cell("", value) for value in (self.paired.low, self.paired.high))
        return f"{low} to {high}"


def p_text(p: float) -> str:
    """A p value with two digits.

    Examples:
        >>> p_text(0.0234), p_text(0.00002)
        ('0.023', '< .0001')
    """
    return "< .0001" if p < 0.0001 else f"{p:.2g}"


def compare_methods(
    evaluations: Sequence[Evaluated],
    better: Sequence[Sequence[str]],
    as_good: Sequence[Sequence[str]] = (),
    trained_as: Mapping[str, str] | None = None,
) -> list[Hypothesis]:
    """Paired comparisons `(evaluation, first, second)` in PSNR and LPIPS, if both were measured.

    Args:
        evaluations: the tables.
        better: pairs of which the first method should be better.
        as_good: pairs of which the first should be worse by no more than `published.LIMITS`.
        trained_as: method -> method of which it has the trainings, with another dictionary.
    """
    by_name = {evaluated.name: evaluated for evaluated in evaluations}
    found: list[tuple[tuple[str, str, str, str], Paired, float | None, float | None]] = []
    for wanted, has_limit in ((better, False), (as_good, True)):
        for evaluation, first, second in wanted:
            if (evaluated := by_name.get(evaluation)) is None:
                continue
            for metric in evaluated.metrics():
                a, b = evaluated.figures(first, metric), evaluated.figures(second, metric)
                if not metric.startswith(COMPARED) or not a or not b or len(a[0]) < 2:
                    continue
                base = mean(value for values in b for value in values.values())
                limit = published.limit(metric, base) if has_limit else None
                paper = published.difference(evaluated.paper, first, second, metric)
                names = (evaluation, first, second, metric)
                same = (trained_as or {}).get(first) == second
                paired = compare_paired(a, b, same_trainings=same)
                found.append((names, paired, limit, paper))
    p_values = adjusted([paired.p_value for _, paired, _, _ in found])
    return [
        Hypothesis(*names, paired, p, limit, paper)
        for (names, paired, limit, paper), p in zip(found, p_values, strict=True)
    ]


def conclusions(hypotheses: Sequence[Hypothesis]) -> list[str]:
    """Markdown: the hypotheses that are confirmed, contradicted and undecided.

    Those whose interval is over faces only come apart: other trainings may decide otherwise.
    """
    parts = []
    for verdict, spread in product(VERDICTS, SPREADS):
        lines = [
            f"- {one.sentence()}"
            for one in hypotheses
            if (one.verdict, one.spread) == (verdict, spread)
        ]
        if lines:
            count = f"{len(lines)} of {len(hypotheses)}"
            head = f"**{verdict.capitalize()}, over {spread}**, {count}:"
            parts.append("\n".join([head, "", *lines]))
    return parts
