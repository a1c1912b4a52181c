"""What a grader and its kernels share and what needs no torch: names, and how points are written."""

FLAGS = "COURSEKIT_FLAGS"  # the variable that names the file of notes for a grader
ANSWERS_MIME = "application/x-coursekit-answers"


def number(value: float) -> str:
    """2.0 as "2", 1.3333 as "1.33"."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
