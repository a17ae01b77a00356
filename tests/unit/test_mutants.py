"""Which changes the mutants are, and that only what runs is changed."""

import ast

from tests.mutants.__main__ import ROOT, pure_modules
from tests.mutants.mutation import mutants_of

SOURCE = '''
"""Docs with 1 number."""
LIMIT: int = 5
Amount: TypeAlias = int | None
T = TypeVar("T", bound=Till)


class Till:
    """Counts."""

    def take(self, amount: int | None = 0) -> bool:
        if amount is None:
            raise ValueError(f"{1 + 1}")
        self.held += amount
        log.info("took %d", 1)
        if isinstance(amount, int | None):
            self.held = cast(int | None, amount)
        return max(self.held, 2) < LIMIT or self.told(when=3)
'''


def test_a_module_has_these_mutants_and_no_others() -> None:
    told = [(m.line, m.function, *m.told(SOURCE).split("  =>  ")) for m in mutants_of("till.py", SOURCE)]

    take, returned = "Till.take", "max(self.held, 2) < LIMIT or self.told(when=3)"
    assert sorted(told) == sorted(
        [
            (3, "", "5", "6"),
            (11, take, "0", "1"),
            (12, take, "amount is None", "False"),
            (12, take, "amount is None", "amount is not None"),
            (14, take, "self.held += amount", "pass"),
            (16, take, "isinstance(amount, int | None)", "not isinstance(amount, int | None)"),
            (17, take, "self.held = cast(int | None, amount)", "pass"),
            (18, take, returned, "None"),
            (18, take, returned, "((max(self.held, 2) < LIMIT) and self.told(when=3))"),
            (18, take, "max(self.held, 2) < LIMIT", "max(self.held, 2) <= LIMIT"),
            (18, take, "max(self.held, 2) < LIMIT", "max(self.held, 2) >= LIMIT"),
            (18, take, "max", "min"),
            (18, take, "2", "3"),
            (18, take, "self.told(when=3)", "self.told()"),
            (18, take, "3", "4"),
        ]
    )


def test_every_mutant_of_the_core_is_a_program_that_differs() -> None:
    for path in pure_modules()[::8]:
        source = path.read_text()
        for mutant in mutants_of(str(path.relative_to(ROOT)), source):
            changed = mutant.applied_to(source)
            assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)), mutant
