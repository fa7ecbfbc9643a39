"""Contact sheets: pictures of the face components that belong to each atom of a dictionary."""

from pathlib import Path

import cv2
import numpy as np

from faceskd.common.images import read_image, write_image
from faceskd.dictionary.build import Built
from faceskd.dictionary.kmeans import Clusters
from faceskd.faces.components import COMPONENTS

CELL = 56
GAP = 4
WHITE = 255


def write_contact_sheets(
    built: Built, faces: Path | str, folder: Path | str, rows: int = 20
) -> None:
    """Write one PNG for each tap and component, with one row for each atom.

    A row shows the number of members of the cluster, the mean of the nearest members, and these
    members.

    Args:
        built: a finished build.
        faces: folder of prepared faces that the dictionary was built from.
        folder: folder for the PNG files.
        rows: number of atoms to show; those with most members come first.
    """
    for index, component in enumerate(COMPONENTS):
        patches: dict[int, np.ndarray] = {}
        for key, clusters in built.clusters.items():
            if not key.endswith(component):
                continue
            shown = np.argsort(-clusters.counts, kind="stable")[:rows]
            for row in clusters.nearest[shown].ravel():
                if row >= 0 and row not in patches:
                    record = built.records[row]
                    patches[row] = _patch(
                        read_image(Path(faces) / record.face), record.boxes[index]
                    )
            name = key.replace("/", "_")
            write_image(Path(folder) / f"{name}.png", contact_sheet(clusters, shown, patches))


def contact_sheet(
    clusters: Clusters, atoms: np.ndarray, patches: dict[int, np.ndarray]
) -> np.ndarray:
    """Picture uint8 (height, width, 3); for each atom: member count, mean, nearest members."""
    sheet_rows = []
    for atom in atoms:
        members = [patches[row] for row in clusters.nearest[atom] if row >= 0]
        mean = np.mean(members, axis=0).round().astype(np.uint8)
        blank = np.full_like(mean, WHITE)
        label = cv2.putText(
            blank.copy(), str(clusters.counts[atom]), (4, CELL // 2 + 6),
            cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA,
        )  # fmt: skip
        missing = clusters.nearest.shape[1] - len(members)
        cells = [label, mean, *members, *[blank] * missing]
        sheet_rows.append(np.concatenate([_framed(cell) for cell in cells], axis=1))
    return np.concatenate(sheet_rows)


def _patch(face: np.ndarray, box: list[float]) -> np.ndarray:
    """A component of a face, resized to CELL x CELL px."""
    x1, y1, x2, y2 = (round(value) for value in box)
    x1, y1 = min(max(x1, 0), face.shape[1] - 1), min(max(y1, 0), face.shape[0] - 1)
    cut = face[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return cv2.resize(cut, (CELL, CELL), interpolation=cv2.INTER_AREA)


def _framed(cell: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(cell, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(WHITE,) * 3)
