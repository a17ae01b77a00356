"""`sekha serve`: start the gateway, with or without a configuration."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.check import tell_notes
from serve_app.cli.cluster_token import require_token
from serve_app.cli.configured import CANNOT_START, ConfigOption, configured, fail
from serve_app.cli.console import Console, LogFiles
from serve_app.cli.head import APP_NAME, Plan, is_loopback, run_gateway
from serve_app.cli.processes import end, listener_on
from serve_app.cli.production import free_ports, set_up
from serve_app.cli.run_folder import Run, new_run, remove_old_runs, run_at
from serve_app.cli.state import usable_state
from serve_app.cli.supervisor import ENDED_WITHIN_S, stops_to_hear, supervise
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.providers.catalogue.rows import vendor
from serve_app.providers.keys import key_of, missing_key

NOT_FOR_OTHERS = 0o077  # the umask of all the gateway's processes


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port to listen on.")] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Listen beyond this machine although no caller keys are set, and start although "
            "RAY_AUTH_MODE switches the token of Ray's own ports off.",
        ),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="End the processes that a killed `sekha serve` left on the port, then start."
        ),
    ] = False,
) -> None:
    """Start Ray on this machine and serve until SIGINT, SIGTERM, SIGQUIT or SIGHUP."""
    os.umask(NOT_FOR_OTHERS)
    loaded = configured(config)
    settings = loaded.settings
    typer.echo(f"Configuration: {loaded.source}")
    try:
        tell_notes(loaded)
    except ConfigError as error:
        fail(str(error), CANNOT_START)
    address = _address(settings, host, insecure)
    number = port or settings.port or free_ports(1)[0]
    _free(address, number, take_over)
    _warn_of_missing_keys(settings)
    run = _new_run()
    try:
        state = usable_state(settings.storage, os.environ, APP_NAME, typer.echo)
        if warning := require_token(os.environ, run.folder, insecure):
            typer.secho(f"  {warning}", fg=typer.colors.YELLOW)
        set_up(os.environ, run.folder, address)
    except (ConfigError, OSError) as error:
        run.remove()
        fail(str(error), CANNOT_START)
    typer.echo("Starting Ray and the deployments; this takes 10 to 40 seconds.")
    files = LogFiles((state or run.folder) / "logs", number)
    raise typer.Exit(_run(Plan(settings, address, number, run, files, Console())))


def _run(plan: Plan) -> int:
    """Run the gateway in a child process, and return the exit status once all its processes have ended."""
    stops = stops_to_hear()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*stops, signal.SIGCHLD})
    ready_reader, ready_writer = os.pipe()
    life_reader, life_writer = os.pipe()  # the child reads the end of it when this process dies
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            os.close(ready_reader)
            os.close(life_writer)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            status = run_gateway(plan, life_reader, lambda: _say_ready(plan, ready_writer))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # not a return into the command, which the parent finishes
    os.close(ready_writer)
    os.close(life_reader)
    status = supervise(child, ready_reader, plan.run, stops, plan.console.say)
    if status == 0:
        plan.run.remove()
    return status


def _say_ready(plan: Plan, ready_writer: int) -> None:
    everywhere = plan.host in ("0.0.0.0", "::")  # noqa: S104
    host = "127.0.0.1" if everywhere else f"[{plan.host}]" if ":" in plan.host else plan.host
    url = f"http://{host}:{plan.port}"
    for line in (
        f"Sekha Serve is ready: {url}{', and on every other address' if everywhere else ''}",
        f"  Documentation: {url}/docs",
        f"  Requests:      {plan.files.gateway}",
        f"  Ray's output:  {plan.files.ray}",
        f"  Stop:          Ctrl-C, or kill {plan.run.pid}",
    ):
        plan.console.say(line)
    os.write(ready_writer, b"\n")


def _new_run() -> Run:
    remove_old_runs()
    try:
        return new_run()
    except OSError as error:
        fail(
            f"cannot make a folder for this run: {error}. Set TMPDIR to a folder that can be written.",
            CANNOT_START,
        )


def _warn_of_missing_keys(settings: Settings) -> None:
    for provider in settings.llm_providers:
        row = vendor(provider.type)
        if missing := missing_key(provider, row, key_of(provider, row, os.environ)):
            typer.secho(f"  {missing}: its requests fail and go to the next target", fg=typer.colors.YELLOW)


def _address(settings: Settings, host: str | None, insecure: bool) -> str:
    """Return the address to listen on; without caller keys loopback, unless `--insecure` is given."""
    asked = host or (settings.host if "host" in settings.model_fields_set else None)
    if not settings.auth.is_open or insecure:
        return asked or settings.host
    if asked is None:
        typer.echo("The configuration has no caller keys (auth.api_keys): serving this machine only.")
        return "127.0.0.1"
    if not is_loopback(asked):
        fail(
            f"will not listen on {asked}: no caller keys are configured, so anyone could spend your money. "
            "Set auth.api_keys or SEKHA_API_KEYS, or pass --insecure.",
            code=CANNOT_START,
        )
    return asked


def _free(host: str, port: int, take_over: bool) -> None:
    """Exit unless the port is free, or is freed by ending the left-over processes of an earlier run."""
    if (trouble := _trouble_with(host, port)) is None:
        return
    holder = listener_on(port)
    run = run_at(Path(holder.run)) if holder is not None and holder.run else None
    if holder is None or run is None:
        fail(f"cannot listen on {host}:{port}: {trouble}. Choose another with --port.", code=1)
    if run.is_under_way:
        fail(
            f"cannot listen on {host}:{port}: another `sekha serve` does (pid {run.pid}). "
            f"Stop it with `kill {run.pid}`, or choose another port with --port.",
            code=1,
        )
    names = ", ".join(f"{process.name} (pid {process.pid})" for process in run.left_over())
    if not take_over:
        fail(
            f"cannot listen on {host}:{port}: a `sekha serve` that was killed has left {names} behind. "
            "To end them and start, add --take-over.",
            code=1,
        )
    typer.echo(f"Ending the processes of a killed `sekha serve`: {names}.")
    if end(run.left_over, ENDED_WITHIN_S) or (trouble := _trouble_with(host, port)):
        fail(f"cannot listen on {host}:{port}: {trouble}. Choose another with --port.", code=1)
    run.remove()


def _trouble_with(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
