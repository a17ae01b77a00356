"""A PostgreSQL server for tests: the one of this machine, or one of our own for as long as they last."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

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
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="sekha-postgres-"))
    user = _unprivileged(folder)
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    data, options = folder / "data", f"-p {port} -h {HOST} -k {folder} -F"
    ours = {"check": True, "user": user, "stdout": subprocess.DEVNULL}
    try:
        subprocess.run([programs / "initdb", "-A", "trust", "-U", "postgres", "-D", data], **ours)
        log = folder / "log"
        subprocess.run([programs / "pg_ctl", "-w", "-D", data, "-o", options, "-l", log, "start"], **ours)
        yield Server(port)
        subprocess.run([programs / "pg_ctl", "-w", "-D", data, "-m", "immediate", "stop"], **ours)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
