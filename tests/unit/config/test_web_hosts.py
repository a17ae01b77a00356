"""Which addresses a list of hosts covers, and that nothing slips through by the way it is written."""

import pytest
from pydantic import TypeAdapter, ValidationError

from serve_app.config.web_hosts import Hosts, exact_hosts, first_pattern, is_host, is_listed, origin_of

HOSTS = TypeAdapter(Hosts)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.ORG/a.png?b=c#d", "https://example.org"),
        ("https://example.org:443/", "https://example.org"),
        ("https://example.org:00443/", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("https://127.0.0.1:8443/x", "https://127.0.0.1:8443"),
    ],
)
def test_the_origin_of_an_address_is_written_in_one_way(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org@10.0.0.1/",
        "https://example.org\\@10.0.0.1/",
        "https://10.0.0.1\\.example.org/",
        " https://example.org/",
        "https://example.org/\n",
        "https://exa mple.org/",
        "https:/example.org",
        "https:///example.org",
        "https://[::1]/",
        "https://.example.org/",
        "https://ex\u00e4mple.org/",
        "https://example.org:99999999/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "//example.org/",
        "",
    ],
)
def test_an_address_that_clients_may_read_differently_has_no_origin(url: str) -> None:
    assert origin_of(url) is None


@pytest.mark.parametrize(
    ("origin", "hosts", "listed"),
    [
        ("https://example.org", ("example.org",), True),
        ("https://example.org", ("EXAMPLE.org",), True),
        ("https://example.org", ("https://example.org/",), True),
        ("https://a.example.org", ("example.org",), False),
        ("https://a.b.example.org", ("*.example.org",), True),
        ("https://example.org", ("*.example.org",), False),
        ("https://badexample.org", ("*.example.org",), False),
        ("http://example.org", ("example.org", "*"), False),
        ("http://example.org", ("http://example.org",), True),
        ("https://example.org", ("http://example.org",), False),
        ("https://example.org:8443", ("example.org",), False),
        ("https://example.org:8443", ("example.org:8443",), True),
        ("https://example.org", ("example.org:443",), True),
        ("https://public.example", ("*",), True),
        ("http://public.example", ("http://*",), True),
        ("https://10.0.0.1", ("*",), False),
        ("https://169.254.169.254", ("*",), False),
        ("https://2130706433", ("*",), False),
        ("https://0x7f.1", ("*",), False),
        ("https://localhost", ("*",), False),
        ("https://vault.internal", ("*",), False),
        ("https://10.0.0.1", ("10.0.0.1",), True),
        ("ftp:…", ("*", "http://*", "ftp"), False),
        ("https://example.org", (), False),
    ],
)
def test_a_list_covers_what_it_names(origin: str, hosts: tuple[str, ...], listed: bool) -> None:
    assert is_listed(origin, HOSTS.validate_python(hosts)) is listed


@pytest.mark.parametrize(
    "entry", ["", "https://", "example.org/path", "a.*.org", "*example.org", "user@host", "ftp://x", "a b"]
)
def test_an_entry_that_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValidationError, match="is not a host; write"):
        HOSTS.validate_python((entry,))


def test_a_password_in_an_entry_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as refused:
        HOSTS.validate_python(("https://me:s3cret@example.org",))

    assert "s3cret" not in refused.value.errors()[0]["msg"]


def test_software_that_compares_whole_names_gets_whole_names() -> None:
    assert exact_hosts(("http://a.example", "B.example:8443")) == ["a.example", "b.example"]
    assert first_pattern(("a.example", "*.b.example")) == "*.b.example"
    assert first_pattern(("a.example",)) is None
    assert [is_host(text) for text in ("a.example", "a.example:1", "*.a", "*")] == [True, False, False, False]
