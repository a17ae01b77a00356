"""
Change the pure core in one place at a time, and say which changes no test notices.

All of it happens in a copy of the tree. One run follows the unit and property tests to learn which functions
each of them calls (`--reuse` takes what the last run has learned, and follows what has changed); a mutant is
then shown to those that call the changed function, the quickest first.
"""

import argparse
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from time import monotonic

from tests.mutants.mutation import Mutant, mutants_of
from tests.mutants.trial import Test, Verdict, import_shared, judged, watched

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
LEARNED = ROOT / ".bench" / "mutants"
TESTS = ("tests/unit", "tests/property")
# What waits for nothing and talks to nobody, or only through a clock and a lock that it is given.
PURE = (
    "serve_app/gateway/{charging,budget_filter}.py",
    "serve_app/{pricing,limits,ledger,resilience,routing}/*.py",
    "serve_app/providers/dialects.py",
    "serve_app/providers/catalogue/{dialect,vendor}.py",
    "serve_app/{formats,formats/openai_chat,gateway/streaming}/*.py",
    "serve_app/control/{admin_quota,breakers,capacity,config_change,control_plane}.py",
    "serve_app/config/endpoint_addresses.py",
    "serve_app/control/{machine_report,runtime_config,tally}.py",
)
NEAR = 3  # tests whose files are run before all others, as most mutants go no further
SHOWN_FOR_S = 30.0  # of tests, by the time they take without a change; the quickest come first
START_S, SLOWER = 30.0, 8.0  # a test hangs when it takes so much longer than it took


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sample", type=int, default=150, help="how many mutants (default 150; 0: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--minutes", type=float, default=30.0, help="begin no mutant after that (default 30)")
    parser.add_argument("--only", default="", help="only modules with this in their path: pricing, limits")
    parser.add_argument("--reuse", action="store_true", help="believe the last run of tests as they were")
    return parser.parse_args()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def copied_to(folder: Path) -> None:
    """Copy what git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def equivalents() -> set[str]:
    """The mutants that change nothing anybody could see, as `path: old => new`; lines with `#` say why."""
    lines = EQUIVALENT.read_text().splitlines()
    return {line for line in lines if line.strip() and not line.startswith("#")}


def pure_modules() -> list[Path]:
    """Every module that PURE names, braces spread out."""
    patterns = []
    for named in PURE:
        before, _, rest = named.partition("{")
        choices, _, after = rest.partition("}")
        patterns += [f"{before}{choice}{after}" for choice in choices.split(",")]
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def sampled(only: str, count: int, seed: int) -> list[Mutant]:
    """So many mutants of the pure core, every one as likely as the next."""
    known, found = equivalents(), []
    for path in pure_modules():
        name, source = str(path.relative_to(ROOT)), path.read_text()
        if only in name:
            found += [m for m in mutants_of(name, source) if f"{name}: {m.told(source)}" not in known]
    return found if not count else Random(seed).sample(found, min(count, len(found)))


def learned(folder: Path, is_reused: bool) -> list[Test]:
    """The tests and what each of them calls; with `is_reused`, only changed files are followed."""
    digests = {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for tests in TESTS
        for path in (folder / tests).rglob("test_*.py")
    }
    seen, rows = pickle.loads(LEARNED.read_bytes()) if is_reused else ({}, [])
    changed = [file for file, digest in digests.items() if seen.get(file) != digest]
    found = [test for test in (Test(*row) for row in rows) if seen[test.file] == digests.get(test.file)]
    if changed:
        say(f"following the tests of {len(changed)} files, to learn what each of them calls ...")
        began = monotonic()
        found += watched(folder, changed)
        LEARNED.parent.mkdir(exist_ok=True)
        rows = [(test.name, test.took_s, test.places) for test in found]
        LEARNED.write_bytes(pickle.dumps((digests, rows)))
        say(f"{len(found):,} tests, {monotonic() - began:.0f} s")
    return found


def tests_for(mutant: Mutant, tests: Iterable[Test], folder: Path) -> list[Test]:
    """
    The tests that call the function, quickest first, as many as there is time for.

    What the import of a module runs, a function that no test calls among it, matters to whoever imports the
    module or calls any of it.
    """
    place = (mutant.path, mutant.function)
    reaching = [test for test in tests if place in test.places]
    if not reaching:
        module = mutant.path.removesuffix(".py").replace("/", ".")
        imported = re.compile(rf"\bfrom {re.escape(module)} import\b")
        files = {test.file for test in tests}
        naming = {file for file in files if imported.search((folder / file).read_text())}
        reaching = [
            test
            for test in tests
            if test.file in naming or any(path == mutant.path for path, _ in test.places)
        ]
    own = f"test_{Path(mutant.path).stem}.py"
    chosen, left_s = [], SHOWN_FOR_S
    for test in sorted(reaching, key=lambda test: (not test.file.endswith(own), test.took_s)):
        if test.took_s <= left_s:
            left_s -= test.took_s
            chosen.append(test)
    return chosen


def tried(mutant: Mutant, tests: Sequence[Test], folder: Path) -> Verdict:
    """Write the change, look what its tests say, the nearest before the rest, and take it back."""
    path = folder / mutant.path
    source = path.read_text()
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        stale.unlink()  # a change within one second need not be noticed by it
    path.write_text(mutant.applied_to(source))
    nearest = {test.file for test in tests[:NEAR]}
    near = [test for test in tests if test.file in nearest]
    far = [test for test in tests if test.file not in nearest]
    try:
        for shown_to in filter(None, (near, far)):
            limit_s = START_S + SLOWER * sum(test.took_s for test in shown_to)
            verdict = judged(folder, [test.name for test in shown_to], limit_s)
            if verdict is not Verdict.SURVIVED:
                return verdict
        return Verdict.SURVIVED
    finally:
        path.write_text(source)


def show(mutant: Mutant, source: str, verdict: str, detail: str) -> None:
    print(f"{verdict:<9} {mutant.path}:{mutant.line}  {mutant.told(source)}  ({detail})", flush=True)


def run(chosen: argparse.Namespace, folder: Path) -> None:
    """Try a sample, and print what became of it."""
    copied_to(folder)
    mutants = sampled(chosen.only, chosen.sample, chosen.seed)
    import_shared()
    tests = learned(folder, chosen.reuse)
    until = monotonic() + 60 * chosen.minutes
    verdicts: Counter[Verdict] = Counter()
    for mutant in mutants:
        if monotonic() > until:
            say(f"the time is over: {len(mutants) - verdicts.total()} of {len(mutants)} were not tried")
            break
        shown_to, began = tests_for(mutant, tests, folder), monotonic()
        verdict = tried(mutant, shown_to, folder) if shown_to else Verdict.SURVIVED
        verdicts[verdict] += 1
        detail = f"{len(shown_to)} tests, {monotonic() - began:.0f} s" if shown_to else "no test calls it"
        show(mutant, (folder / mutant.path).read_text(), verdict, detail)
    noticed = verdicts[Verdict.KILLED] + verdicts[Verdict.TIMED_OUT]
    total = verdicts.total()
    print(f"\n{total} mutants: " + ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict))
    if total:
        print(f"{100 * noticed / total:.1f} % were noticed")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sekha-mutants-") as folder:
        run(options(), Path(folder).resolve())


if __name__ == "__main__":
    main()
