"""List the files of a folder: images, videos, and files that cannot be used, with the reason."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faceskd.common.decoding import is_image
from faceskd.common.errors import FaceskdError
from faceskd.common.files import printable

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".webp", ".gif"}
    | {".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs", ".heic", ".heif", ".heics", ".heifs"}
    | {".hif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".pfm", ".psd", ".tga", ".icb", ".vda", ".vst", ".pcx", ".dcx", ".qoi", ".dds", ".ico"}
    | {".icns", ".cur", ".sgi", ".rgb", ".rgba", ".bw", ".ras", ".xbm", ".xpm", ".fli", ".flc"}
    | {".blp", ".fit", ".fits"}
)
"""Suffixes of images that `faceskd.common.images` can read."""

RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef"}
    | {".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"}
    | {".srw", ".x3f"}
)
"""Suffixes of raw files of cameras. For some, Pillow would read only the small preview."""

OTHER_IMAGE_SUFFIXES = frozenset(
    {".jxl", ".jxr", ".wdp", ".hdp", ".exr", ".hdr", ".svg", ".svgz", ".eps", ".ps", ".wmf"}
    | {".emf", ".ai", ".xcf", ".kra", ".psb", ".djvu", ".bpg", ".pict", ".pct", ".cdr", ".flif"}
)
"""Suffixes of images that cannot be read."""

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"}
    | {".3g2", ".mts", ".m2ts", ".ogv", ".vob", ".mxf", ".mpe", ".asf"}
)

SYSTEM_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"}
    | {"system volume information"}
)
"""Files and folders of operating systems. Only these and hidden files are not listed."""

Kind = Literal["image", "video", "link", "other"]


@dataclass(frozen=True)
class ListedFile:
    """A file in a folder.

    Attributes:
        path: path of the file.
        source: path relative to the folder, with forward slashes; bytes that are not UTF-8 are
            written as %XX (`faceskd.common.files.printable`).
        kind: kind of the file, from its suffix or its first bytes. "link" is a link to a folder
            that is listed already.
        problem: why the file cannot be read, if this is known without opening it; else empty.
    """

    path: Path
    source: str
    kind: Kind
    problem: str = ""


def list_files(folder: Path | str) -> list[ListedFile]:
    """All files of a folder and its sub-folders, sorted by path, without hidden and system files.

    Links to folders are followed, but each folder is listed only once. The list also contains
    links to folders that are listed already, folders that cannot be opened, and broken links; their
    `problem` says so.

    Raises:
        FaceskdError: the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FaceskdError(f"expected a folder of images, but {str(folder)!r} is not a folder")
    found: list[ListedFile] = []
    seen: dict[Path, Path] = {}
    folders, links = [folder], list[Path]()
    while folders or links:  # real folders are listed by their own names, before links to them
        path = folders.pop() if folders else links.pop(0)
        if (real := path.resolve()) in seen:
            known = printable(seen[real].relative_to(folder).as_posix())
            problem = f"a link to the folder {known!r}, which is listed already"
            found.append(ListedFile(path, _source(path, folder), "link", problem))
            continue
        seen[real] = path
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            problem = f"the folder cannot be opened: {error.strerror}"
            found.append(ListedFile(path, _source(path, folder), "image", problem))
            continue
        for entry in entries:
            inside = path / entry.name
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
                continue
            if _holds(inside.is_dir):
                (links if entry.is_symlink() else folders).append(inside)
            else:
                found.append(_listed(inside, folder))
    return sorted(found, key=lambda file: file.path)


def list_images(folder: Path | str) -> list[Path]:
    """Paths of the images of `list_files`, without those that have a problem.

    Raises:
        FaceskdError: the folder does not exist or contains no image.
    """
    return images_and_problems(folder)[0]


def images_and_problems(folder: Path | str) -> tuple[list[Path], list[ListedFile]]:
    """Paths as in `list_images`, and the images that have a problem, such as raw files of cameras.

    Raises:
        FaceskdError: the folder does not exist or contains no image without a problem.
    """
    files = list_files(folder)
    images = [file for file in files if file.kind == "image"]
    paths = [file.path for file in images if not file.problem]
    problems = [file for file in images if file.problem]
    if not paths:
        example = f" (for example {problems[0].source}: {problems[0].problem})" if problems else ""
        raise FaceskdError(
            f"no image in the folder {str(folder)!r}, among {len(files)} files{example}"
        )
    return paths, problems


def list_file(path: Path, root: Path) -> ListedFile:
    """A file as in `list_files(root)`; any file that is not a video counts as an image."""
    kind: Kind = "video" if is_video(path) else "image"
    return ListedFile(path, _source(path, root), kind, _problem(path))


def is_video(path: Path | str) -> bool:
    """Whether a path has the suffix of a video.

    Examples:
        >>> is_video("a.MP4"), is_video("a.png")
        (True, False)
    """
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _source(path: Path, root: Path) -> str:
    return printable(path.relative_to(root).as_posix())


def _listed(path: Path, root: Path) -> ListedFile:
    problem = _problem(path)
    return ListedFile(path, _source(path, root), _kind(path, problem), problem)


def _holds(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:  # a folder that may be listed but not entered
        return False


def _kind(path: Path, problem: str) -> Kind:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES | RAW_SUFFIXES | OTHER_IMAGE_SUFFIXES:
        return "image"
    if is_video(path):
        return "video"
    return "image" if not problem and is_image(path) else "other"


def _problem(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in RAW_SUFFIXES:
        return f"raw files of cameras ({suffix}) cannot be read: convert the file to JPEG or TIFF"
    if suffix in OTHER_IMAGE_SUFFIXES:
        return f"{suffix} files cannot be read: convert the file to PNG, JPEG or TIFF"
    if _holds(path.is_file):
        return ""
    if path.is_symlink() and not _holds(path.exists):
        return "a link to a file that does not exist"
    return "not a regular file, or no permission to read it"
