"""`Refusal`: what a request is answered with when it cannot be done."""

from typing import Any

from faceskd.common.errors import FaceskdError
from faceskd.studio.translation import mark

DISK_FULL = mark("The server cannot store the file. Its disk may be full. Try later.")
QUOTA = mark("Your storage of {limit} MB is full. Delete photos that you no longer need.")


class Refusal(FaceskdError):
    """A request that is refused, with an HTTP status and a message for the user.

    Args:
        status: of HTTP, 400 to 599.
        code: one word for programs, such as "too_large".
        text: the message in English, with {names} for `values`; it is the key of the catalogues
            (`faceskd.studio.translation`), so that it can be translated.
        headers: of the answer.
        values: what stands for the names in `text`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        *,
        headers: dict[str, str] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(text.format(**values))
        self.status, self.code, self.text = status, code, text
        self.headers, self.values = headers or {}, values


def not_found() -> Refusal:
    """Also for what belongs to somebody else: that it exists is nobody's business."""
    return Refusal(404, "not_found", "There is nothing here. It may have been deleted.")


def quota(limit: int) -> Refusal:
    """The answer where a user's photos and results would have more than `limit` bytes."""
    return Refusal(413, "quota", QUOTA, limit=f"{limit / 1e6:g}")


def too_large(limit: int) -> Refusal:
    """The answer to a file of more than `limit` bytes."""
    text = "The file is larger than {limit} MB."
    return Refusal(413, "too_large", text, limit=f"{limit / 1e6:g}")
