"""The metrics, by name.

| name | what it measures | better |
| --- | --- | --- |
| psnr, ssim, ms_ssim | fidelity on RGB, mean over images; with `_y`, on BT.601 luma | higher |
| lpips_alex, lpips_vgg, lpips_squeeze | learned perceptual distance, mean over images | lower |
| fid | Frechet distance of Inception features; needs thousands of images | lower |
| frechet_squeezenet | Frechet distance of SqueezeNet 1.1 features | lower |
| identity_<network> | cosine similarity of face embeddings, mean over images | higher |
| grid_index | strength of a regular 8 px pattern in the mean power spectrum | close to HR |
| niqe | distance of local statistics from those of good photographs, mean over images | lower |
| ita | individual typology angle (how light the skin is), degrees | close to HR |
| skin_L ... iris_b | colour of skin or irises minus that of the HR face, CIELAB | close to 0 |
"""

from faceskd.metrics.base import ImageMetric, Metric, MetricUnavailable, SetMetric
from faceskd.metrics.colour import COLOUR_NAMES
from faceskd.metrics.fidelity import luma, ms_ssim, psnr, ssim
from faceskd.metrics.frechet import frechet_distance
from faceskd.metrics.grid import grid_index, power_spectrum
from faceskd.metrics.suite import METRIC_NAMES, MetricSuite, Scores, build_metric

__all__ = [
    "COLOUR_NAMES",
    "METRIC_NAMES",
    "ImageMetric",
    "Metric",
    "MetricSuite",
    "MetricUnavailable",
    "Scores",
    "SetMetric",
    "build_metric",
    "frechet_distance",
    "grid_index",
    "luma",
    "ms_ssim",
    "power_spectrum",
    "psnr",
    "ssim",
]
