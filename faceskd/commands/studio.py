"""`faceskd studio`: the web application; `faceskd studio worker`; `faceskd studio admin ...`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from faceskd.common.errors import FaceskdError, MissingExtraError, disk_full_as_error
from faceskd.common.stopping import EXIT_STOPPED

PACKAGE = "fastapi"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve, work, or administrate.

    Returns:
        0, or 130 when it was interrupted.
    """
    options = _parser().parse_args(argv)
    try:
        with disk_full_as_error():
            return _run(options)
    except FaceskdError as error:
        from faceskd.common.config import fail  # imports Hydra

        raise fail(error) from None
    except KeyboardInterrupt:
        return EXIT_STOPPED


def print_line(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    add = shared.add_argument
    # fmt: off
    add("--database", metavar="URL", default=argparse.SUPPRESS,
        help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME; default: a file in --storage")
    add("--storage", metavar="FOLDER", type=Path, default=argparse.SUPPRESS,
        help="where photos and results are kept; default: faceskd-studio")
    add("--model", metavar="NAME", default=argparse.SUPPRESS,
        help="a model of the package, or a weights file")
    add("--device", default=argparse.SUPPRESS,
        help="auto, cpu, cuda, ...; default: auto, a GPU if there is one")
    parser = argparse.ArgumentParser(
        prog="faceskd studio", parents=[shared],
        description="A web application for restoring photos. All settings can also be given as "
        "environment variables FACESKD_STUDIO_NAME; see docs/studio.md.",
    )
    add = parser.add_argument
    add("--host", default=argparse.SUPPRESS,
        help="address to listen on; anything but loopback needs accounts; default: 127.0.0.1")
    add("--port", type=int, default=argparse.SUPPRESS, help="default: 8000")
    add("--workers", type=int, metavar="N", default=argparse.SUPPRESS,
        help="worker processes to start; 0 if others run `faceskd studio worker`; default: 1")
    # fmt: on
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    worker = commands.add_parser("worker", parents=[shared], help="run a worker only")
    worker.add_argument("--with-parent", type=int, default=0, help=argparse.SUPPRESS)
    text = "users, jobs, files, backup and restore"
    _add_admin(commands.add_parser("admin", parents=[shared], help=text))
    return parser


def _add_admin(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    users = commands.add_parser("users", help="list, add and delete users, set passwords")
    users.add_argument("action", choices=("list", "add", "delete", "password"))
    users.add_argument("name", nargs="?", default="")
    jobs = commands.add_parser("jobs", help="count jobs, retry failed ones, cancel open ones")
    jobs.add_argument("action", choices=("list", "retry", "cancel"))
    orphans = commands.add_parser("orphans", help="files in the storage folder that nothing names")
    orphans.add_argument("--delete", action="store_true", help="delete them")
    retention = commands.add_parser("retention", help="delete photos that are older")
    retention.add_argument("--days", type=float, required=True, metavar="N")
    for name, text in (("backup", "write all data to a file"), ("restore", "read such a file")):
        commands.add_parser(name, help=text).add_argument("file", type=Path, metavar="FILE")


def _run(options: argparse.Namespace) -> int:
    try:
        from pydantic import ValidationError
        from pydantic_settings import SettingsError

        from faceskd.studio.logs import set_up
        from faceskd.studio.settings import Settings, check_variables
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or PACKAGE, "studio") from None
    check_variables(os.environ)
    given = {name: value for name, value in vars(options).items() if name in Settings.model_fields}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise FaceskdError(
            f"the setting {place}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    except SettingsError as error:
        raise FaceskdError(
            'expected JSON, such as ["photos.example.org"] for allowed_hosts, or '
            f'{{"Day to night": "night.safetensors"}} for translations, got: {error}'
        ) from None
    if options.command == "admin":
        from faceskd.studio import admin

        admin.run(options, settings, print_line)
        return 0
    set_up()
    if options.command == "worker":
        from faceskd.studio.worker import run_worker

        run_worker(settings, options.with_parent)
        return 0
    from faceskd.studio.serving import serve

    serve(settings)
    return 0
