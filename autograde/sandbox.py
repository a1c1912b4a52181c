"""The sandbox: a Jupyter kernel under bubblewrap, without network, on a read-only system, with limits.

What it sees: the system's libraries, this Python environment, `coursekit`, the data of `COURSEKIT_HOME`, the student's own
files (a copy, in memory) and the inputs of the checks. What it does not see: the gradebook, solutions, expected values, other
students' work, the rest of the disk, the network.
"""

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

import coursekit
from autograde.cgroups import NO_GROUP, Group
from autograde.course import Limits
from autograde.errors import IsolationError
from coursekit.check.light import FLAGS
from coursekit.own_data import own_data

ROOM = Path("/sandbox")
HOME, WORK, INPUTS = ROOM / "home", ROOM / "home/work", ROOM / "inputs"

_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives", "/etc/ssl/certs")
_LINKS = {"/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib64", "/sbin": "usr/sbin"}
# Figures are drawn once, not twice to trim their margins, and as large as a feedback page needs; nobody asks for the history.
_KERNEL_CONFIG = """
c = get_config()
c.InlineBackend.print_figure_kwargs = {"bbox_inches": None}
c.InlineBackend.rc = {"figure.dpi": 60}
c.HistoryManager.enabled = False
"""
_FIRST_UID, _UIDS = 61_000, 4_000
_numbers = itertools.count(os.getpid())
_START = f'mkdir -p "{WORK}" && cp -r {ROOM}/skeleton/. "$HOME" && cp -r {ROOM}/submission/. "{WORK}" && cd "{WORK}" && exec "$@"'


@dataclass(frozen=True)
class Rooms:
    """Folders outside that one sandbox uses: `submission` and `inputs` are read, `sockets` is shared with the kernel."""

    submission: Path
    inputs: Path
    sockets: Path
    skeleton: Path
    group: Group = NO_GROUP

    @property
    def log(self) -> Path:
        """What the kernel's process prints outside of messages; its size is limited like any file's."""
        return self.submission.parent / "kernel.log"


@contextmanager
def rooms(group: Group = NO_GROUP) -> Iterator[Rooms]:
    """Fresh rooms for one submission; the paths are short because socket paths must be."""
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as root:
        there = Rooms(Path(root, "submission"), Path(root, "inputs"), Path(root, "s"), skeleton(), group)
        for folder in (there.submission, there.inputs, there.sockets):
            folder.mkdir()
        Path(root).chmod(0o755)
        yield there


def check_isolation() -> None:
    """Try the sandbox with a command that does nothing.

    Raises:
        IsolationError: with the remedy, when it cannot be had here.
    """
    if sys.platform != "linux":
        raise IsolationError("the sandbox needs Linux (or WSL); students need none of it")
    missing = [tool for tool in ("bwrap", "setpriv", "prlimit") if not shutil.which(tool)]
    if missing:
        package = "bubblewrap" if "bwrap" in missing else "util-linux"
        raise IsolationError(f"the sandbox needs {', '.join(missing)}: `sudo apt-get install {package}`")
    with rooms() as there:
        limits = Limits(10, 10, 1024, 64, 1000, 16)
        try:
            done = subprocess.run(
                command(there, limits, ["true"], {}), capture_output=True, text=True, timeout=30, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise IsolationError("the sandbox does not start within 30 seconds") from error
    if done.returncode:
        raise IsolationError(
            f"the sandbox does not start: {done.stderr.strip()}\n"
            "If user namespaces are switched off: `sudo sysctl kernel.unprivileged_userns_clone=1`; on Ubuntu 24.04 and "
            "later: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile for bwrap. "
            "To grade without a sandbox, on a machine that may be lost: `--isolation none`."
        )


def command(
    there: Rooms, limits: Limits, argv: list[str], env: dict[str, str], devices: Sequence[Path] = ()
) -> list[str]:
    """The command line that runs `argv` in a sandbox of its own, which sees these devices, as far as they are there.

    As root it becomes an ordinary user of its own first.
    """
    uid = some_uid()
    disk = limits.disk_mb * 2**20
    inside = {
        there.sockets: there.sockets,
        ROOM / "submission": there.submission,
        ROOM / "skeleton": there.skeleton,
        INPUTS: there.inputs,
    }
    line = [*walls(), "--proc", "/proc"]
    for folder in (Path("/tmp"), HOME):
        line += ["--perms", "1777", "--size", str(disk), "--tmpfs", str(folder)]
    line += bound(inside, writable=[there.sockets])
    for device in devices:
        line += ["--dev-bind-try", str(device), str(device)]
    line += variables(env)
    give(there.sockets, uid)
    bounds = [f"--{option}={value}" for option, value in rlimits(limits).items()]
    return [*line, "--", *as_user(uid), "prlimit", *bounds, "sh", "-c", _START, "sh", *argv]


def rlimits(limits: Limits) -> dict[str, int]:
    """Limits of one process, by their names in `prlimit`."""
    return {
        "data": limits.memory_mb * 2**20,
        "nproc": limits.processes,
        "cpu": 2 * limits.notebook_seconds,
        "fsize": limits.disk_mb * 2**20,
        "nofile": 1024,
        "core": 0,
    }


def some_uid() -> int:
    """As root: a user that nobody else is; else ourselves."""
    return _FIRST_UID + next(_numbers) % _UIDS if os.getuid() == 0 else os.getuid()


def give(folder: Path, uid: int) -> None:
    """Make `uid` the owner of a folder and what is in it."""
    if os.getuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, uid)


