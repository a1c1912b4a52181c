"""What a grader runs in a student's kernel in place of a check cell: it calls the student's object and sends back values.

Nothing is decided here. The inputs come from a file, the results leave as one display message of a type of its own, and
whoever receives them compares them with expected values that this process never sees.
"""

import base64
import json
import os
from pathlib import Path

from coursekit.check.call import answer
from coursekit.check.light import ANSWERS_MIME, FLAGS
from coursekit.check.tree import Tree, dumps, loads


def collect(path: str) -> None:
    """Answer the questions in a file, with the object of that name in the notebook."""
    from IPython import get_ipython

    questions = loads(Path(path).read_bytes())
    target = get_ipython().user_ns.get(questions["target"])
    results = [{"status": "not attempted"}] if target is None else answer(target, questions)
    _send(results)


def send_flags() -> None:
    """Send what the library noted for a person to look at (`fit` does, where trained weights do not fit)."""
    path = Path(os.environ[FLAGS])
    notes = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.is_file() else []
    _send([f"{note['flag']} {note['name']}: {note['detail']}" for note in notes])


def _send(tree: Tree) -> None:
    from IPython.display import display

    display({ANSWERS_MIME: base64.b64encode(dumps(tree)).decode("ascii")}, raw=True)
