"""Which uploads may be photos, by their first bytes; nothing is decoded here.

Only workers decode photos. The server looks at the first bytes, whatever a file's name says.
"""

import re
import unicodedata

ACCEPTED = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif"),
}
SUFFIXES = [suffix for suffixes in ACCEPTED.values() for suffix in suffixes]
MEDIA = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
}
HEAD = 32
"""Bytes that `sniff` needs."""

AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
LONGEST_NAME = 200


def sniff(head: bytes) -> str | None:
    """The format that a file begins as, a key of `ACCEPTED`; None for everything else.

    Examples:
        >>> sniff(bytes.fromhex("ffd8ffe000104a464946")), sniff(b"<svg xmlns=")
        ('JPEG', None)
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, HEAD, 4))]
        if any(brand in AVIF_BRANDS for brand in brands):
            return "AVIF"
        if any(brand in HEIC_BRANDS for brand in brands):
            return "HEIC"
    return None


def clean_name(name: str | None) -> str:
    """A file name as it is shown and offered for download: one part of a path, any script.

    Examples:
        >>> clean_name("../../etc/passwd"), clean_name("C:\\\\fotos\\\\가족.jpg"), clean_name(None)
        ('passwd', '가족.jpg', 'photo')
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name or ""))[-1]
    visible = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    visible = visible.strip().strip(".")
    stem, dot, suffix = visible.rpartition(".")
    if dot and len(suffix) < 8:
        visible = f"{stem[: LONGEST_NAME - 8]}.{suffix}" if stem else suffix
    return visible[:LONGEST_NAME] or "photo"
