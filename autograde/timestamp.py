"""When a submission was handed in: nbgrader's `timestamp.txt`, which lies in the submission and may say anything.

It is trusted, as nbgrader does: nothing that can be known later tells an honest early time from a forged one. What can be known
is flagged: a time that is none (nbgrader would stop), one that is later than the collection, and none at all where the
assignment has a date on which it is due.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbgrader.utils import parse_utc

NAME = Path("timestamp.txt")
MAX_BYTES = 200
# A time without a zone may be that of any zone.
_SKEW = timedelta(hours=15)


def check_timestamp(files: dict[Path, Path], due: datetime | None, flags: list[str]) -> None:
    """Look at the timestamp among the files of a submission; one that is no time is left out.

    Args:
        files: by relative path; changed.
        due: of the assignment, if it has such a date.
        flags: suspicions for a person; added to.
    """
    path = files.get(NAME)
    if path is None:
        flags += [f"no {NAME}, so it does not count as late"] if due else []
        return
    data = path.read_bytes()
    shown = data[:80].decode("utf-8", "replace").strip()
    if not shown and not due:
        return
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too long")
        told = parse_utc(data.decode("utf-8").strip())
    except (ValueError, OverflowError):
        del files[NAME]
        flags.append(
            f"{NAME} is no time: {shown!r}; left out{', so it does not count as late' if due else ''}"
        )
        return
    # Not the time of its contents, which comes along in archives, and may be any; this one is from this machine.
    collected = datetime.fromtimestamp(path.stat().st_ctime, UTC).replace(tzinfo=None)
    if told > collected + _SKEW:
        flags.append(f"{NAME} says {told:%Y-%m-%d %H:%M} (UTC), which is later than it was collected")