def walls(*capabilities: str) -> list[str]:
    """How bubblewrap's command line begins: namespaces, and the system's folders; `capabilities` are for what it runs, as root."""
    root = os.getuid() == 0
    line = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    line += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    line += [] if root else ["--unshare-user"]
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", *capabilities) if root else ():
        line += ["--cap-add", capability]
    for path in _SYSTEM:
        line += ["--ro-bind-try", path, path]
    for link, goal in _LINKS.items():
        line += ["--symlink", goal, link] if Path(link).is_symlink() else ["--ro-bind-try", link, link]
    return [*line, "--dev", "/dev", "--perms", "0755", "--dir", str(ROOM)]


def bound(inside: Mapping[Path, Path], writable: Collection[Path]) -> list[str]:
    """Options that show the Python environment and `inside`, what is to be seen inside -> where it is outside."""
    binds = {path: path for path in environment()} | dict(inside)
    # bubblewrap would make the parent folders for root only.
    parents = {parent for path in binds for parent in path.parents} - {Path("/"), Path("/tmp"), ROOM}
    line = []
    for folder in sorted(parents):
        line += ["--perms", "0755", "--dir", str(folder)]
    for path, outside in binds.items():
        line += ["--bind" if path in writable else "--ro-bind", str(outside), str(path)]
    return line


def variables(env: Mapping[str, str]) -> list[str]:
    """Options that set the environment's variables, and begin in /tmp."""
    line = ["--chdir", "/tmp"]
    for name, value in {**_variables(), **env}.items():
        line += ["--setenv", name, value]
    return line


def as_user(uid: int) -> list[str]:
    """The beginning of a command that runs as an ordinary user who can become no other."""
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all"]
    if os.getuid() == 0:
        drop += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--bounding-set=-all"]
    return drop


def environment() -> list[Path]:
    """The parts of this Python environment that a kernel needs, outermost first."""
    package = Path(coursekit.__file__).resolve().parent
    paths = [Path(sys.base_prefix), Path(sys.prefix), package, own_data().resolve()]
    if home := os.environ.get("COURSEKIT_HOME"):
        paths.append(Path(home).resolve())
    outer = [path for path in paths if not path.is_relative_to("/usr")]
    return sorted({path for path in outer if path.is_dir()}, key=lambda path: len(path.parts))


def _variables() -> dict[str, str]:
    variables = {
        "HOME": str(HOME),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "USER": "student",
        "MPLCONFIGDIR": str(HOME / ".matplotlib"),
        "IPYTHONDIR": str(HOME / ".ipython"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        FLAGS: str(HOME / "flags.jsonl"),
    }
    if home := os.environ.get("COURSEKIT_HOME"):
        variables["COURSEKIT_HOME"] = str(Path(home).resolve())
    return variables


def skeleton() -> Path:
    """The home folder every kernel starts from, with matplotlib's list of fonts, which takes seconds to make."""
    import matplotlib

    key = hashlib.sha256(_KERNEL_CONFIG.encode()).hexdigest()[:8]
    folder = platformdirs.user_cache_path("autograde") / f"home-{matplotlib.__version__}-{key}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as making:
            home = Path(making, "home")
            (home / ".matplotlib").mkdir(parents=True)
            profile = home / ".ipython" / "profile_default"
            profile.mkdir(parents=True)
            (profile / "ipython_kernel_config.py").write_text(_KERNEL_CONFIG, encoding="utf-8")
            env = {**os.environ, "MPLCONFIGDIR": str(home / ".matplotlib")}
            subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], env=env, check=True)
            home.chmod(0o755)
            try:
                home.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process may have made it in the meantime
                    raise
    return folder
