"""K-means over a file: against scikit-learn's on what fits in memory."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from faceskd.common.errors import ConfigError
from faceskd.dictionary import kmeans as clustering
from faceskd.dictionary.build import BuildSettings
from faceskd.dictionary.kmeans import NEAREST, Clusters, Rows, _assign, _revive, kmeans

Save = Callable[..., Rows]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Write values as float16 rows, and open them."""
    folder = tmp_path_factory.mktemp("rows")

    def write(values: np.ndarray, minimum: int = 1) -> Rows:
        np.save(folder / "rows.npy", values.astype(np.float16))
        return Rows(folder / "rows.npy", minimum=minimum)

    return write


def blobs(clusters: int, each: int, width: int, *, spread: float = 0.3, seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    centres = 20 * rng.standard_normal((clusters, width))
    labels = rng.permutation(np.repeat(np.arange(clusters), each))
    return centres[labels] + spread * rng.standard_normal((len(labels), width)), labels


def squared_distances(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Every row from every centre, by subtraction, in float64: (N, K)."""
    difference = values[:, None].astype(np.float64) - centres[None].astype(np.float64)
    return (difference**2).sum(-1)


def check(found: Clusters, values: np.ndarray, clusters: int) -> None:
    """What holds of every result, whatever the rows."""
    assert found.centres.shape == (clusters, values.shape[1])
    assert np.isfinite(found.centres).all()
    assert found.counts.min() >= 1
    assert found.counts.sum() == len(values)
    for count, members in zip(found.counts, found.nearest, strict=True):
        known = members[members >= 0]
        assert len(known) == min(count, NEAREST)
        assert len(set(known)) == len(known)
        assert (members[len(known) :] == -1).all()
    everyone = found.nearest[found.nearest >= 0]
    assert len(set(everyone)) == len(everyone)  # a row has one cluster


@pytest.mark.parametrize("chunk_rows", [None, 40])
def test_separate_blobs_as_scikit_learn(
    save: Save, monkeypatch: pytest.MonkeyPatch, chunk_rows: int | None
) -> None:
    values, labels = blobs(12, 40, 6)
    if chunk_rows is not None:
        monkeypatch.setattr(clustering, "CHUNK_BYTES", chunk_rows * 4 * 6)
    rows = save(values, minimum=12)
    assert rows.chunk == (chunk_rows or clustering.CHUNK_BYTES // 24)
    found = kmeans(rows, clusters=12, seed=1)
    values = values.astype(np.float16).astype(np.float32)
    check(found, values, 12)
    reference = KMeans(12, n_init=10, random_state=0).fit(values)
    ours = squared_distances(values, found.centres).argmin(1)
    assert adjusted_rand_score(reference.labels_, ours) == 1
    assert adjusted_rand_score(labels, ours) == 1
    assert found.inertia == pytest.approx(reference.inertia_, rel=1e-3)
    assert sorted(found.counts) == [40] * 12


def test_rows_without_structure_are_clustered_nearly_as_well(save: Save) -> None:
    ratios = []
    for seed in range(4):
        values = np.random.default_rng(seed).standard_normal((600, 8)).astype(np.float16)
        found = kmeans(save(values), clusters=20, seed=0)
        reference = KMeans(20, n_init=10, random_state=0).fit(values.astype(np.float32))
        check(found, values, 20)
        ratios.append(found.inertia / reference.inertia_)
    assert max(ratios) < 1.03
    assert np.mean(ratios) < 1.02


def test_counts_nearest_and_inertia_by_brute_force(save: Save) -> None:
    values = np.random.default_rng(1).standard_normal((300, 5)).astype(np.float16)
    found = kmeans(save(values), clusters=9, seed=0)
    distances = squared_distances(values, found.centres)
    labels = distances.argmin(1)
    assert found.counts.tolist() == np.bincount(labels, minlength=9).tolist()
    assert found.inertia == pytest.approx(distances.min(1).sum(), rel=1e-5)
    for label in range(9):
        members = np.flatnonzero(labels == label)
        order = members[np.argsort(distances[members, label])][:NEAREST]
        expected = distances[order, label]
        came = distances[found.nearest[label][: len(order)], label]
        np.testing.assert_allclose(came, expected, rtol=1e-4)
        assert set(found.nearest[label][: len(order)]) <= set(members)


def test_refinement_ends_at_a_fixed_point(save: Save) -> None:
    """With the tolerance at zero every centre is the mean of its members."""
    values = np.random.default_rng(2).standard_normal((200, 4)).astype(np.float16)
    found = kmeans(save(values), clusters=6, iterations=200, tolerance=0)
    labels = squared_distances(values, found.centres).argmin(1)
    means = [values[labels == label].astype(np.float64).mean(0) for label in range(6)]
    np.testing.assert_allclose(found.centres, means, atol=1e-5)
    assert found.iterations < 200


@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 1000])
def test_assignment_in_chunks_is_that_of_the_whole(
    save: Save, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    rng = np.random.default_rng(3)
    values, centres = rng.standard_normal((150, 6)), rng.standard_normal((11, 6))
    monkeypatch.setattr(clustering, "CHUNK_BYTES", chunk_rows * 4 * 6)
    rows = save(values)
    found = _assign(rows, centres.astype(np.float32))
    stored = values.astype(np.float16)
    distances = squared_distances(stored, centres.astype(np.float32))
    labels = distances.argmin(1)
    assert found.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(found.distances, distances.min(1), rtol=1e-4, atol=1e-5)
    sums = np.stack([stored[labels == k].astype(np.float64).sum(0) for k in range(11)])
    np.testing.assert_allclose(found.sums, sums, atol=1e-4)
    assert found.counts.tolist() == np.bincount(labels, minlength=11).tolist()
    assert found.sums.dtype == np.float32  # 0.8 GB for the paper's mouths, not 1.6
    assert _assign(rows, centres[:1].astype(np.float32)).sums.dtype == np.float64


def test_chunks_cover_every_row_once_in_any_order(save: Save) -> None:
    values = np.arange(23.0)[:, None].repeat(3, 1)
    rows = save(values)
    rows.chunk = 5
    for order in (None, np.random.default_rng(0)):
        chunks = dict(rows.chunks(order))
        assert sorted(chunks) == [0, 5, 10, 15, 20]
        together = np.concatenate([chunks[start] for start in sorted(chunks)])
        np.testing.assert_array_equal(together, values)
        assert together.dtype == np.float32


def test_mini_batches_are_chunks_in_random_order(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, read = save(np.random.default_rng(7).standard_normal((60, 3))), []
    rows.chunk = 5
    take = rows.read
    monkeypatch.setattr(rows, "read", lambda start, stop: read.append(start) or take(start, stop))
    clustering._mini_batch(rows, 4, seed=0, passes=2)
    first, second = read[:12], read[12:]
    assert sorted(first) == sorted(second) == list(range(0, 60, 5))
    assert first != sorted(first) and second not in (first, sorted(second))


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_no_more_iterations_than_allowed(save: Save, iterations: int) -> None:
    rows = save(np.random.default_rng(8).standard_normal((300, 6)))
    found = kmeans(rows, clusters=20, iterations=iterations, passes=1, tolerance=0)
    assert found.iterations == iterations


def test_defaults_are_those_of_a_build() -> None:
    defaults = {name: p.default for name, p in inspect.signature(kmeans).parameters.items()}
    settings = BuildSettings()
    for name in ("seed", "initialisations", "passes", "iterations"):
        assert defaults[name] == getattr(settings, name), name


def test_a_seed_repeats_and_another_starts_elsewhere(save: Save) -> None:
    rows = save(np.random.default_rng(4).standard_normal((200, 6)))
    options = {"clusters": 15, "initialisations": 1, "iterations": 1}
    first, again = kmeans(rows, seed=5, **options), kmeans(rows, seed=5, **options)
    for name in ("centres", "counts", "nearest"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.inertia == again.inertia
    assert not np.array_equal(first.centres, kmeans(rows, seed=6, **options).centres)


def test_the_best_initialisation_goes_on(save: Save) -> None:
    values = np.random.default_rng(6).standard_normal((100, 2)).astype(np.float16)
    rows = save(values)
    starts = [clustering._mini_batch(rows, 10, seed, 3) for seed in range(5)]
    first = [squared_distances(values, centres).min(1).sum() for centres in starts]
    best = int(np.argmin(first))
    assert best not in (0, 4)  # neither the first nor the last, which would be taken by mistake
    options = {"clusters": 10, "iterations": 1}
    found = kmeans(rows, seed=0, initialisations=5, **options)
    alone = kmeans(rows, seed=best, initialisations=1, **options)
    np.testing.assert_array_equal(found.centres, alone.centres)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(0, 100))
def test_no_cluster_is_ever_without_members(
    tmp_path_factory: pytest.TempPathFactory, count: int, distinct: int, width: int, seed: int
) -> None:
    """Repeated rows, K up to N, chunks smaller than K."""
    rng = np.random.default_rng(seed)
    pool = (10 * rng.standard_normal((distinct, width))).astype(np.float16)
    values = pool[rng.integers(distinct, size=count)]
    path = tmp_path_factory.getbasetemp() / "repeated.npy"
    np.save(path, values)
    rows = Rows(path)
    rows.chunk = int(rng.integers(1, 12))
    clusters = int(rng.integers(1, count + 1))
    found = kmeans(rows, clusters=clusters, seed=seed, initialisations=1, passes=1)
    check(found, values, clusters)


def test_a_revived_cluster_never_takes_the_last_member_of_another(save: Save) -> None:
    values = np.array([[0.0], [1.0], [90.0], [3.0]])
    rows = save(values)
    centres = np.array([[1.0], [50.0], [999.0], [998.0]], np.float32)
    assignment = _assign(rows, centres)
    assert assignment.labels.tolist() == [0, 0, 1, 0]  # row 2 is farthest, and alone
    assert _revive(rows, assignment) == 2
    assert assignment.counts.tolist() == [1, 1, 1, 1]
    assert sorted(assignment.labels) == [0, 1, 2, 3]
    np.testing.assert_allclose(assignment.means()[assignment.labels], values)
    assert assignment.distances[[3, 0]].tolist() == [0, 0]


def test_identical_rows_end_and_share_themselves_out(save: Save) -> None:
    found = kmeans(save(np.full((40, 3), 2.5)), clusters=8)
    check(found, np.zeros((40, 3)), 8)
    np.testing.assert_array_equal(found.centres, 2.5)
    assert found.inertia == 0


def test_as_many_clusters_as_rows(save: Save) -> None:
    values = (10 * np.random.default_rng(5).standard_normal((25, 4))).astype(np.float16)
    found = kmeans(save(values), clusters=25)
    assert found.counts.tolist() == [1] * 25
    np.testing.assert_allclose(
        np.sort(found.centres, axis=0), np.sort(values.astype(np.float32), axis=0), atol=1e-3
    )


def test_a_far_outlier_gets_its_own_cluster_rather_than_none(save: Save) -> None:
    values, _ = blobs(3, 30, 4)
    values[7] = 500
    found = kmeans(save(values), clusters=4, initialisations=1)
    assert sorted(found.counts)[0] == 1
    assert found.nearest[found.counts.argmin()][0] == 7


def test_fewer_rows_than_clusters(save: Save) -> None:
    with pytest.raises(ConfigError, match="at least 9 faces for K = 9, got 8"):
        kmeans(save(np.zeros((8, 2))), clusters=9)


@pytest.mark.parametrize("name", ["clusters", "initialisations", "passes", "iterations"])
def test_numbers_that_are_not_positive(save: Save, name: str) -> None:
    with pytest.raises(ConfigError, match="positive"):
        kmeans(save(np.zeros((8, 2))), **{"clusters": 2, name: 0})
