"""Figures for the labs; functions return a matplotlib figure (or a table, of texts); matplotlib loads on first use."""

from coursekit.plot.classification import confusion, mistakes
from coursekit.plot.embeddings import contextual
from coursekit.plot.heads import attention
from coursekit.plot.phenomena import by_phenomenon
from coursekit.plot.pictures import feature_maps, filters, images
from coursekit.plot.sequences import gates, gradient_norms, sampled, states
from coursekit.plot.style import cjk_font
from coursekit.plot.texts import most_wrong
from coursekit.plot.training import curves

__all__ = [
    "attention",
    "by_phenomenon",
    "cjk_font",
    "confusion",
    "contextual",
    "curves",
    "feature_maps",
    "filters",
    "gates",
    "gradient_norms",
    "images",
    "mistakes",
    "most_wrong",
    "sampled",
    "states",
]
