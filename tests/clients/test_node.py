"""Clients for Node: the vendors' own, and the Vercel AI SDK with its defaults."""

import json
import subprocess

import pytest

from tests.clients.conftest import CHAT, CLAUDE, GPT, KEY, NODE


@pytest.mark.parametrize("name", [CLAUDE, CHAT, GPT])
@pytest.mark.parametrize("client", ["anthropic", "openai", "vercel-anthropic", "vercel-openai"])
def test_a_client_for_node_answers_streams_and_calls_tools(gateway: str, client: str, name: str) -> None:
    command = ["node", "ask.mjs", client, gateway, KEY, name]
    asked = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=60, check=False)

    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout.splitlines()[-1])
    assert answer["text"] == answer["streamed"] == f"Hello from {name}"
    assert (answer["tool"], answer["input"]) == ("weather", {"city": "Paris"})
    if client != "anthropic":
        assert answer["second"] == f"Hello from {name}"
