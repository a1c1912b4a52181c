"""The one error of `coursekit.data`."""


class DataError(RuntimeError):
    """A data set cannot be had; the message says what was looked for, where, and what to do."""
