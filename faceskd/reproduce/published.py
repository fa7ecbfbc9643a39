"""Figures that the paper reports, to show beside our own.

Jo, Park, Hong, "Face Super-Resolution using Adversarial Distillation of Multi-Scale Facial Region
Dictionary", JBE 26(5), 2021. Methods have the names of `conf/reproduce.yaml`. Ours and theirs are
of other faces, other training and another network of LPIPS: only order and differences compare.
"""

METRICS = ("psnr", "ssim", "ms_ssim", "lpips", "fid")

QUALITY: dict[str, dict[str, tuple[float, ...]]] = {
    "vggface2": {
        "bicubic": (25.74, 0.731, 0.852, 0.5124, 149.5),
        "rcan": (26.59, 0.779, 0.891, 0.3191, 73.9),
        "dbpn": (26.29, 0.768, 0.881, 0.2971, 48.3),
        "hifacegan": (21.01, 0.698, 0.831, 0.2635, 31.4),
        "teacher": (26.74, 0.771, 0.889, 0.2413, 31.4),
        "student_sskd_3": (26.62, 0.769, 0.886, 0.2511, 34.8),
        "student_mskd": (26.68, 0.768, 0.888, 0.2411, 32.3),
        "student_no_kd": (25.84, 0.750, 0.868, 0.2746, 43.4),
    },
    "celeba": {
        "bicubic": (26.10, 0.744, 0.856, 0.4854, 165.6),
        "teacher": (27.33, 0.790, 0.898, 0.2070, 26.7),
        "student_mskd": (27.28, 0.787, 0.897, 0.2073, 27.2),
        "student_no_kd": (26.31, 0.766, 0.875, 0.2345, 33.5),
    },
}
"""Set of faces -> method -> values of `METRICS`."""

COSTS: dict[str, dict[str, float]] = {
    "teacher": {"median, ms": 430.8, "peak memory, MB": 9800.0, "dictionary, MB": 1800.0},
    "student_mskd": {"median, ms": 34.2, "peak memory, MB": 4300.0},
}
"""Method -> time and memory of one face on a Quadro RTX 8000, a mean over 2,000 faces."""

LIMITS = {"psnr": 0.1, "lpips": 0.02}
"""How much worse "as good as" may be: dB of PSNR, and share of LPIPS. This tolerance is ours; in
the paper, the student is 0.05 to 0.06 dB below its teacher, and within 0.15 % of its LPIPS."""


def figure(faces: str | None, method: str, metric: str) -> float | None:
    """The paper's value of a metric, which may have our longer name; None where it has none.

    Examples:
        >>> figure("vggface2", "teacher", "lpips_squeeze"), figure("celeba", "rcan", "psnr")
        (0.2413, None)
    """
    values = QUALITY.get(faces or "", {}).get(method)
    known = [index for index, name in enumerate(METRICS) if metric.startswith(name)]
    return values[known[0]] if values and known else None


def difference(faces: str | None, first: str, second: str, metric: str) -> float | None:
    """The paper's value of the first method minus that of the second.

    Examples:
        >>> difference("vggface2", "student_mskd", "student_no_kd", "psnr")
        0.84
    """
    a, b = (figure(faces, method, metric) for method in (first, second))
    return None if a is None or b is None else round(a - b, 4)


def beside(faces: str | None, method: str) -> dict[str, float]:
    """The paper's values of a method as further columns of a table; {} where it has none."""
    values = QUALITY.get(faces or "", {}).get(method, ())
    return {f"{name}, paper": value for name, value in zip(METRICS, values, strict=False)}


def limit(metric: str, base: float) -> float:
    """By how much a method that is as good as another may be worse; `base` is the other's value.

    Examples:
        >>> limit("psnr", 28.0), limit("lpips_squeeze", 0.15)
        (0.1, 0.003)
    """
    share = next(value for name, value in LIMITS.items() if metric.startswith(name))
    return share if metric.startswith("psnr") else share * base
