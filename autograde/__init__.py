"""Instructor side: release, run in a sandbox, decide, record, report."""

import os
import sys
from pathlib import Path

# jsonschema would compile a grammar of addresses at import, 2 s of every command; nothing here has one to check.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: cannot be imported

# nbgrader starts `alembic` by its bare name, which fails where the environment is used without being activated.
_scripts = str(Path(sys.executable).parent)
if _scripts not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join([_scripts, os.environ.get("PATH", "")])
