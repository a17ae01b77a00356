"""What is changed in the HAProxy configuration that Ray Serve generates, and what is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve._private.haproxy_templates import (
    HAPROXY_CONFIG_TEMPLATE,
    HAPROXY_GRPC_HEALTHZ_RULES_TEMPLATE,
    HAPROXY_HEALTHZ_RULES_TEMPLATE,
)

from serve_app.deployments.haproxy.hardened import KNOWN_DIRECTIVES, UnknownTemplate, hardened, socket_of

GENERATED = (Path(__file__).parent / "generated.cfg").read_text()  # by Ray 2.60
PLENTY = 1_000_000
GRPC = "\nfrontend grpc_frontend\n    bind 127.0.0.1:9000 proto h2\n    mode http\nbackend default_backend\n"


def lines_of(text: str, section: str) -> list[str]:
    """The directives of one section, without comments."""
    found = re.search(rf"^{section}\n((?:[ \t].*\n|\n)*)", text, re.MULTILINE)
    assert found, text
    return [line.strip() for line in found[1].splitlines() if line.strip() and "#" not in line]


def test_nobody_but_the_owner_commands_haproxy_and_the_owner_no_more_than_serve_needs() -> None:
    top = lines_of(hardened(GENERATED, PLENTY), "global")

    assert [line for line in top if line.startswith("stats socket")] == [
        "stats socket /tmp/haproxy-serve/89d3/admin.sock mode 600 level operator expose-fd listeners"
    ]


def test_a_head_has_ten_seconds_and_a_silent_caller_a_minute() -> None:
    defaults = lines_of(hardened(GENERATED, PLENTY), "defaults")

    assert "timeout http-request 10s" in defaults
    assert [line for line in defaults if line.startswith("timeout client")] == ["timeout client 60s"]


def test_an_operators_own_timeouts_stay() -> None:
    asked = GENERATED.replace("timeout client 3600s", "timeout client 7200s\n    timeout http-request 30s")

    defaults = lines_of(hardened(asked, PLENTY), "defaults")

    assert {"timeout client 7200s", "timeout http-request 30s"} <= set(defaults)
    assert "timeout client 3600s" in lines_of(hardened(GENERATED, PLENTY, client_silent_s=3600), "defaults")


def test_headers_that_serve_cannot_decode_are_refused_or_dropped_at_the_front_door() -> None:
    door = lines_of(hardened(GENERATED, PLENTY), "frontend http_frontend")

    for name in ("x-request-id", "x-session-id"):
        assert rf"http-request deny deny_status 400 if {{ req.fhdr({name}) -m reg [^\ -~] }}" in door
    for name in ("serve_multiplexed_model_id", "serve-multiplexed-model-id"):
        assert f"http-request del-header {name}" in door


def test_nothing_but_the_front_door_listens() -> None:
    assert re.findall(r"^\s*bind (\S+)", hardened(GENERATED, PLENTY), re.MULTILINE) == ["127.0.0.1:15871"]


@pytest.mark.parametrize("doors", [1, 2])
@given(open_files=st.integers(min_value=1_000, max_value=PLENTY))
def test_each_front_door_has_connections_of_its_own_and_all_fit_the_open_files(
    doors: int, open_files: int
) -> None:
    text = GENERATED if doors == 1 else GENERATED.replace("\nbackend default_backend\n", GRPC, 1)

    edited = hardened(text, open_files)

    in_all = [int(n) for n in re.findall(r"^    maxconn (\d+)", edited, re.MULTILINE)]
    total, *each = in_all
    assert len(each) == doors
    assert total == sum(each)
    assert all(0 < share <= 16384 for share in each)
    assert total * 2.5 < open_files


@pytest.mark.parametrize(
    ("address", "bound"),
    [
        ("0.0.0.0", "*:15871"),
        ("::", "*:15871"),
        ("192.0.2.7", "192.0.2.7:15871"),
        ("::1", "::1:15871"),
    ],
)
def test_callers_may_come_in_where_replicas_do_not_listen(address: str, bound: str) -> None:
    assert "bind " + bound in lines_of(hardened(GENERATED, PLENTY, address=address), "frontend http_frontend")
    with_grpc = GENERATED.replace("\nbackend default_backend\n", GRPC, 1)
    assert "proto h2" in lines_of(hardened(with_grpc, PLENTY, address=address), "frontend grpc_frontend")[1]


def test_an_edited_configuration_is_edited_once() -> None:
    once = hardened(GENERATED, PLENTY)

    assert hardened(once, PLENTY) == once
    assert socket_of(once) == socket_of(GENERATED) == "/tmp/haproxy-serve/89d3/admin.sock"


@pytest.mark.parametrize(
    ("known", "unknown", "named"),
    [
        ("    nbthread 4\n", "    nbthread 4\n    insecure-fork-wanted\n", "insecure-fork-wanted"),
        ("mode 666 level admin", "mode 660 level admin", "mode 660"),
        ("    maxconn 16384\n", "", "maxconn"),
        ("    maxconn 16384\n", "    maxconn many\n", "many"),
        ("    stats timeout 30s\n", "    stats socket /tmp/other level admin\n", "stats socket"),
        ("listen stats", "listen statistics", "listen statistics"),
        ("frontend prometheus", "frontend metrics", "frontend prometheus"),
        ("    timeout client 3600s\n", "", "timeout client"),
        ("  stats refresh 1s\n", "  stats refresh 1s\nprogram shell\n  command sh\n", "program shell"),
        ("global\n", "peers others\nglobal\n", "peers others"),
        ("global\n", "  maxconn 1\nglobal\n", "maxconn 1"),
        ("    mode http\n    option log", "    mode http\n    filter lua\n    option log", "filter lua"),
    ],
)
def test_a_template_that_nobody_has_looked_at_is_refused(known: str, unknown: str, named: str) -> None:
    assert known in GENERATED
    with pytest.raises(UnknownTemplate) as refusal:
        hardened(GENERATED.replace(known, unknown, 1), PLENTY)

    assert named in str(refusal.value) or known.strip() in str(refusal.value)


def test_too_few_open_files_are_told() -> None:
    with pytest.raises(UnknownTemplate, match="ulimit -n"):
        hardened(GENERATED, 256)


@given(st.text(max_size=200))
def test_whatever_the_file_holds_it_is_edited_or_refused(text: str) -> None:
    for file in (text, GENERATED + text, GENERATED.replace("mode http", text)):
        try:
            assert "mode 600 level operator" in hardened(file, PLENTY)
        except UnknownTemplate:
            continue


def test_every_directive_of_rays_template_is_known() -> None:
    """Else a Ray that is newer, or a feature that nobody has tried, ends in a refusal at start."""
    templates = (
        HAPROXY_CONFIG_TEMPLATE,
        HAPROXY_HEALTHZ_RULES_TEMPLATE,
        HAPROXY_GRPC_HEALTHZ_RULES_TEMPLATE,
    )
    text = re.sub(r"\{%.*?%\}", "", "\n".join(templates))
    known = frozenset().union(*KNOWN_DIRECTIVES.values()) | set(KNOWN_DIRECTIVES)

    words = {line.split()[0] for line in text.splitlines() if line.strip()}

    assert {word for word in words if not word.startswith(("#", "{{"))} <= known
