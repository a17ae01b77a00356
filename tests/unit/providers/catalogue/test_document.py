"""The document about vendors shows the catalogue as it is."""

from itertools import groupby
from pathlib import Path

from serve_app.providers.catalogue.dialect import Dialect
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.catalogue.vendor import Adapter, ModelFamily, Vendor
from serve_app.providers.catalogue.wire_format import WireFormat

DOCUMENT = Path(__file__).parents[4] / "docs" / "vendors.md"

REACHED = {Adapter.HTTP: "directly", Adapter.LITELLM: "LiteLLM", Adapter.SCRIPTED: "built in"}

SHORT = {
    WireFormat.OPENAI_CHAT: "chat",
    WireFormat.OPENAI_EMBEDDINGS: "embeddings",
    WireFormat.OPENAI_COMPLETIONS: "completions",
    WireFormat.OPENAI_RESPONSES: "Responses",
    WireFormat.ANTHROPIC_MESSAGES: "Messages",
}


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str | None) -> str:
    return f"`{text}`" if text else "–"


def vendor_line(vendor: Vendor) -> str:
    variables = (vendor.key_variable, vendor.address_variable, vendor.rate_variable)
    return row(
        code(vendor.type),
        REACHED[vendor.adapter],
        ", ".join(SHORT[format_] for format_ in WireFormat if format_ in vendor.formats),
        code(vendor.base_url),
        ", ".join(code(name) for name in variables if name) or "–",
        "free" if vendor.is_own else "charged",
        ", ".join(f"`{scheme}:`" for scheme in ["data", *sorted(vendor.image_links)]),
    )


def names(of: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(of))


def left_out(dialect: Dialect) -> str:
    parts = [names(dialect.drops | {f"messages.{name}" for name in dialect.message_drops})]
    if dialect.while_reasoning:
        parts.append(f"with a `reasoning_effort` other than `none`: {names(dialect.while_reasoning)}")
    parts += [f"`{name}` other than {value:g}" for name, value in dialect.only.items()]
    parts += [f"`{name}` beside `{other}`" for name, other in dialect.not_with.items()]
    return "; ".join(part for part in parts if part) or "–"


def changed(dialect: Dialect) -> str:
    limit = {"the output limit": dialect.output_limit} if dialect.output_limit else {}
    renamed = [f"`{name}` → `{new}`" for name, new in {**dialect.renames, **dialect.roles}.items()]
    parts = [f"{name} → `{new}`" for name, new in limit.items()] + renamed
    parts += [f"`{name}` at most {most:g} (told)" for name, most in dialect.at_most.items()]
    return "; ".join(parts) or "–"


def family_line(types: str, family: ModelFamily) -> str:
    usage = "yes" if family.dialect.include_usage else "no"
    return row(types, family.title, left_out(family.dialect), changed(family.dialect), usage, family.source)


FAMILIES = [vendor.families for vendor in VENDORS.values()]


def first_with_it(vendor: Vendor) -> int:
    """The place of the first vendor with these models."""
    return next(at for at, families in enumerate(FAMILIES) if families is vendor.families)


def family_lines() -> list[str]:
    """One line for each family; vendors whose models are the same share theirs."""
    lines = []
    for families, vendors in groupby(sorted(VENDORS.values(), key=first_with_it), key=first_with_it):
        types = ", ".join(code(vendor.type) for vendor in vendors)
        lines += [family_line(types, family) for family in FAMILIES[families]]
    return lines


def test_the_document_has_every_vendor() -> None:
    table = "\n".join(map(vendor_line, VENDORS.values()))

    assert table in DOCUMENT.read_text(encoding="utf-8"), f"docs/vendors.md should have:\n{table}"


def test_the_document_has_every_family_of_models() -> None:
    table = "\n".join(family_lines())

    assert table in DOCUMENT.read_text(encoding="utf-8"), f"docs/vendors.md should have:\n{table}"
