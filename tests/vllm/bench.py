"""
What the gateway adds to vLLM: `make bench-vllm`.

The same model behind vLLM's own server and behind the gateway, asked in turn, round by round, so that a noisy
machine is noisy for both. Streams only, as that is where a gateway can hurt. Compare the columns, not the
values: callers, gateway and engine share the processors.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

import aiohttp
from rich.console import Console
from rich.table import Table

from tests.bench.processes import WORK, server
from tests.bench.subjects import free_port, write_config
from tests.vllm.graph import GPU, WINDOW, hosted
from tests.vllm.tiny import make_model

STARTS_WITHIN_S = 300.0
ALONE = 20  # requests one after the other
TOKENS = 96  # of each stream
AT_ONCE = (1, 32, 128)
SAID = b'"content":"'
SAID_NOTHING = b'"content":""'


@dataclass(frozen=True)
class Round:
    """What so many callers at once have seen: the median of their first tokens, and what came in all."""

    first_token_ms: float
    tokens_per_s: float


async def stream(http: aiohttp.ClientSession, url: str, tokens: int) -> float:
    """One stream, read to its end; seconds to its first word."""
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "How many pebbles lie on the shore?"}],
        "stream": True,
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    began, first_s, tail = time.perf_counter(), 0.0, b""
    async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
        if answer.status != 200:
            raise SystemExit(f"{url}: {answer.status} {await answer.text()}")
        async for block in answer.content.iter_any():
            if not first_s and block.count(SAID) > block.count(SAID_NOTHING):
                first_s = time.perf_counter() - began
            tail = (tail + block)[-20:]
    if b"[DONE]" not in tail:
        raise SystemExit(f"{url}: a stream was cut off")
    return first_s


async def round_of(url: str, at_once: int) -> Round:
    """So many callers, each with one stream; a lone one asks again and again."""
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        began = time.perf_counter()
        if at_once == 1:
            firsts = [await stream(http, url, TOKENS // 4) for _ in range(ALONE)]
            tokens = ALONE * (TOKENS // 4)
        else:
            firsts = await asyncio.gather(*(stream(http, url, TOKENS) for _ in range(at_once)))
            tokens = at_once * TOKENS
        return Round(median(firsts) * 1000, tokens / (time.perf_counter() - began))


def bare_command(weights: Path, port: int) -> list[str]:
    """vLLM's own server, told the same."""
    return [
        # Not `vllm serve`: that asks for a package called vllm, which the one for CPUs is not.
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(weights)),
        *("--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", str(WINDOW), "--max-num-seqs", "128", "--enforce-eager"),
        "--disable-uvicorn-access-log",
    ]


def gateway_command(weights: Path, port: int) -> list[str]:
    """The gateway as people start it, with nobody else to ask."""
    config = {
        "llm_providers": [hosted(weights, {"model_id": "tiny", "task": "chat_small"})],
        "default_models": {},
        "router": {"autoscaling": {"min_replicas": 1, "max_replicas": 1}},
        "storage": {"folder": str(WORK / "state" / "vllm")},
        "log_level": "WARNING",
        "host": "127.0.0.1",
    }
    file = write_config("vllm.yaml", config)
    sekha = Path(sys.executable).with_name("sekha")
    return [str(sekha), "serve", "--config", str(file), "--port", str(port)]


@contextmanager
def started(name: str, command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """Its address, from when it answers."""
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + STARTS_WITHIN_S
    with server(name, command, environment) as process:
        while True:
            if process.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} does not start: {process.last_lines(8)}")
            try:
                asyncio.run(round_of(url, 2))
                break
            except (aiohttp.ClientError, SystemExit):
                time.sleep(2)
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cpu = {} if GPU else {"VLLM_CPU_KVCACHE_SPACE": "1"}
    seen: dict[tuple[str, int], list[Round]] = {}
    with ExitStack() as stack:
        weights = make_model(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        bare_port, port = free_port(), free_port()
        urls = {
            "vLLM": stack.enter_context(started("vllm", bare_command(weights, bare_port), bare_port, cpu)),
            "gateway": stack.enter_context(started("hosted", gateway_command(weights, port), port, {})),
        }
        for number in range(rounds + 1):
            for at_once in AT_ONCE:
                for name in urls if number % 2 else reversed(urls):
                    found = asyncio.run(round_of(urls[name], at_once))
                    if number:  # the first round warms up
                        seen.setdefault((name, at_once), []).append(found)
    show(seen)


def show(seen: dict[tuple[str, int], list[Round]]) -> None:
    """The medians of the rounds, side by side; the difference and the share are medians of each round's."""
    table = Table("at once", "first token, ms: vLLM", "gateway", "more", "tokens/s: vLLM", "gateway", "share")
    figures = {}
    for at_once in AT_ONCE:
        bare, ours = seen["vLLM", at_once], seen["gateway", at_once]
        first = [median(one.first_token_ms for one in rounds) for rounds in (bare, ours)]
        rate = [median(one.tokens_per_s for one in rounds) for rounds in (bare, ours)]
        table.add_row(
            str(at_once),
            *(f"{value:.1f}" for value in first),
            f"{median(b.first_token_ms - a.first_token_ms for a, b in zip(bare, ours, strict=True)):.1f}",
            *(f"{value:,.0f}" for value in rate),
            f"{100 * median(b.tokens_per_s / a.tokens_per_s for a, b in zip(bare, ours, strict=True)):.0f} %",
        )
        figures[at_once] = {
            name: [astuple(one) for one in seen[name, at_once]] for name in ("vLLM", "gateway")
        }
    Console(width=110).print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
