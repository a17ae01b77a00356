"""A PostgreSQL server for tests: the one of this machine, or one of our own for as long as they last."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens; its user `postgres` needs no password."""

    port: int

    def url(self, database: str, password: str = "", port: int | None = None) -> str:
        return f"postgresql://postgres:{password}@{HOST}:{port or self.port}/{database}"

    def run(self, statement: str) -> None:
        """One statement, outside any transaction."""
        asyncio.run(self._run(statement))

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"), timeout=5)
        await connection.execute(statement)
        await connection.close()

    def answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True


@contextmanager
def postgres() -> Iterator[Server]:
    """The server at the usual port if it lets us in, else one that is made from the machine's package."""
    usual = Server(5432)
    if usual.answers():
        yield usual
        return
    with own_postgres() as own:
        yield own


@contextmanager
def own_postgres() -> Iterator["OwnServer"]:
    """A server made from the machine's package, which may be killed; gone when the context is left."""
    folder = Path(tempfile.mkdtemp(prefix="sekha-postgres-"))
    server = OwnServer(_free_port(), folder, _unprivileged(folder))
    try:
        server.control("initdb", "-A", "trust", "-U", "postgres")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class OwnServer(Server):
    """One that runs in a folder of ours, as this user of the machine."""

    folder: Path
    user: str | None

    def start(self) -> None:
        options = f"-p {self.port} -h {HOST} -k {self.folder}"
        self.control("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self.control("pg_ctl", "-w", "-m", "immediate", "stop")

    def kill(self) -> None:
        """All of it at once, as when its machine goes away; what was committed stays."""
        postmaster = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))
        for process in [postmaster, *postmaster.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        postmaster.wait(10)

    def control(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_programs() / program, "-D", self.folder / "data", *arguments],
            check=True,
            user=self.user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def _programs() -> Path:
    if config := shutil.which("pg_config"):
        told = subprocess.run([config, "--bindir"], check=True, capture_output=True, text=True)
        if (folder := Path(told.stdout.strip())).joinpath("initdb").exists():
            return folder
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise RuntimeError(f"no PostgreSQL at {HOST}:5432 (user postgres, trust), and no initdb on this machine")


def _unprivileged(folder: Path) -> str | None:
    """PostgreSQL does not run as root: then it gets the user that its package made."""
    if os.getuid() != 0:
        return None
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return "postgres"
