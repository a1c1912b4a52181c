"""Figures for the labs; functions return a matplotlib figure (or a table, of texts); matplotlib loads on first use."""

from coursekit.plot.classification import confusion, mistakes
from coursekit.plot.embeddings import contextual
from coursekit.plot.gan import players, sample_grid, samples_over_time
from coursekit.plot.generative import density, latent_grid
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
    "density",
    "feature_maps",
    "filters",
    "gates",
    "gradient_norms",
    "images",
    "latent_grid",
    "mistakes",
    "most_wrong",
    "players",
    "sample_grid",
    "sampled",
    "samples_over_time",
    "states",
]
