"""Trained models that come with the package.

For each version of a model this folder contains a weights file and a card, such as
`lite-m@2.safetensors`. `index.json` lists them with their checksums. `NOTICE` has the licences of
third parties and the credits of photographs. A file is used only if its SHA-256 is the one in the
index. No file contains pickled code.

New weights get a new version, and a released version never changes: "lite-m@1" is always the same
file, "lite-m" is the newest version. `tools/release_model.py` adds models to the folder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceskd.common.errors import WeightsError
from faceskd.common.files import sha256

if TYPE_CHECKING:
    from faceskd.models.base import SuperResolver

FOLDER = Path(__file__).parent
INDEX = "index.json"
FORMAT = "faceskd-pretrained-1"
DEFAULT_STUDENT = "photo-m"
"""Restores faces of photos, in a frame of 512 px."""
SMALL_STUDENT = "lite-m"
"""Takes aligned faces of 32x32 px."""
SCENE = "scene"
"""Enlarges what is no face."""
ROLES = ("student", "scene", "teacher", "dictionary")
"""A "scene" network restores backgrounds."""
AGAIN = "install faceskd again"
VERSION_MARK = "@"


@dataclass(frozen=True)
class PretrainedModel:
    """One entry of the index.

    Attributes:
        name: name of the model, without its version.
        role: one of `ROLES`.
        task: short description of what it does.
        licence: SPDX expression.
        parameters: number of parameters; for a dictionary, number of values.
        bytes: size of the file.
        sha256: SHA-256 of the file.
        figures: metrics on the test faces, by name; the card says how they were measured.
        dictionary: for a teacher, the name and version of its dictionary.
        recipe: command that makes the file, if the file is too large for the package.
        version: 1, 2, ...
    """

    name: str
    role: str
    task: str
    licence: str
    parameters: int
    bytes: int
    sha256: str
    figures: dict[str, float] = field(default_factory=dict)
    dictionary: str = ""
    recipe: str = ""
    version: int = 1

    @property
    def full_name(self) -> str:
        """Name and version; its files have this name, too.

        Example:
            >>> find_model("lite-m@1").full_name
            'lite-m@1'
        """
        return f"{self.name}{VERSION_MARK}{self.version}"


def available_models(folder: Path | str | None = None) -> list[PretrainedModel]:
    """The pretrained models of the package, or of another folder with an index.

    Raises:
        WeightsError: the index is damaged.
    """
    path = Path(folder or FOLDER) / INDEX
    if not path.is_file():
        raise WeightsError(f"the list of pretrained models is missing, {str(path)!r}: {AGAIN}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, expected {FORMAT!r}")
        return [PretrainedModel(**entry) for entry in content["models"]]
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"the list of pretrained models, {str(path)!r}, is damaged: {error}"
        ) from error


def find_model(
    name: str, folder: Path | str | None = None, *, role: str | None = None
) -> PretrainedModel:
    """The index entry of a model: of its newest version, or of a given one ("lite-m@1").

    Raises:
        WeightsError: there is no model of this name and version, or it has another role.
    """
    models = available_models(folder)
    fitting = [model for model in models if role in (None, model.role)]
    if found := _of_name(name, fitting):
        return max(found, key=lambda model: model.version)
    what = f"pretrained {role or 'model'}"
    there = ", ".join(model.full_name for model in fitting)
    if others := _of_name(name, models):
        raise WeightsError(
            f"expected a {what}, but {name!r} is a {others[0].role}; there are: {there}"
        )
    if not there:
        raise WeightsError(
            f"no {what} {name!r}: this copy of faceskd comes without any; give a file of weights"
        )
    raise WeightsError(f"no {what} {name!r}; there are: {there}")


def _of_name(name: str, models: Sequence[PretrainedModel]) -> list[PretrainedModel]:
    return [model for model in models if name in (model.name, model.full_name)]


def is_model_name(text: str) -> bool:
    """Whether a text can only be the name of a model: files of weights have a suffix.

    Example:
        >>> is_model_name("lite-m@1"), is_model_name("runs/lite-m"), is_model_name("a.safetensors")
        (True, False, False)
    """
    return len(Path(text).parts) == 1 and not Path(text).suffix


def weights_path(text: str) -> str:
    """The file of a released name, such as "lite-m" or "lite-m@1"; any other path as it is.

    Raises:
        WeightsError: see `model_path`.
    """
    return str(model_path(text)) if is_model_name(text) else text


def model_path(name: str, folder: Path | str | None = None, *, role: str | None = None) -> Path:
    """The file of a pretrained model. Its checksum is compared first.

    Raises:
        WeightsError: there is no such model, its file is not in the package, or its checksum is
            wrong.
    """
    model = find_model(name, folder, role=role)
    path = Path(folder or FOLDER) / f"{model.full_name}.safetensors"
    if not path.is_file():
        way = f"make it by: {model.recipe}" if model.recipe else AGAIN
        raise WeightsError(
            f"the file of the pretrained {name!r} is not there, {str(path)!r}: {way}"
        )
    came = sha256(path)
    if came != model.sha256:
        raise WeightsError(
            f"the file of the pretrained {name!r}, {str(path)!r}, is damaged: expected the SHA-256 "
            f"{model.sha256[:16]}..., got {came[:16]}...: {AGAIN}"
        )
    return path


def model_card(name: str, folder: Path | str | None = None) -> dict[str, Any]:
    """The card of a pretrained model: data, licences, training, figures, limits, bias.

    Its entry `notice` names the file with licences of third parties and credits of photographs.

    Raises:
        WeightsError: there is no such model, or its card is missing or damaged.
    """
    path = Path(folder or FOLDER) / f"{find_model(name, folder).full_name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"the card of the pretrained {name!r} cannot be read: {error}") from None


def load_pretrained(
    name: str = DEFAULT_STUDENT, folder: Path | str | None = None
) -> "SuperResolver":
    """Load a pretrained network in fp32 and eval mode; a teacher gets its dictionary.

    Raises:
        WeightsError: see `model_path`; or the name is that of a dictionary.
        DictionaryError: the dictionary is not the one that the teacher was trained with.
    """
    from faceskd.models.weights import load_network

    model = find_model(name, folder)
    if model.role == "dictionary":
        raise WeightsError(f"expected a network, but {name!r} is a dictionary")
    dictionary = None
    if model.dictionary:
        dictionary = model_path(model.dictionary, folder, role="dictionary")
    return load_network(model_path(name, folder), dictionary)
