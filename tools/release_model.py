"""Add the models that `faceskd release` wrote to the models in the package (`faceskd.pretrained`).

    python tools/release_model.py runs/release/models          # all of them
    python tools/release_model.py runs/release/models lite-m   # some of them

A version that the package has already is refused: released weights never change. Commit the weights
of a release once.
"""

import argparse
import shutil
from collections.abc import Collection
from pathlib import Path

from faceskd.common.checks import check_choices
from faceskd.common.config import fail
from faceskd.common.errors import FaceskdError
from faceskd.pretrained import FOLDER, PretrainedModel, available_models, model_path
from faceskd.pretrained.golden import golden_path
from faceskd.reproduce.cards import check_new, write_index


def add_models(
    models: Path | str, folder: Path | str = FOLDER, names: Collection[str] = ()
) -> list[PretrainedModel]:
    """Copy files, cards and golden figures of one folder of models to another.

    Args:
        models: folder to copy from.
        folder: folder to copy to.
        names: models to copy; none: all.

    Raises:
        FaceskdError: there is no such model, a file is damaged, or the other folder has a version
            already; nothing is copied then.
    """
    models, folder = Path(models), Path(folder)
    new, old = available_models(models), available_models(folder)
    check_choices([entry.name for entry in new], models=names)
    new = [entry for entry in new if not names or entry.name in names]
    for entry in new:
        check_new(entry, old)
        model_path(entry.full_name, models)
    for entry in new:
        for suffix in (".safetensors", ".json"):
            shutil.copyfile(
                models / f"{entry.full_name}{suffix}", folder / f"{entry.full_name}{suffix}"
            )
        golden = golden_path(models, entry.full_name)
        if golden.is_file():
            golden_path(folder, entry.full_name).parent.mkdir(exist_ok=True)
            shutil.copyfile(golden, golden_path(folder, entry.full_name))
    write_index(folder, [*old, *new])
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description="Add released models to the package.")
    parser.add_argument("models", type=Path, help="the folder OUT/models of faceskd release")
    parser.add_argument("names", nargs="*", help="models to add; default: all")
    options = parser.parse_args()
    try:
        added = add_models(options.models, names=options.names)
    except FaceskdError as error:
        raise fail(error) from None
    for entry in added:
        print(f"{entry.full_name}: {entry.bytes / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
