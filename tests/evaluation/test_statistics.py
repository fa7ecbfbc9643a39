"""Paired comparisons against literal forms and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, rankdata, ttest_ind, ttest_rel

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


def trained(rng, count, faces, *, method=1.0):
    """Trainings on faces (trainings, faces): each differs by a constant, each face by its own.

    Args:
        rng: generator of random numbers.
        count: number of trainings.
        faces: difficulties of the faces, which all methods share.
        method: standard deviation of what a face means to this method in particular.
    """
    own = rng.normal(0, method, len(faces))
    return faces + own + rng.normal(0, 0.5, (count, 1)) + rng.normal(0, 0.1, (count, len(faces)))


def compared(a, b):
    return compare_paired([by_face(run) for run in a], [by_face(run) for run in b])


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


@pytest.mark.parametrize("method", [0.1, 2.0])
def test_the_interval_contains_the_true_difference_in_95_of_100_cases(method):
    rng = np.random.default_rng(4)
    hits, cases = 0, 1500
    for _ in range(cases):
        faces = rng.normal(25, 3, 40)
        found = compared(*(trained(rng, 3, faces, method=method) for _ in range(2)))
        hits += found.low <= 0 <= found.high
    assert hits / cases == pytest.approx(0.95, abs=0.02)


def test_with_many_faces_the_interval_is_that_of_welchs_test():
    rng = np.random.default_rng(2)
    faces = rng.normal(25, 3, 20_000)
    a, b = trained(rng, 3, faces, method=0.1), trained(rng, 2, faces, method=0.1)
    found = compared(a, b)
    test = ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    literal = test.confidence_interval(0.95)
    assert [found.low, found.high] == pytest.approx([literal.low, literal.high], rel=1e-3)


@pytest.mark.parametrize("trainings", [(3, 1), (1, 3)])
def test_where_one_method_has_one_training_the_interval_is_over_faces(trainings):
    rng = np.random.default_rng(3)
    faces = rng.normal(25, 3, 60)
    a, b = (trained(rng, number, faces) for number in trainings)
    found, means = compared(a, b), compared([a.mean(axis=0)], [b.mean(axis=0)])
    assert (found.low, found.high) == (means.low, means.high)
    assert not found.over_trainings
    assert compared(a[[0, 0]], b[[0, 0]]).over_trainings


def test_trainings_that_are_the_same_are_paired():
    """The interval of a paired t test of the trainings: their own level cancels."""
    rng = np.random.default_rng(5)
    faces = rng.normal(25, 3, 20_000)
    b = trained(rng, 3, faces)
    a = b + 0.05 + rng.normal(0, 0.01, (3, 1))
    shared, apart = (
        compare_paired(
            [by_face(run) for run in a], [by_face(run) for run in b], same_trainings=same
        )
        for same in (True, False)
    )
    literal = ttest_rel(a.mean(axis=1), b.mean(axis=1)).confidence_interval(0.95)
    assert [shared.low, shared.high] == pytest.approx([literal.low, literal.high], rel=1e-3)
    assert shared.low > 0 > apart.low
    with pytest.raises(ConfigError, match="as many trainings of both, got 3 and 2"):
        compare_paired([by_face(run) for run in a], [by_face(run) for run in b[:2]],
                       same_trainings=True)  # fmt: skip


def test_every_training_has_the_same_faces():
    with pytest.raises(ConfigError, match="same faces"):
        compare_paired([by_face([1, 2]), by_face([1, 2, 3])], by_face([1, 2]))
