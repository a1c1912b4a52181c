"""Instant, exact, kind feedback: `check = open_lab("cnn_mnist")`, then `check("conv2d", conv2d)`."""

from coursekit.check.lab import BundleError, Lab, open_lab
from coursekit.check.show import CheckFailedError

__all__ = ["BundleError", "CheckFailedError", "Lab", "open_lab"]
