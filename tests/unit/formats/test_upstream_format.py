"""In which format an upstream is asked."""

import pytest

from serve_app.formats.upstream_format import upstream_format
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.catalogue.wire_format import OPENAI, WireFormat

CHAT, EMBEDDINGS = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_EMBEDDINGS


def test_the_callers_own_format_comes_first() -> None:
    assert upstream_format(CHAT, {CHAT, EMBEDDINGS}, {CHAT: [EMBEDDINGS]}) is CHAT


def test_what_the_upstream_does_not_speak_is_translated_into_the_first_that_it_does() -> None:
    assert upstream_format(EMBEDDINGS, {CHAT}, {EMBEDDINGS: [CHAT]}) is CHAT


def test_an_upstream_that_no_translation_leads_to_cannot_be_asked() -> None:
    assert upstream_format(CHAT, {EMBEDDINGS}) is None
    assert upstream_format(CHAT, (), {CHAT: [EMBEDDINGS]}) is None


@pytest.mark.parametrize("format_", sorted(OPENAI))
def test_every_vendor_is_asked_in_the_callers_own_format_today(format_: WireFormat) -> None:
    assert all(upstream_format(format_, vendor.formats) is format_ for vendor in VENDORS.values())
