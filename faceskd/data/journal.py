"""The journal of a long run over files: what is finished, so that the next call goes on."""

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

from faceskd.common.errors import ConfigError
from faceskd.data.manifest import Record

JOURNAL = "journal.jsonl"


class Journal:
    """One line of JSON for each finished file, appended as it comes; the first holds the settings.

    A line that a killed process left unfinished is ignored.

    Args:
        folder: where `journal.jsonl` is.
        settings: what the results depend on, as JSON.
        overwrite: start anew.

    Raises:
        ConfigError: the folder was made with other settings.
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
        self._file: IO[str] = self._path.open("a", encoding="utf-8")
        # A torn last line must not swallow the next one; empty lines are skipped.
        self._file.write("\n")
        if new:
            self._write({"settings": self._settings})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def find(self, source: str, stamp: list[int]) -> list[Record] | None:
        """The records of a file, if it is finished and its stamp (size, time) is the same."""
        entry = self._entries.get(source)
        if entry is None or entry["stamp"] != stamp:
            return None
        try:
            return [Record(**record) for record in entry["records"]]
        except TypeError:  # records of another version: the file is prepared again
            return None

    def append(self, source: str, stamp: list[int], records: list[Record]) -> None:
        """Note that a file is finished."""
        self._write(
            {"source": source, "stamp": stamp, "records": [asdict(record) for record in records]}
        )

    def _write(self, line: dict) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _difference(old: dict[str, str], new: dict[str, str]) -> str:
    changed = [name for name in new if old.get(name) != new[name]]
    return "; ".join(f"{name} was {old.get(name)}, is {new[name]}" for name in changed)
