"""What an operator can set: by options of `faceskd studio`, or by variables `FACESKD_STUDIO_*`."""

import ipaddress
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from faceskd.common.errors import ConfigError

PREFIX = "FACESKD_STUDIO_"

MEGABYTE = 1_000_000
GIGABYTE = 1000 * MEGABYTE

MOST_DAYS = 36_500
"""A hundred years: times further back than this could not be computed."""


class Settings(BaseSettings):
    """Settings of server and workers; each can be given as `FACESKD_STUDIO_<NAME>`.

    Attributes:
        database: URL as SQLAlchemy takes it; empty for an SQLite file in the storage folder.
        storage: the folder of photos and results; server and workers share it.
        host, port: where the server listens.
        workers: worker processes that `faceskd studio` starts beside the server.
        accounts: whether people sign up and log in; None: unless the host is loopback.
        sign_up: whether new people can sign up.
        allowed_hosts: names by which the server may be called; empty: any, or on loopback without
            accounts only loopback's names (against DNS rebinding).
        proxies: addresses of reverse proxies, whose word on the client's address is taken: several
            with commas between, or "*".
        secure_cookies: send cookies only over HTTPS; set it behind a reverse proxy with TLS.
        metrics_token: who sends it may read /metrics from anywhere; without it only loopback may.
        max_bytes: of one upload.
        max_pixels: of one photo.
        max_result_pixels: of one result.
        direct_pixels: of a photo that POST /api/v1/restore takes.
        direct_seconds: how long that request waits for a worker.
        requests_per_minute: of one user, or one address that is not logged in.
        sign_ups_per_hour: from one address.
        jobs_per_user: jobs that wait or run.
        bytes_per_user: photos and results together.
        login_failures: of one name or one address within `login_minutes`.
        session_days: a login that is not used for so long ends.
        lease_seconds: a worker that does not renew its lease for so long is taken for dead.
        job_seconds: a batch that takes longer is given up, and its worker starts anew.
        attempts: how often a job is tried.
        batch: photos that a worker takes at once; 0: 4, or 16 on a GPU.
        model: name of a model in the package, or the path of a weights file.
        old_model: weights file that repairs old photos; without it, they are not offered.
        scratch_model: weights file that finds scratches in old photos; only with `old_model`.
        translations: weights files of translations, such as day to night, by the name that users
            see; as JSON in the environment.
        drawings: weights files for drawings by the level of noise that each removes, "0" to "3"; as
            JSON in the environment.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        keep_days: photos older than this are deleted; 0 keeps all.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, allow_inf_nan=False)

    database: str = ""
    storage: Path = Path("faceskd-studio")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    workers: int = Field(1, ge=0, le=64)
    accounts: bool | None = None
    sign_up: bool = True
    allowed_hosts: tuple[str, ...] = ()
    proxies: str = "127.0.0.1"
    secure_cookies: bool = False
    metrics_token: str = ""
    max_bytes: int = Field(50 * MEGABYTE, gt=0)
    max_pixels: int = Field(50_000_000, gt=0)
    max_result_pixels: int = Field(200_000_000, gt=0)
    direct_pixels: int = Field(4_000_000, gt=0)
    direct_seconds: float = Field(60, gt=0)
    requests_per_minute: int = Field(1200, gt=0)
    sign_ups_per_hour: int = Field(30, gt=0)
    jobs_per_user: int = Field(1000, gt=0)
    bytes_per_user: int = Field(5 * GIGABYTE, gt=0)
    login_failures: int = Field(10, gt=0)
    login_minutes: float = Field(15, gt=0)
    session_days: float = Field(30, gt=0, le=MOST_DAYS)
    lease_seconds: float = Field(30, gt=0)
    job_seconds: float = Field(600, gt=0)
    attempts: int = Field(3, ge=1)
    batch: int = Field(0, ge=0)
    model: str = ""
    old_model: str = ""
    scratch_model: str = ""
    translations: dict[str, Path] = {}
    drawings: dict[Literal["0", "1", "2", "3"], Path] = {}
    device: str = "auto"
    keep_days: float = Field(0, ge=0, le=MOST_DAYS)

    @field_validator("scratch_model")
    @classmethod
    def _with_old_model(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("old_model"):
            raise ValueError("expected old_model, too, got none; without it, it has no effect")
        return value

    @cached_property
    def database_url(self) -> str:
        """The database's URL."""
        return self.database or f"sqlite:///{self.storage.expanduser().absolute() / 'studio.db'}"

    @cached_property
    def with_accounts(self) -> bool:
        """Whether an account is needed."""
        return not is_loopback(self.host) if self.accounts is None else self.accounts

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Host names that are answered; empty for all."""
        if self.allowed_hosts or self.with_accounts:
            return self.allowed_hosts
        return ("127.0.0.1", "localhost", "[::1]", self.host)


def check_variables(names: Iterable[str]) -> None:
    """Raise a ConfigError for a variable that looks like a setting and is none.

    Examples:
        >>> check_variables(["HOME", "FACESKD_STUDIO_KEEP_DAY"])
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected FACESKD_STUDIO_ and the name of a setting, \
such as KEEP_DAYS, got 'FACESKD_STUDIO_KEEP_DAY'
    """
    for name in names:
        setting = name.upper().removeprefix(PREFIX)
        if name.upper() != setting and setting.lower() not in Settings.model_fields:
            known = [field.upper() for field in Settings.model_fields]
            near = get_close_matches(setting, known, n=1, cutoff=0)
            raise ConfigError(
                f"expected {PREFIX} and the name of a setting, such as {near[0]}, got {name!r}"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Examples:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
