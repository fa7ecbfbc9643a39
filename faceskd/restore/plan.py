"""List the files to restore, and choose the names of their results."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from faceskd.common.decoding import page_count
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import fitting, printable
from faceskd.common.listing import ListedFile, is_video, list_file, list_files
from faceskd.data.picture import DUPLICATE, UNREADABLE, UNSUPPORTED
from faceskd.restore.photos import RESULT_FOLDERS
from faceskd.restore.results import RESULTS, InputFile, read_results
from faceskd.restore.video import result_suffix


def plan_inputs(
    source: Path | str,
    out: Path | str,
    *,
    folders: Sequence[str] = ("",),
    suffixes: Sequence[str] = (".png",),
) -> list[InputFile]:
    """All files of a folder, or a single file, with the names of their results.

    A name is the sub-folder and the file name without suffix. Every page of a document (TIFF) is a
    separate input: `a_p1`, `a_p2`. If the results of several images would have the same name
    (`a.jpg` and `a.png`), their suffixes are added: `a_jpg`, `a_png`. Names that `results.csv` in
    `out` has for other inputs are not used again. Results of earlier runs are not inputs.

    Args:
        source: a file, or a folder with its sub-folders.
        out: folder of results.
        folders: folders in `out` for the results of images; "" is `out` itself.
        suffixes: suffixes of the files written there.

    Raises:
        FaceskdError: there is no image and no video, or results would be mixed with inputs.
    """
    source, out = Path(source), Path(out)
    root = source.parent if source.is_file() else source
    listed = [list_file(source, root)] if source.is_file() else list_files(source)
    earlier = read_results(out)
    listed = _without_results(listed, source, root, out, folders, earlier)
    usable = [file for file in listed if file.kind in ("image", "video")]
    if not usable:
        raise FaceskdError(
            f"no image and no video in {str(source)!r}, among {len(listed)} files; results of "
            "earlier runs are not counted"
        )
    inputs = [_unusable(file) for file in listed if file.kind not in ("image", "video")]
    inputs += [_unusable(file) for file in usable if file.problem]
    inputs += _named([file for file in usable if not file.problem], root, earlier)
    _refuse_replacing(inputs, out, folders, suffixes)
    if "" in folders and root.resolve() == out.resolve():
        raise ConfigError(
            f"the results would lie among the inputs in {str(out)!r}, and the next run would "
            "restore them again; give another output folder"
        )
    return sorted(inputs, key=lambda input_file: (input_file.path, input_file.page))


def _without_results(
    listed: Sequence[ListedFile],
    source: Path,
    root: Path,
    out: Path,
    folders: Sequence[str],
    earlier: Sequence[dict[str, str]],
) -> list[ListedFile]:
    # Those of other tasks, too, where there are results: an earlier run may have had another kind.
    known = {*folders, *(RESULT_FOLDERS if earlier else ())}
    results = [(out / folder).resolve() for folder in known]
    below = [folder for folder in results if folder != root.resolve()]
    own = {(out / row[column]).resolve() for row in earlier for column in ("output", "image")}
    own.add((out / RESULTS).resolve())
    if source.is_file() and source.resolve() in own:
        raise ConfigError(f"{source.name!r} is a result of an earlier run; give its original")
    places = {file: file.path.resolve() for file in listed}
    return [
        file
        for file, place in places.items()
        if place not in own and not any(place.is_relative_to(folder) for folder in below)
    ]


def _refuse_replacing(
    inputs: Sequence[InputFile], out: Path, folders: Sequence[str], suffixes: Sequence[str]
) -> None:
    originals = {input_file.path.resolve() for input_file in inputs}
    for input_file in inputs:
        if input_file.kind == "video":
            results = [out / f"{input_file.name}{result_suffix(input_file.path)}"]
        else:
            results = [out / at / f"{input_file.name}{end}" for at in folders for end in suffixes]
        if not input_file.status and originals.intersection(path.resolve() for path in results):
            raise ConfigError(
                f"the result of {input_file.source!r} would replace an input; give another output "
                "folder"
            )


def _unusable(file: ListedFile) -> InputFile:
    status = {"other": UNSUPPORTED, "link": DUPLICATE}.get(file.kind, UNREADABLE)
    message = file.problem or "no image and no video"
    return InputFile(file.path, file.source, "", "other", 0, status, message)


def _named(
    files: Sequence[ListedFile], root: Path, earlier: Sequence[dict[str, str]]
) -> list[InputFile]:
    """Inputs with names that no other input of this run or of earlier runs has."""
    pages = {file: page_count(file.path) if file.kind == "image" else 1 for file in files}
    stems = {file: fitting(printable(_stem(file.path, root))) for file in files}
    uses = Counter(key for file in files for key in _keys(file.kind, stems[file], pages[file]))
    owners = {
        key: row["input"]
        for row in earlier
        if row["name"]
        for key in _keys("video" if is_video(row["input"]) else "image", row["name"], 1)
    }
    names: dict[ListedFile, str] = {}

    def free(file: ListedFile, name: str) -> bool:
        keys = _keys(file.kind, name, pages[file])
        return all(owners.get(key, _input(file)) == _input(file) for key in keys)

    def settle(file: ListedFile, name: str) -> None:
        names[file] = name
        owners.update(dict.fromkeys(_keys(file.kind, name, pages[file]), _input(file)))

    def is_mine(file: ListedFile) -> bool:
        keys = _keys(file.kind, stems[file], pages[file])
        return all(uses[key] == 1 or owners.get(key) == _input(file) for key in keys)

    for file in [file for file in files if is_mine(file) and free(file, stems[file])]:
        settle(file, stems[file])
    for file in files:
        if file not in names:
            settle(file, next(name for name in _longer(stems[file], file) if free(file, name)))
    return [page for file in files for page in _pages(file, names[file], pages[file])]


def _stem(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _input(file: ListedFile) -> str:
    return InputFile(file.path, file.source, "").input


def _labels(name: str, pages: int) -> list[str]:
    return [name] if pages == 1 else [f"{name}_p{page}" for page in range(1, pages + 1)]


def _keys(kind: str, name: str, pages: int) -> list[tuple[str, str]]:
    """Keys that must be unique. Photos and videos are in different folders; case is ignored."""
    return [(kind, label.casefold()) for label in _labels(name, pages)]


def _longer(stem: str, file: ListedFile) -> Iterable[str]:
    suffix = printable(file.path.suffix[1:])
    longer = fitting(f"{stem}_{suffix}" if suffix else f"{stem}_2")
    yield longer
    number = 2
    while True:
        yield f"{longer}_{number}"
        number += 1


def _pages(file: ListedFile, name: str, count: int) -> list[InputFile]:
    if count == 1:
        return [InputFile(file.path, file.source, name, file.kind)]
    return [
        InputFile(file.path, f"{file.source}#{page + 1}", label, file.kind, page)
        for page, label in enumerate(_labels(name, count))
    ]
