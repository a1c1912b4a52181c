"""Measures of generative models, numbers in place of impressions: quality and variety of samples, copies, outliers."""

from coursekit.measure.copies import copied, nearest
from coursekit.measure.outliers import outlier_auc, outlier_scores
from coursekit.measure.samples import SampleQuality, features, frechet_distance, sample_quality

__all__ = [
    "SampleQuality",
    "copied",
    "features",
    "frechet_distance",
    "nearest",
    "outlier_auc",
    "outlier_scores",
    "sample_quality",
]
