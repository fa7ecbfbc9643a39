"""Build a dictionary: faces -> component features on disk -> K-means -> one safetensors file.

Eq. 1 of Jo et al. 2021; Li et al., ECCV 2020. Memory use is limited: the features of each component
and scale are written to a separate float16 file, batch by batch, and the files are clustered one
after another, in chunks. An interrupted build resumes: extraction after the last complete batch,
clustering at the first file without centres.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from faceskd.common.checks import check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError, FacesError, disk_full_as_error
from faceskd.common.files import atomic_path, make_folder, write_text
from faceskd.common.images import read_image, to_tensor
from faceskd.common.version import __version__
from faceskd.data.manifest import Record, draw_records, read_manifest
from faceskd.dictionary.kmeans import Clusters, Rows, kmeans
from faceskd.faces.components import COMPONENTS
from faceskd.models.blocks import fuse
from faceskd.models.dictionary import FACE_SIZE, Dictionary, atom_shape
from faceskd.models.transfer import cut_out
from faceskd.models.vgg import VGG19

FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class BuildSettings:
    """Settings of a build.

    Attributes:
        atoms: number K of atoms for each component and scale.
        seed: seed of K-means.
        initialisations, passes, iterations: see `faceskd.dictionary.kmeans.kmeans`.
        batch_size: faces that are encoded at once.
        limit: use only so many faces, drawn at random by the seed; None for all.
        size: side of the prepared faces, px; components grow with it.
    """

    atoms: int = 512
    seed: int = 0
    initialisations: int = 3
    passes: int = 3
    iterations: int = 20
    batch_size: int = 8
    limit: int | None = None
    size: int = FACE_SIZE

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name == "seed" else 1
            check = check_whole_or_none if name == "limit" else check_whole
            check(least, **{name: value})


@dataclass(frozen=True)
class Built:
    """A finished build: the dictionary, the clusters for each "tap/component", and the faces."""

    dictionary: Dictionary
    clusters: dict[str, Clusters]
    records: list[Record]


def build_dictionary(
    faces: Path | str,
    encoder: VGG19,
    out: Path | str,
    settings: BuildSettings,
    *,
    split: str = "train",
    keep_work: bool = False,
    extend: Path | str | None = None,
) -> Built:
    """Build a dictionary from the faces of one split and write it to `out`.

    Its card is written beside it, with the suffix .json. During the build, `<out>.work/` holds the
    intermediate files.

    Args:
        faces: folder of prepared faces.
        encoder: the encoder of the features.
        out: dictionary file to write.
        settings: settings of the build.
        split: split of the faces.
        keep_work: keep `<out>.work/` after the build.
        extend: a dictionary whose atoms stay as they are, before those of the new faces.

    Raises:
        DictionaryError: `extend` is no dictionary, or another encoder built it.
        FacesError: there is no face in the split, or one has another size than `settings.size`.
        ConfigError: there are fewer faces than atoms.
    """
    first = None if extend is None else Dictionary.load(extend)
    if first is not None:
        first.check_encoder(
            encoder.taps, encoder.feature_info, encoder.fingerprint(), face_size=settings.size
        )
    records = draw_records(read_manifest(faces, split), settings.limit, seed=settings.seed)
    if len(records) < settings.atoms:
        raise ConfigError(
            f"expected at least {settings.atoms} faces for K = {settings.atoms}, "
            f"got {len(records)} in the split {split!r}"
        )
    out = Path(out)
    work = _work_folder(out, encoder, records, settings)
    encoder = fuse(encoder).to(memory_format=torch.channels_last)
    keys = [f"{tap}/{component}" for tap in encoder.taps for component in COMPONENTS]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("encoding faces", total=len(records))
        extract(
            Path(faces), records, encoder, work, settings.batch_size, settings.size,
            on_faces=lambda done: progress.update(task, completed=done),
        )  # fmt: skip
        task = progress.add_task("clustering", total=len(keys))
        clusters = {}
        for key in keys:
            progress.update(task, description=f"clustering {key}")
            clusters[key] = _cluster(work, key, settings)
            progress.advance(task)
    dictionary = _assemble(encoder, clusters, records, settings)
    if first is not None:
        dictionary = first.extended(dictionary)
    dictionary.save(out)
    write_text(out.with_suffix(".json"), json.dumps(dictionary.provenance, indent=2))
    dictionary = Dictionary.load(out)
    if not keep_work:
        shutil.rmtree(work)
    return Built(dictionary, clusters, records)


def component_features(encoder: VGG19, hr: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """Cut the components out of all feature maps: "tap/component" -> (B, C, S, S).

    Args:
        encoder: the encoder of the features.
        hr: faces (B, 3, S, S) in [0, 1].
        boxes: component boxes (B, 4, 4), xyxy in pixels.
    """
    cuts = {}
    for tap, info, features in zip(encoder.taps, encoder.feature_info, encoder(hr), strict=True):
        for i, component in enumerate(COMPONENTS):
            size = atom_shape(component, info, hr.shape[-1])[1]
            cut = cut_out(features.float(), boxes[:, i] / info.stride, size)
            cuts[f"{tap}/{component}"] = cut
    return cuts


@torch.inference_mode()
def extract(
    faces: Path,
    records: Sequence[Record],
    encoder: VGG19,
    work: Path,
    batch_size: int,
    size: int,
    on_faces: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the component features of all faces to `work`; resumes an interrupted run."""
    progress = work / "extracted.json"
    done = json.loads(progress.read_text())["faces"] if progress.is_file() else 0
    on_faces(done)
    for start in range(done, len(records), batch_size):
        batch = records[start : start + batch_size]
        hr = to_tensor(np.stack([_read_face(faces / record.face, size) for record in batch]))
        boxes = torch.tensor([record.boxes for record in batch])
        for key, cut in component_features(encoder, hr, boxes).items():
            values = cut.flatten(1).clamp(-FLOAT16_MAX, FLOAT16_MAX).numpy().astype(np.float16)
            shape = (len(records), values.shape[1]) if start == 0 else None
            file = _open_features(work, key, shape)
            file[start : start + len(batch)] = values
            file.flush()
        write_text(progress, json.dumps({"faces": start + len(batch)}))
        on_faces(start + len(batch))


