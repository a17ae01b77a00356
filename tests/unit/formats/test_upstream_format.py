"""In which format an upstream is asked."""

import pytest

from serve_app.formats.upstream_format import TRANSLATIONS, upstream_format
from serve_app.providers.catalogue.rows import VENDORS
from serve_app.providers.catalogue.vendor import Vendor
from serve_app.providers.catalogue.wire_format import WireFormat

CHAT, EMBEDDINGS = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_EMBEDDINGS


def test_the_callers_own_format_comes_first() -> None:
    assert upstream_format(CHAT, {CHAT, EMBEDDINGS}, {CHAT: [EMBEDDINGS]}) is CHAT


def test_what_the_upstream_does_not_speak_is_translated_into_the_first_that_it_does() -> None:
    assert upstream_format(EMBEDDINGS, {CHAT}, {EMBEDDINGS: [CHAT]}) is CHAT


def test_an_upstream_that_no_translation_leads_to_cannot_be_asked() -> None:
    assert upstream_format(CHAT, {EMBEDDINGS}) is None
    assert upstream_format(CHAT, (), {CHAT: [EMBEDDINGS]}) is None


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.type)
def test_every_vendor_can_be_asked_in_every_format_of_a_conversation(vendor: Vendor) -> None:
    for format_ in TRANSLATIONS:
        upstream = upstream_format(format_, vendor.formats)
        assert upstream in vendor.formats
        assert upstream is format_ or format_ not in vendor.formats
