"""Part one: `sekha serve` on this machine, two replicas of everything behind one HAProxy."""

import contextlib
import secrets
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.bench.processes import Family
from tests.bench.subjects import Kind, started
from tests.chaos.beside import beside
from tests.chaos.play import Act
from tests.chaos.stage import (
    CONTROL,
    DOOMED,
    FALLBACK,
    MODEL,
    PRIMARY,
    REPLICAS,
    Play,
    Upstream,
    ask_the_doomed,
    breakers,
    configuration,
    kill_one,
    member,
    ray_folder,
    restart,
    roles,
    upstream,
    wait_for,
)

NAMES = ("provider", "router", "control", "haproxy", "upstream")
HAPROXY = "haproxy"


class OneNode:
    """A running gateway, and what can happen to it."""

    def __init__(self, play: Play, url: str, family: Family, primary: Upstream) -> None:
        self.play = play
        self.url = url
        self.families = [family]
        self.primary = primary

    def acts(self) -> dict[str, Act]:
        """By the names that `--only` takes."""
        strike = partial(kill_one, self.families)
        return {
            "provider": Act("kill a provider's replica", lambda: strike(f"provider-{PRIMARY}"), self.missing),
            "router": Act("kill a router's replica", lambda: strike("router"), self.missing),
            "control": Act(
                "kill the control actor",
                lambda: strike(CONTROL),
                self.missing,
                self.open_a_breaker,
                self.forgotten_breaker,
            ),
            "haproxy": Act("kill HAProxy", lambda: strike(HAPROXY), self.missing),
            "upstream": Act(
                "restart the upstream",
                lambda: restart(self.primary),
                self.unserved,
                broken=self.unhelped,
            ),
        }

    def missing(self) -> str:
        """Processes first: Serve's own word may be from before the blow."""
        there = roles(self.families)
        for role, count in {**REPLICAS, CONTROL: 1, HAPROXY: 1}.items():
            if there[role] < count:
                return f"{count - there[role]} {role} missing"
        return self.play.lacking() or ("" if self.play.sighting.proxies else "the proxy is not healthy")

    def unserved(self) -> str:
        return self.missing() or ("" if self.play.served_lately(PRIMARY) else f"{PRIMARY} serves nobody")

    def unhelped(self) -> Sequence[str]:
        """In the upstream's absence, others were served by the fallback."""
        helped = any(request.provider == FALLBACK for request in self.play.requests)
        return () if helped else (f"{FALLBACK} served while {PRIMARY} was away",)

    def open_a_breaker(self) -> None:
        def closed() -> str:
            ask_the_doomed(self.url, 3)
            return "" if breakers(self.url) == {"open"} else f"the breaker of {DOOMED} is not open"

        wait_for(closed)

    def forgotten_breaker(self) -> Sequence[str]:
        """Open, or half open since its time was up; closed only when somebody forgot."""
        states = breakers(self.url)
        return (f"the breaker of {DOOMED} survived, it is closed",) if "closed" in states else ()


def gcs_address(family: Family) -> str:
    """Where the cluster's control service listens, as the node's raylet was told."""
    words = member([family], "raylet").cmdline()
    flag = "--gcs-address="
    return next(word.removeprefix(flag) for word in words if word.startswith(flag))


@contextlib.contextmanager
def one_node(play: Play) -> Iterator[OneNode]:
    """The gateway under load, with everybody watching."""
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    with contextlib.ExitStack() as running:
        environment["RAY_TMPDIR"] = running.enter_context(ray_folder("one-node"))
        primary, fallback = running.enter_context(upstream()), running.enter_context(upstream())
        config = configuration(primary, fallback)
        sekha = Path(sys.executable).with_name("sekha")

        def command(_: str, port: int) -> Sequence[str]:
            return [str(sekha), "serve", "--config", str(config), "--port", str(port)]

        kind = Kind("chaos-gateway", {"sekha": MODEL}, "/health", command, environment)
        subject = running.enter_context(started(kind, ""))[0]
        address = gcs_address(subject.family)
        running.enter_context(
            beside("witness", address, heard=play.seen, environment=environment, again=True)
        )
        node = OneNode(play, subject.url, subject.family, primary)
        wait_for(node.missing)
        running.enter_context(play.callers([subject.url]))
        yield node
