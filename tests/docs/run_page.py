"""One page as one script: its blocks in one shell, with a home of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, Block
from tests.support.commands import BIN
from tests.support.serving import child_environment, free_port

HERE = Path(__file__).parent
FAST = f"{sys.executable} -m tests.docs.gateway"
REAL = "command sekha serve"
WITHIN_S = 400


def script_of(blocks: list[Block], port: int) -> str:
    """Return the page's blocks behind the prelude; each says where it stands before it begins."""
    parts = [(HERE / "prelude.sh").read_text(encoding="utf-8")]
    for block in blocks:
        parts.append(f"echo '--- {block}'")
        text = re.sub(r"\b5001\b", str(port), block.text)
        if block.language == "python":
            parts.append(f"{sys.executable} -m tests.docs.snippet <<'PAGE_ENDS_HERE'\n{text}PAGE_ENDS_HERE")
        else:
            parts.append(_in_the_foreground(re.sub(r"^\$ ", "", text, flags=re.M)))
    return "\n".join(parts) + "\n"


def run_page(blocks: list[Block], shell: str, gateway: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the blocks of a page as a new user: nothing of ours in the environment, nothing in their home."""
    port = free_port()
    environ = child_environment(
        HOME=str(home),
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=str(ROOT),
        GATEWAY=gateway,
        SEKHA__PORT=str(port),
        SEKHA_URL=f"http://127.0.0.1:{port}",
        NO_PROXY="*",
        COLUMNS="80",
    )
    for name in ("XDG_STATE_HOME", "BUDGET_LIMIT", "VLLM_ENDPOINT"):
        environ.pop(name, None)
    return subprocess.run(
        [shell, "-c", script_of(blocks, port)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def _in_the_foreground(text: str) -> str:
    """The start of a gateway returns as soon as that is ready, so nothing is left to wait for."""
    return re.sub(r"^((?:.*; )?(?:sekha|make) serve[^#\n&]*)&", r"\1", text, flags=re.M)
