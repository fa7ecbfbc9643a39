"""Fit the constants that turn five landmarks into component boxes (`components.FITTED`).

    python tools/fit_component_boxes.py

The constants are fitted to the average face. Two mean shapes of the 68-point scheme are published:
dlib's (get_face_chip_details, Boost licence) and OpenFace's (align_dlib, Apache-2.0). Both are
given below without the jaw (points 17 to 67), rounded. Each is fitted in its own coordinates (x
from eye to eye, y from the eyes to the mouth), and the two results are averaged.
tests/faces/test_components.py checks the result on synthetic portraits.
"""

import numpy as np

from faceskd.faces.components import COMPONENTS, FITTED, LANDMARKS_68, face_frame, five_points

DLIB = [
    (0.0002, 0.1065),
    (0.0753, 0.0389),
    (0.1811, 0.0187),
    (0.2908, 0.0345),
    (0.3934, 0.0774),
    (0.5869, 0.0774),
    (0.6895, 0.0345),
    (0.7991, 0.0187),
    (0.9050, 0.0389),
    (0.9800, 0.1065),
    (0.4901, 0.2034),
    (0.4901, 0.3070),
    (0.4901, 0.4098),
    (0.4901, 0.5156),
    (0.3669, 0.5873),
    (0.4260, 0.6093),
    (0.4901, 0.6281),
    (0.5542, 0.6093),
    (0.6134, 0.5873),
    (0.1217, 0.2164),
    (0.1871, 0.1788),
    (0.2658, 0.1799),
    (0.3346, 0.2317),
    (0.2609, 0.2451),
    (0.1827, 0.2441),
    (0.6456, 0.2317),
    (0.7144, 0.1799),
    (0.7931, 0.1788),
    (0.8585, 0.2164),
    (0.7975, 0.2441),
    (0.7193, 0.2451),
    (0.2541, 0.7802),
    (0.3410, 0.7454),
    (0.4289, 0.7274),
    (0.4901, 0.7426),
    (0.5514, 0.7274),
    (0.6393, 0.7454),
    (0.7261, 0.7802),
    (0.6422, 0.8648),
    (0.5567, 0.9022),
    (0.4901, 0.9093),
    (0.4235, 0.9022),
    (0.3381, 0.8648),
    (0.2904, 0.7848),
    (0.4281, 0.7787),
    (0.4901, 0.7853),
    (0.5522, 0.7787),
    (0.6899, 0.7848),
    (0.5534, 0.8242),
    (0.4901, 0.8318),
    (0.4269, 0.8242),
]
OPENFACE = [
    (0.1638, 0.2492),
    (0.2178, 0.2043),
    (0.2913, 0.1924),
    (0.3675, 0.2036),
    (0.4393, 0.2331),
    (0.5864, 0.2281),
    (0.6602, 0.1959),
    (0.7375, 0.1824),
    (0.8132, 0.1928),
    (0.8708, 0.2353),
    (0.5153, 0.3186),
    (0.5162, 0.3962),
    (0.5171, 0.4738),
    (0.5182, 0.5532),
    (0.4337, 0.6041),
    (0.4755, 0.6208),
    (0.5207, 0.6343),
    (0.5659, 0.6188),
    (0.6071, 0.6016),
    (0.2524, 0.3311),
    (0.2987, 0.3026),
    (0.3557, 0.3030),
    (0.4037, 0.3387),
    (0.3525, 0.3500),
    (0.2968, 0.3505),
    (0.6313, 0.3341),
    (0.6791, 0.2965),
    (0.7360, 0.2947),
    (0.7829, 0.3213),
    (0.7403, 0.3418),
    (0.6850, 0.3437),
    (0.3532, 0.7462),
    (0.4146, 0.7191),
    (0.4777, 0.7068),
    (0.5227, 0.7171),
    (0.5698, 0.7054),
    (0.6352, 0.7157),
    (0.6995, 0.7394),
    (0.6394, 0.8052),
    (0.5764, 0.8354),
    (0.5254, 0.8417),
    (0.4764, 0.8375),
    (0.4138, 0.8100),
    (0.3801, 0.7500),
    (0.4780, 0.7451),
    (0.5234, 0.7489),
    (0.5711, 0.7433),
    (0.6724, 0.7442),
    (0.5725, 0.7766),
    (0.5240, 0.7834),
    (0.4776, 0.7785),
]
JAW_POINTS = 17


def mean_shapes() -> np.ndarray:
    """Both mean shapes, (2, 68, 2), y downwards, each in its own units. The jaw points are zero."""
    shapes = np.zeros((2, 68, 2))
    shapes[:, JAW_POINTS:] = DLIB, OPENFACE
    return shapes


def fit(shape: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """The constants that fit one 68-point shape (68, 2), in the form of `FITTED`."""
    anchors, across, down, units = face_frame(five_points(shape).astype(float))
    constants = {}
    for name, anchor, unit in zip(COMPONENTS, anchors, units, strict=True):
        points = shape[LANDMARKS_68[name]]
        x, y = np.linalg.solve(np.stack([across, down], axis=1), points.mean(0) - anchor)
        constants[name] = (float(x), float(y), float(np.ptp(points, axis=0).max() / 2 / unit))
    return constants


def main() -> None:
    fits = [fit(shape) for shape in mean_shapes()]
    for name in COMPONENTS:
        each = np.array([constants[name] for constants in fits])
        mean, difference = each.mean(0).round(4), np.ptp(each, axis=0).round(4)
        print(f"{name:10s} fitted {mean} (the two differ by {difference}), now {FITTED[name]}")


if __name__ == "__main__":
    main()
