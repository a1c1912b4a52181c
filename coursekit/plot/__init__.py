"""Figures for the labs; each function returns a matplotlib figure, and matplotlib loads on first use."""

from coursekit.plot.classification import confusion, mistakes
from coursekit.plot.pictures import feature_maps, filters, images
from coursekit.plot.sequences import gates, gradient_norms, sampled, states
from coursekit.plot.style import cjk_font
from coursekit.plot.training import curves

__all__ = [
    "cjk_font",
    "confusion",
    "curves",
    "feature_maps",
    "filters",
    "gates",
    "gradient_norms",
    "images",
    "mistakes",
    "sampled",
    "states",
]
