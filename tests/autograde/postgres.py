"""A real PostgreSQL server of one's own, from the programs of Debian's package `postgresql`."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

USER = "postgres"


def programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[4]))
    if not found:
        pytest.skip("no PostgreSQL server here: `apt-get install postgresql`")
    return found[-1].parent


class Server:
    """A server on loopback; as root it runs as the user `postgres`, as it refuses to be root."""

    def __init__(self, folder: Path):
        self.bin, self.folder = programs(), folder
        with socket.socket() as any_socket:
            any_socket.bind(("127.0.0.1", 0))
            self.port = any_socket.getsockname()[1]
        self._run("initdb", "-D", str(folder / "data"), "-U", USER, "-A", "trust", "-N", "-E", "UTF8")
        self.control("start")

    def control(self, what: str, mode: str = "immediate") -> None:
        """`start`, `stop` or `restart`; "immediate" is what a power cut does."""
        options = (
            f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        )
        more = [] if what == "start" else ["-m", mode]
        more += [] if what == "stop" else ["-l", str(self.folder / "log"), "-o", options]
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *more, what)

    def database(self, name: str, like: str = "template1") -> str:
        """A new database, a copy of another; its address as nbgrader takes it."""
        with self.connection() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def connection(self, name: str = USER) -> psycopg.Connection:
        return psycopg.connect(host="127.0.0.1", port=self.port, user=USER, dbname=name, autocommit=True)

    def drop_connections(self, name: str) -> int:
        """End every connection to a database, as an operator can; how many there were."""
        ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        with self.connection() as connection:
            return len(connection.execute(ours, (name,)).fetchall())

    def _run(self, program: str, *arguments: str) -> None:
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.getuid() == 0 else []
        log = self.folder / "commands.log"
        with log.open("ab") as out:
            done = subprocess.run(
                [*user, str(self.bin / program), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                check=False,
            )
        assert done.returncode == 0, log.read_text()


@contextmanager
def server() -> Iterator[Server]:
    programs()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.getuid() == 0:
        try:
            user = pwd.getpwnam(USER)
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user `postgres`")
        os.chown(folder, user.pw_uid, user.pw_gid)
    there = None
    try:
        there = Server(folder)
        yield there
    finally:
        if there is not None:
            there.control("stop")
        shutil.rmtree(folder)
