"""Errors of the instructor's side; the message says what was wrong, what was expected and what to do."""


class AutogradeError(Exception):
    """Base of all errors that a command prints as one clear message."""


class LabError(AutogradeError):
    """Something is wrong in a lab's source."""


class CourseError(AutogradeError):
    """Something is wrong with the course directory."""


class LostError(AutogradeError):
    """The place where submissions are run is gone; what was recorded stays, and the next run does the rest."""


class IsolationError(AutogradeError):
    """The sandbox cannot be had on this machine."""
