"""Photos on disk, and their preparation in this process."""

from PIL import Image

from faceskd.data.prepare import prepare

MIN_FACE = 120


def run(src, dst, **options):
    options = {"min_face": MIN_FACE, "processes": 1, "progress": False, **options}
    return prepare(src, dst, **options)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
