"""The journal of a long run over files: it notes finished files, so that the next call resumes."""

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

from faceskd.common.errors import ConfigError, disk_full_as_error
from faceskd.data.manifest import Record

JOURNAL = "journal.jsonl"


class Journal:
    """A file with one line of JSON for each finished file; the first line holds the settings.

    A line that is not complete, because the process was killed, is ignored.

    Args:
        folder: folder of `journal.jsonl`.
        settings: all settings that the results depend on, as JSON.
        overwrite: start a new journal.

    Raises:
        ConfigError: the folder was made with other settings.
        DiskFullError: the disk is full.
    """

    def __init__(self, folder: Path | str, settings: dict[str, str], *, overwrite: bool) -> None:
        self._path = Path(folder) / JOURNAL
        self._settings = settings
        self._entries: dict[str, dict] = {}
        if overwrite:
            self._path.unlink(missing_ok=True)
        lines = self._read()
        if not lines:
            self._path.unlink(missing_ok=True)
        elif lines[0] != {"settings": settings}:
            raise ConfigError(
                f"{str(folder)!r} was prepared with other settings "
                f"({_difference(lines[0].get('settings', {}), settings)}): "
                "choose another folder, or set overwrite=true"
            )
        self._entries = {line["source"]: line for line in lines[1:] if "source" in line}

    def _read(self) -> list[dict]:
        lines = []
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    continue
        return lines

    def __enter__(self) -> "Journal":
        new = not self._path.is_file()
        with disk_full_as_error(self._path):
            self._file: IO[str] = self._path.open("a", encoding="utf-8")
        # If the last line is not complete, the next one must not be appended to it. Empty lines
        # are skipped when the journal is read.
        self._write("\n")
        if new:
            self._write_json({"settings": self._settings})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with disk_full_as_error(self._path):  # closing writes what is still in the buffer
            self._file.close()

    def find(self, source: str, stamp: list[int]) -> list[Record] | None:
        """The records of a file if it is finished and its stamp (size and time) is the same."""
        entry = self._entries.get(source)
        if entry is None or entry["stamp"] != stamp:
            return None
        if any("kind" not in record for record in entry["records"]):
            return None  # written before kinds were noted: the file is prepared again
        try:
            return [Record(**record) for record in entry["records"]]
        except TypeError:  # records of another version: the file is prepared again
            return None

    def append(self, source: str, stamp: list[int], records: list[Record]) -> None:
        """Note that a file is finished."""
        self._write_json(
            {"source": source, "stamp": stamp, "records": [asdict(record) for record in records]}
        )

    def _write_json(self, entry: dict) -> None:
        self._write(json.dumps(entry) + "\n")

    def _write(self, text: str) -> None:
        with disk_full_as_error(self._path):
            self._file.write(text)
            self._file.flush()


def _difference(old: dict[str, str], new: dict[str, str]) -> str:
    changed = [name for name in new if old.get(name) != new[name]]
    return "; ".join(f"{name} was {old.get(name)}, is {new[name]}" for name in changed)
