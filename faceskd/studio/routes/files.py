"""Files as answers: originals and results to download, pictures to look at."""

from urllib.parse import quote

from fastapi.responses import FileResponse, Response

from faceskd.studio.errors import not_found
from faceskd.studio.formats import MEDIA
from faceskd.studio.storage import Storage

CACHE = "private, max-age=31536000, immutable"


def download(storage: Storage, sha256: str, name: str, format_: str) -> Response:
    """A file as attachment: a browser saves it and never shows it as a page."""
    path = storage.path(sha256)
    if not path.is_file():
        raise not_found()
    return FileResponse(
        path,
        media_type=MEDIA.get(format_, "application/octet-stream"),
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Cache-Control": "private, no-cache",
        },
    )


def picture(storage: Storage, sha256: str | None) -> Response:
    """A thumbnail or preview; its URL never shows another picture."""
    if sha256 is None or not storage.path(sha256).is_file():
        raise not_found()
    headers = {"Cache-Control": CACHE}
    return FileResponse(storage.path(sha256), media_type="image/webp", headers=headers)


def result_name(photo_name: str, format_: str) -> str:
    """The name of a result's file.

    Examples:
        >>> result_name("holiday.heic", "PNG")
        'holiday-restored.png'
    """
    stem = photo_name.rpartition(".")[0] or photo_name
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(format_, format_.lower())
    return f"{stem}-restored.{suffix}"
