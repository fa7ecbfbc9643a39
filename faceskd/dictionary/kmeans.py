"""K-means for more rows than fit into memory.

Rows are in a float16 .npy file and are read in chunks. `MiniBatchKMeans` (Sculley, WWW 2010;
scikit-learn) finds centres from several initialisations. Exact Lloyd iterations over all chunks
then refine the best of them. A cluster that lost all its members gets a new centre.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from faceskd.common.errors import ConfigError

CHUNK_BYTES = 192 * 2**20
"""Size of a chunk in bytes, as float32. scikit-learn holds two or three chunks in memory."""
NEAREST = 8
"""Number of members per cluster, nearest to its centre, that are recorded."""
LAST_ROUNDS = 10


class Rows:
    """Rows of a float16 .npy file, read as float32 in chunks.

    The file is mapped anew for each chunk, so that pages do not accumulate in memory.
    """

    def __init__(self, path: Path | str, *, minimum: int = 1) -> None:
        self.path = Path(path)
        mapped = np.load(self.path, mmap_mode="r")
        self.count, self.width = mapped.shape
        self.chunk = max(minimum, CHUNK_BYTES // (4 * self.width))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop, float32 (n, width)."""
        mapped = np.load(self.path, mmap_mode="r")
        return mapped[start:stop].astype(np.float32)

    def chunks(self, order: np.random.Generator | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(index of the first row, rows) of each chunk; in random order if a generator is given."""
        starts = np.arange(0, self.count, self.chunk)
        for start in starts if order is None else order.permutation(starts):
            yield int(start), self.read(int(start), min(int(start) + self.chunk, self.count))


@dataclass(frozen=True)
class Clusters:
    """Result of `kmeans`.

    Attributes:
        centres: cluster centres (K, width), float32.
        counts: number of members of each cluster, (K,); at least 1.
        nearest: indices of the members nearest to each centre, (K, NEAREST); -1 if there are fewer.
        inertia: sum of squared distances of all rows to their centres.
        iterations: number of exact iterations.
        revived: how often a cluster without members got a new centre, in all iterations.
    """

    centres: np.ndarray
    counts: np.ndarray
    nearest: np.ndarray
    inertia: float
    iterations: int
    revived: int


@dataclass(frozen=True)
class _Assignment:
    labels: np.ndarray
    distances: np.ndarray  # squared
    sums: np.ndarray
    counts: np.ndarray

    @property
    def inertia(self) -> float:
        return float(self.distances.sum())

    def means(self) -> np.ndarray:
        return (self.sums / self.counts[:, None]).astype(np.float32)


def kmeans(
    rows: Rows,
    *,
    clusters: int,
    seed: int = 0,
    initialisations: int = 3,
    passes: int = 3,
    iterations: int = 20,
    tolerance: float = 1e-4,
) -> Clusters:
    """Cluster all rows.

    Args:
        rows: the rows to cluster.
        clusters: number of clusters, K.
        seed: seed of the initialisations.
        initialisations: number of mini-batch runs from different k-means++ centres; the best is
            refined.
        passes: passes over all rows in each mini-batch run.
        iterations: largest number of exact iterations.
        tolerance: refinement stops when the inertia falls by less than this share.

    Raises:
        ConfigError: there are fewer rows than clusters, or a number is not positive.
    """
    if min(clusters, initialisations, passes, iterations) < 1:
        raise ConfigError(
            f"expected positive numbers, got {clusters} clusters, {initialisations} "
            f"initialisations, {passes} passes and {iterations} iterations"
        )
    if rows.count < clusters:
        raise ConfigError(
            f"expected at least {clusters} faces for K = {clusters}, got {rows.count}"
        )
    candidates = []
    for index in range(initialisations):
        centres = _mini_batch(rows, clusters, seed + index, passes)
        candidates.append((_assign(rows, centres).inertia, index, centres))
    centres = min(candidates)[2]
    inertia, revived, done = np.inf, 0, 0
    while done < iterations:
        assignment = _assign(rows, centres)
        dead = _revive(rows, assignment)
        centres = assignment.means()
        revived, done = revived + dead, done + 1
        previous, inertia = inertia, assignment.inertia
        if dead == 0 and previous - inertia <= tolerance * inertia:
            break
    return _finish(rows, centres, done, revived)


def _mini_batch(rows: Rows, clusters: int, seed: int, passes: int) -> np.ndarray:
    model = MiniBatchKMeans(
        clusters, init="k-means++", n_init=1, random_state=seed, reassignment_ratio=0.01
    )
    order = np.random.default_rng(seed)
    pending: np.ndarray | None = None
    for _ in range(passes):
        for _, chunk in rows.chunks(order):
            # The first centres are drawn from one chunk, which must hold enough rows.
            chunk = chunk if pending is None else np.concatenate((pending, chunk))
            pending = chunk if len(chunk) < clusters else None
            if pending is None:
                model.partial_fit(chunk)
    return model.cluster_centers_.astype(np.float32)


def _assign(rows: Rows, centres: np.ndarray) -> _Assignment:
    """The nearest centre of each row, and the sum of the rows of each centre."""
    labels = np.empty(rows.count, np.int64)
    distances = np.empty(rows.count, np.float64)
    # float32 halves the memory: 0.8 GB for the paper's mouths. One cluster alone adds up all rows:
    # there float32 would round most, and float64 costs next to nothing.
    sums = np.zeros(centres.shape, np.float64 if len(centres) == 1 else np.float32)
    counts = np.zeros(len(centres), np.int64)
    norms = np.einsum("kd,kd->k", centres, centres)
    for start, chunk in rows.chunks():
        stop = start + len(chunk)
        squared = norms - 2 * chunk @ centres.T + np.einsum("nd,nd->n", chunk, chunk)[:, None]
        nearest = squared.argmin(1)
        labels[start:stop] = nearest
        distances[start:stop] = np.maximum(squared[np.arange(len(chunk)), nearest], 0)
        for label in np.unique(nearest):
            sums[label] += chunk[nearest == label].sum(0)
        counts += np.bincount(nearest, minlength=len(centres))
    return _Assignment(labels, distances, sums, counts)


def _revive(rows: Rows, assignment: _Assignment) -> int:
    """Give each cluster without members the row farthest from its centre; returns their number.

    The row leaves its old cluster, unless it is the last member there.
    """
    labels, counts = assignment.labels, assignment.counts
    dead = np.flatnonzero(counts == 0)
    farthest = iter(np.argsort(-assignment.distances, kind="stable"))
    for label in dead:
        row = next(r for r in farthest if counts[labels[r]] > 1)
        values = rows.read(row, row + 1)[0]
        assignment.sums[labels[row]] -= values
        counts[labels[row]] -= 1
        assignment.sums[label] = values
        counts[label] = 1
        labels[row] = label
        assignment.distances[row] = 0
    return len(dead)


def _finish(rows: Rows, centres: np.ndarray, iterations: int, revived: int) -> Clusters:
    """Count members, and revive clusters until each has at least one member.

    If rows are repeated, centres can stay equal, and all members go to the first of them. Then the
    rows that `_revive` moved stay in their new clusters.
    """
    for _ in range(LAST_ROUNDS):
        assignment = _assign(rows, centres)
        dead = _revive(rows, assignment)
        if dead == 0:
            break
        centres = assignment.means()
        revived += dead
    nearest = np.full((len(centres), NEAREST), -1)
    for row in np.argsort(assignment.distances, kind="stable"):
        places = nearest[assignment.labels[row]]
        free = np.flatnonzero(places < 0)
        if len(free):
            places[free[0]] = row
    return Clusters(centres, assignment.counts, nearest, assignment.inertia, iterations, revived)
