"""`sekha prices`: show the price list and its age, and update it."""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
import typer

from serve_app.cli.admin import FAILED
from serve_app.cli.configured import ConfigOption, configured, fail
from serve_app.cli.rows import Format, FormatOption, show_rows
from serve_app.config.pricing import PriceTable, stored_list
from serve_app.config.settings import Settings
from serve_app.errors import ConfigError
from serve_app.pricing.money import dollars
from serve_app.pricing.price import Price
from serve_app.pricing.stored_list import (
    BUNDLED_ON,
    BUNDLED_RELEASE,
    LARGEST,
    ListFacts,
    facts_of,
    validated,
    wrapped,
)
from serve_app.pricing.target_prices import operators_list, prices_of

OLD_DAYS = 90
WITHIN_S = 60.0
COLUMNS = ("target", "input_per_1m", "output_per_1m", "per_hour")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

prices = typer.Typer(name="prices", help="Show the price list, or take a newer one.", no_args_is_help=False)


@prices.callback(invoke_without_command=True)
def show_prices(
    context: typer.Context, config: ConfigOption = None, form: FormatOption = Format.TABLE
) -> None:
    """Show the list's date and age, and the cost of each configured model in US dollars."""
    if context.invoked_subcommand is not None:
        return
    settings = configured(config).settings
    found = _prices(settings)
    if form is Format.TABLE:
        typer.echo(note_of_list(settings, os.environ, datetime.now(UTC).date()))
    show_rows([_row(target, price) for target, price in found.items()], COLUMNS, form)


@prices.command()
def update(
    source: Annotated[str, typer.Argument(help="A file or an https address, in LiteLLM's format.")],
    day: Annotated[
        str | None,
        typer.Option("--date", help="The date of the list, as in 2026-11-30; default: the file's."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Store a newer price list, which counts from the next start, until `sekha prices reset`."""
    settings = configured(config).settings
    given = asyncio.run(_fetched(source)) if "://" in source else _read(Path(source))
    try:
        rows = validated(given.raw)
    except ValueError as error:
        fail(f"{source} is not a price list: {error}", FAILED)
    facts = ListFacts(_day(day) if day else given.as_of, source)
    before = _prices(settings)
    path = _kept(settings, wrapped(rows, facts))
    changed = [_row(t, p) for t, p in _prices(settings).items() if p != before[t]]
    typer.echo(f"{len(rows)} models, {_from(facts, datetime.now(UTC).date())}, are stored in {path}.")
    typer.echo("A running gateway uses them from its next start.")
    if changed:
        typer.echo("Prices of configured models that change:")
        show_rows(changed, COLUMNS, Format.TABLE)


@prices.command()
def reset(config: ConfigOption = None) -> None:
    """Remove the stored list; the bundled one counts from the next start."""
    path = operators_list(configured(config).settings, os.environ)
    if path is None:
        typer.echo("No price list is stored; the bundled one applies.")
        return
    path.unlink()
    typer.echo("The stored price list is removed; the bundled one applies from the next start.")


def note_of_list(settings: Settings, environ: Mapping[str, str], today: date) -> str:
    """Return one line about the list that counts, and its age."""
    path = operators_list(settings, environ)
    try:
        facts = _bundled() if path is None else facts_of(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the price list {path} cannot be read: {error}") from error
    classic = "the classic table, then " if settings.pricing.table is PriceTable.CLASSIC else ""
    age = facts.age_days(today)
    old = "; a newer one: sekha prices update" if age is not None and age > OLD_DAYS else ""
    return f"Prices: {classic}{facts.source}, {_from(facts, today)}{old}"


def _from(facts: ListFacts, today: date) -> str:
    age = facts.age_days(today)
    return "of unknown date" if age is None else f"of {facts.as_of} ({age} day{'s' if age != 1 else ''} old)"


def _bundled() -> ListFacts:
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        return ListFacts(None, "the classic table alone: LiteLLM is not installed")
    known = installed == BUNDLED_RELEASE
    return ListFacts(BUNDLED_ON if known else None, f"the list of LiteLLM {installed}")


@dataclass(frozen=True, slots=True)
class _Given:
    raw: bytes
    as_of: date | None


def _read(path: Path) -> _Given:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
            return _Given(raw, datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC).date())
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}", FAILED)


async def _fetched(address: str) -> _Given:
    """Fetch an address; redirects are not followed, because they may lead to an address without https."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        fail(f"'{address}' must be a file, or begin with https://", FAILED)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S), trust_env=True) as session,
            session.get(address, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                to = f", which leads to {answer.headers['Location']}" if "Location" in answer.headers else ""
                fail(f"{address} answers with HTTP status {answer.status}{to}", FAILED)
            raw = bytearray()
            async for piece in answer.content.iter_chunked(64 * 1024):
                raw += piece
                if len(raw) > LARGEST:
                    break
            modified = answer.headers.get("Last-Modified")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        fail(f"cannot fetch {address}: {type(error).__name__}: {error}", FAILED)
    return _Given(bytes(raw), _http_day(modified))


def _http_day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).date()
    except ValueError:
        return None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"'{text}' is not a date; write 2026-11-30", FAILED)


def _kept(settings: Settings, contents: bytes) -> Path:
    """Store the list completely or not at all."""
    try:
        path = stored_list(settings.storage, os.environ)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, ConfigError) as error:
        fail(f"cannot store the list: {error}", FAILED)
    return path


def _prices(settings: Settings) -> dict[str, Price | None]:
    try:
        return prices_of(settings, os.environ)
    except ConfigError:  # the stored list is damaged; it will be replaced, or reported by note_of_list
        return dict.fromkeys(prices_of(settings))


def _row(target: str, price: Price | None) -> dict[str, Any]:
    if price is None:
        return {"target": target, "input_per_1m": "unknown", "output_per_1m": "unknown", "per_hour": None}
    hourly = dollars(price.machine_hour) or None
    return {
        "target": target,
        "input_per_1m": dollars(price.input),
        "output_per_1m": dollars(price.output),
        "per_hour": hourly,
    }
