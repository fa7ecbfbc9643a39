"""Which files are restored, and what their results are called."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.images import list_images


@dataclass(frozen=True)
class InputFile:
    """One input file; `name` is what its results are called, with sub-folder, without suffix."""

    path: Path
    source: str
    name: str


def plan_inputs(
    source: Path | str,
    out: Path | str,
    *,
    folders: Sequence[str] = ("",),
    suffixes: Sequence[str] = (".png",),
) -> list[InputFile]:
    """The inputs and what their results are called: the same sub-folder and stem.

    Inputs whose results would have the same name (`a.jpg` and `a.png`, on any file system) all
    keep their suffix in it: `a_jpg`, `a_png`. Images below a folder of results are no inputs.

    Args:
        source: a file, or a folder with its sub-folders.
        out: the folder of results.
        folders: where below `out` results lie.
        suffixes: of the files written there.

    Raises:
        FaceskdError: there is no image, or a result would replace an input.
    """
    source, out = Path(source), Path(out)
    root = source.parent if source.is_file() else source
    paths = [source] if source.is_file() else list_images(source)
    results = [(out / folder).resolve() for folder in folders]
    for folder in results:
        if folder != root.resolve():
            paths = [path for path in paths if not path.resolve().is_relative_to(folder)]
    if not paths:
        raise FaceskdError(f"no image in {str(source)!r} outside the folder of results")
    names = _unclashing([path.relative_to(root) for path in paths])
    inputs = [
        InputFile(path, path.relative_to(root).as_posix(), name)
        for path, name in zip(paths, names, strict=True)
    ]
    originals = {path.resolve() for path in paths}
    for input_file in inputs:
        if any(
            folder / f"{input_file.name}{end}" in originals
            for folder in results
            for end in suffixes
        ):
            raise ConfigError(
                f"the result of {input_file.source!r} would replace an input; give another output "
                "folder"
            )
    return inputs


def _unclashing(sources: list[Path]) -> list[str]:
    plain = [source.with_suffix("").as_posix() for source in sources]
    keys = [name.casefold() for name in plain]
    counts = Counter(keys)
    used = {key for key in keys if counts[key] == 1}
    names = []
    for source, name, key in zip(sources, plain, keys, strict=True):
        if counts[key] > 1:
            stem = f"{name}_{source.suffix[1:]}"
            name, number = stem, 2
            while name.casefold() in used:
                name, number = f"{stem}_{number}", number + 1
            used.add(name.casefold())
        names.append(name)
    return names
