"""`faceskd release verify`: are files, figures, plan and data what index and cards say?"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from faceskd.common.config import compose, conf_dir, to_plain
from faceskd.common.errors import FaceskdError
from faceskd.data.layout import OK, verify
from faceskd.data.manifest import faces_sha256
from faceskd.data.sources import read_sources, sources_sha256
from faceskd.pretrained import (
    FOLDER,
    PretrainedModel,
    available_models,
    load_pretrained,
    model_card,
    model_path,
)
from faceskd.pretrained.golden import differences, golden_figures, golden_path, read_golden
from faceskd.reproduce.evaluations import with_evaluations
from faceskd.reproduce.provenance import plan_sha256

DIFFERS, MISSING, UNKNOWN = "differs", "missing", "unknown"
FAILED = (DIFFERS, MISSING)


@dataclass(frozen=True)
class Check:
    """One thing that was recomputed.

    Attributes:
        model: full name, or "photos" or "faces".
        what: "file", "golden figures", "plan", "table of faces", ...
        status: "ok", "differs", "missing", or "unknown" where the card says nothing of it.
        message: more on it.
    """

    model: str
    what: str
    status: str
    message: str = ""


def verify_release(
    folder: Path | str | None = None,
    *,
    photos: Path | str | None = None,
    faces: Path | str | None = None,
) -> list[Check]:
    """Recompute the hashes of files, plan and data, and the golden figures.

    Args:
        folder: of models, such as `<out>/models`; None for those of the package.
        photos: the pictures of the package's table, to compare with it.
        faces: the prepared faces of the plan, such as `<out>/faces`, to compare with the cards.

    Raises:
        FaceskdError: there is no index, or no folder at `photos` or `faces`.
    """
    folder = Path(folder or FOLDER)
    checks: list[Check] = []
    if photos is not None:
        counts = Counter(one.status for one in verify(photos, read_sources()))
        status = OK if set(counts) == {OK} else DIFFERS
        checks.append(Check("photos", "pictures", status, str(dict(counts))))
    prepared = None if faces is None else faces_sha256(faces)
    for model in available_models(folder):
        card: dict[str, Any] = {}
        checks.append(_file(model, folder))
        checks.append(_card(model, folder, card))
        if checks[-1].status != OK or checks[-2].status != OK:
            continue
        if model.role != "dictionary":
            checks.append(_golden(model, folder))
        checks += _origin(model, card, prepared)
    return checks


def _file(model: PretrainedModel, folder: Path) -> Check:
    try:
        path = model_path(model.full_name, folder)
    except FaceskdError as error:
        there = (folder / f"{model.full_name}.safetensors").is_file()
        return Check(model.full_name, "file", DIFFERS if there else MISSING, str(error))
    return Check(model.full_name, "file", OK, f"{path.stat().st_size} bytes")


def _card(model: PretrainedModel, folder: Path, card: dict[str, Any]) -> Check:
    """Read the card, and compare it with the index."""
    try:
        card |= model_card(model.full_name, folder)
    except FaceskdError as error:
        return Check(model.full_name, "card", MISSING, str(error))
    for name, expected in (("sha256", model.sha256), ("figures", model.figures)):
        if card.get(name, {}) != expected:
            return Check(model.full_name, "card", DIFFERS, f"index and card differ in {name}")
    return Check(model.full_name, "card", OK)


def _golden(model: PretrainedModel, folder: Path) -> Check:
    path, what = golden_path(folder, model.full_name), "golden figures"
    if not path.is_file():
        return Check(model.full_name, what, MISSING, f"there is no file {str(path)!r}")
    measured = golden_figures(load_pretrained(model.full_name, folder))
    found = list(differences(measured, read_golden(path)))
    if found:
        return Check(model.full_name, what, DIFFERS, f"{len(found)}, {found[0]} for one")
    return Check(model.full_name, what, OK, f"{len(measured)} faces")


def _origin(model: PretrainedModel, card: dict[str, Any], prepared: str | None) -> Iterator[Check]:
    """Plan and data."""
    plan = card.get("plan")
    if plan is None:
        yield Check(model.full_name, "plan", UNKNOWN, "not made by a plan")
        return
    version, now = plan_now(plan["name"], plan["seed"])
    if version in (0, model.version):
        yield _same(model, "plan", plan["sha256"], now)
    else:
        message = f"made by version {model.version}; this source has version {version} of the plan"
        yield Check(model.full_name, "plan", UNKNOWN, message)
    if "photos" in card:
        table = sources_sha256(read_sources())
        yield _same(model, "table of faces", card["photos"]["table_sha256"], table)
    if prepared is not None and "faces" in card:
        yield _same(model, "prepared faces", card["faces"]["sha256"], prepared)
    elif prepared is not None:
        yield Check(model.full_name, "prepared faces", UNKNOWN, "the card names none")


@cache
def plan_now(name: str, seed: int) -> tuple[int, str]:
    """The version and the hash of a plan as it is in this source; (0, "") where there is none."""
    if not (conf_dir() / "plan" / f"{name}.yaml").is_file():
        return 0, ""
    words = [f"plan={name}", f"seed={seed}", "out=/out"]
    places = compose("release", words).places
    options = to_plain(compose("release", [*words, *(f"{place}=/{place}" for place in places)]))
    return int(options["version"]), plan_sha256(with_evaluations(options))


def _same(model: PretrainedModel, what: str, said: str, now: str) -> Check:
    if said == now:
        return Check(model.full_name, what, OK, f"{said[:16]}...")
    message = f"the card says {said[:16]}..., this source has {now[:16] or 'none'}..."
    return Check(model.full_name, what, DIFFERS, message)
