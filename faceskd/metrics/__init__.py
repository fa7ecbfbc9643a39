"""What is measured, by name.

| name | what | better |
| --- | --- | --- |
| psnr, ssim, ms_ssim | fidelity on RGB, mean over images; with `_y`, on BT.601 luma | higher |
| lpips_alex, lpips_vgg, lpips_squeeze | learned perceptual distance, mean over images | lower |
| fid | Frechet distance in Inception features; wants thousands of images | lower |
| frechet_squeezenet | Frechet distance in SqueezeNet 1.1 features | lower |
| identity_<network> | cosine of face embeddings, mean over images | higher |
| grid_index | regular pattern of period 8 in the mean power spectrum | as the HR images |
| ita | individual typology angle: how light the skin is, degrees | as the HR images |
| skin_L ... iris_b | colour of skin and irises less the HR face's, CIELAB | near 0 |
"""

from faceskd.metrics.base import Direction, ImageMetric, Metric, MetricUnavailable, SetMetric
from faceskd.metrics.colour import COLOUR_NAMES
from faceskd.metrics.fidelity import luma, ms_ssim, psnr, ssim
from faceskd.metrics.frechet import frechet_distance
from faceskd.metrics.grid import grid_index, power_spectrum
from faceskd.metrics.suite import METRIC_NAMES, MetricSuite, Scores, build_metric

__all__ = [
    "COLOUR_NAMES",
    "METRIC_NAMES",
    "Direction",
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
