"""Paired comparisons against literal forms and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, rankdata

from faceskd.common.errors import ConfigError
from faceskd.evaluation.statistics import adjusted, compare_paired

FIGURES = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=30)


def by_face(values):
    return {f"face{i}": float(value) for i, value in enumerate(values)}


def samples(count, shift=0.3):
    rng = np.random.default_rng(1)
    b = rng.normal(25, 3, count)  # faces differ by much more than methods do
    return b + rng.normal(shift, 0.5, count), b


def test_interval_is_that_of_a_bootstrap_of_the_differences():
    a, b = samples(60)
    found = compare_paired(by_face(a), by_face(b))
    drawn = np.random.default_rng(7).integers(0, 60, (20000, 60))
    literal = np.percentile((a - b)[drawn].mean(axis=1), [2.5, 97.5])
    assert [found.low, found.high] == pytest.approx(literal, abs=0.02)
    scipys = bootstrap(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis), paired=True, vectorized=True,
        method="percentile", n_resamples=5000, rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    assert [found.low, found.high] == pytest.approx(list(scipys), abs=0.02)


def test_pairs_tell_what_intervals_of_each_method_do_not():
    a, b = samples(60)
    found = compare_paired(by_face(a), by_face(b))
    assert found.low > 0
    assert found.high - found.low < 0.3 < np.std(b) / np.sqrt(60) * 1.96


def test_p_value_is_wilcoxons():
    """Signed-rank sum against its normal approximation."""
    a, b = samples(200, shift=0.05)
    differences = a - b
    ranks = rankdata(np.abs(differences))
    total = ranks[differences > 0].sum()
    n = len(differences)
    z = (total - n * (n + 1) / 4) / np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    found = compare_paired(by_face(a), by_face(b))
    assert found.p_value == pytest.approx(2 * norm.sf(abs(z)), rel=0.02)


def test_no_difference_is_none():
    values = by_face([1.0, 2.0, 3.0])
    found = compare_paired(values, values)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_faces_are_matched_by_name():
    a, b = by_face([1.0, 2.0, 4.0]), by_face([0.0, 0.0, 0.0])
    backwards = dict(reversed(list(b.items())))
    assert compare_paired(a, backwards) == compare_paired(a, b)
    assert compare_paired(a, b).relative == 0  # nothing to be relative to


@settings(max_examples=10)
@given(FIGURES)
def test_swapping_the_methods_turns_the_sign(values):
    a, b = by_face(values), by_face(np.zeros(len(values)) + 1)
    there, back = compare_paired(a, b), compare_paired(b, a)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == pytest.approx(back.p_value)
    assert there.low <= there.difference + 1e-9
    assert there.difference <= there.high + 1e-9


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({"x": 1.0, "y": 2.0}, {"x": 1.0, "z": 2.0}, "got 2 and 2, of which 1 are the same"),
        ({"x": 1.0}, {"x": 2.0}, "at least 2"),
    ],
)
def test_other_faces_and_too_few(a, b, message):
    with pytest.raises(ConfigError, match=message):
        compare_paired(a, b)


def test_adjustment_is_benjamini_and_hochbergs():
    p = np.array([0.001, 0.3, 0.02, 0.04, 0.04])
    order = np.argsort(p)
    literal = np.empty(5)
    for place, index in enumerate(order):
        literal[index] = min(5 * p[other] / (later + 1) for later, other in
                             enumerate(order) if later >= place)  # fmt: skip
    assert adjusted(p.tolist()) == pytest.approx(np.minimum(literal, 1))
    assert adjusted([]) == []


# Several trainings of a method.


def trained(count, faces, spread, seed=2):
    """Trainings that differ by a constant each, on faces that differ by more."""
    rng = np.random.default_rng(seed)
    face, training = rng.normal(25, 3, faces), rng.normal(0, spread, count)
    return [by_face(face + shift + rng.normal(0, 0.1, faces)) for shift in training]


def test_one_training_in_a_list_is_one_training():
    a, b = samples(20)
    assert compare_paired([by_face(a)], [by_face(b)]) == compare_paired(by_face(a), by_face(b))


def test_the_interval_of_trainings_that_agree_is_that_of_the_faces():
    """Equal trainings: nothing but faces is drawn, whatever the number of trainings."""
    a, b = samples(60)
    one = compare_paired(by_face(a), by_face(b))
    three = compare_paired([by_face(a)] * 3, [by_face(b)] * 2)
    assert three.trainings == (3, 2)
    assert three.difference == pytest.approx(one.difference)
    assert [three.low, three.high] == pytest.approx([one.low, one.high], abs=0.02)
    assert three.p_value == pytest.approx(one.p_value)


def test_trainings_that_differ_widen_the_interval():
    """By the spread of the mean of three: here faces add next to nothing."""
    a, b = trained(3, 200, 0.5), trained(3, 200, 0.0)
    found = compare_paired(a, b)
    means = np.array([np.mean(list(run.values())) for run in a])
    drawn = np.random.default_rng(5).integers(0, 3, (20000, 3))
    literal = means[drawn].mean(axis=1) - np.mean([list(run.values()) for run in b])
    low, high = np.percentile(literal, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.05)
    assert found.high == pytest.approx(high, abs=0.05)


def test_every_training_has_the_same_faces():
    with pytest.raises(ConfigError, match="same faces"):
        compare_paired([by_face([1, 2]), by_face([1, 2, 3])], by_face([1, 2]))