def _read_face(path: Path, size: int) -> np.ndarray:
    face = read_image(path)
    if face.shape != (size, size, 3):
        came = f"{face.shape[1]}x{face.shape[0]}"
        raise FacesError(
            f"expected faces of {size}x{size} px, but {path.name} is {came}; set size, or prepare "
            f"them with size={size}"
        )
    return face


def _features_path(work: Path, key: str) -> Path:
    return work / f"features_{key.replace('/', '_')}.npy"


def _open_features(work: Path, key: str, shape: tuple[int, int] | None) -> np.memmap:
    """Open a feature file. With `shape`, a new file replaces any incomplete one.

    Raises:
        DiskFullError: there is no space for the whole file. Without it, writing to the mapped file
            would end the process by a signal.
    """
    path = _features_path(work, key)
    if shape is None:
        return np.lib.format.open_memmap(path, "r+")
    with disk_full_as_error(path):
        features = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return features


def _cluster(work: Path, key: str, settings: BuildSettings) -> Clusters:
    """The clusters of one feature file; reads them if an earlier run wrote them."""
    path = work / f"clusters_{key.replace('/', '_')}.npz"
    if path.is_file():
        with np.load(path) as saved:
            arrays = {name: saved[name] for name in ("centres", "counts", "nearest")}
            return Clusters(
                **arrays,
                inertia=float(saved["inertia"]),
                iterations=int(saved["iterations"]),
                revived=int(saved["revived"]),
            )
    clusters = kmeans(
        Rows(_features_path(work, key), minimum=settings.atoms),
        clusters=settings.atoms,
        seed=settings.seed,
        initialisations=settings.initialisations,
        passes=settings.passes,
        iterations=settings.iterations,
    )
    with atomic_path(path) as temporary:
        np.savez(temporary, **vars(clusters))
    return clusters


def _work_folder(
    out: Path, encoder: VGG19, records: Sequence[Record], settings: BuildSettings
) -> Path:
    """The folder `<out>.work/`; it is emptied if it belongs to a build with other settings."""
    names = [(record.face, record.boxes) for record in records]
    build = {
        "encoder": encoder.fingerprint(),
        "faces": hashlib.sha256(json.dumps(names).encode()).hexdigest(),
        "settings": {k: v for k, v in vars(settings).items() if k != "batch_size"},
    }
    work = out.with_name(out.name + ".work")
    note = work / "build.json"
    if work.is_dir() and (not note.is_file() or json.loads(note.read_text()) != build):
        shutil.rmtree(work)
    make_folder(work)
    write_text(note, json.dumps(build))
    return work


def _assemble(
    encoder: VGG19,
    clusters: dict[str, Clusters],
    records: Sequence[Record],
    settings: BuildSettings,
) -> Dictionary:
    atoms = {}
    for tap, info in zip(encoder.taps, encoder.feature_info, strict=True):
        for component in COMPONENTS:
            key = f"{tap}/{component}"
            shape = (-1, *atom_shape(component, info, settings.size))
            atoms[key] = torch.from_numpy(clusters[key].centres).half().view(shape)
    provenance = {
        "faces": len(records),
        "taps": list(encoder.taps),
        "width": encoder.width,
        "size": settings.size,
        "encoder": encoder.fingerprint(),
        "atoms": settings.atoms,
        "seed": settings.seed,
        "inertia": {key: found.inertia for key, found in clusters.items()},
        "revived": {key: found.revived for key, found in clusters.items()},
        "counts": {key: found.counts.tolist() for key, found in clusters.items()},
        "versions": {
            "faceskd": __version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
        },
    }
    return Dictionary(atoms, encoder.fingerprint(), provenance)
