"""The harness of mutants itself: which slips it makes, where it makes none, and that its lists are up to date."""

import json
import tomllib

import pytest

import mutants

SOURCE = '''"""A file with 1 number in its docstring."""

from arrays import Array

LIMIT: Array[3] = 2


def f(x: int, n: int = 1) -> int:
    """No 5 of this counts."""
    if x < 0:
        raise ValueError(f"{x + 1} is below 0")
    if not n:
        return -x
    return x * n + jnp.sum(x, axis=0)
'''


@pytest.fixture
def made(monkeypatch, tmp_path):
    (tmp_path / "a.py").write_text(SOURCE)
    monkeypatch.setattr(mutants, "PACKAGE", tmp_path)
    return mutants.mutants_of("a.py")


def test_a_slip_is_one_expression_that_counts(made):
    found = {(one.line, one.right, one.wrong) for one in made}
    assert found == {
        (5, "2", "3"), (5, "2", "1"), (8, "1", "2"), (8, "1", "0"), (10, "x < 0", "False"), (10, "x < 0", "(x <= 0)"),
        (10, "0", "1"), (10, "0", "-1"), (12, "not n", "False"), (12, "not n", "n"), (13, "-x", "x"),
        (14, "x * n + jnp.sum(x, axis=0)", "(x * n - jnp.sum(x, axis=0))"), (14, "x * n", "(x / n)"),
        (14, "jnp.sum(x, axis=0)", "jnp.mean(x, axis=0)"), (14, "0", "1"), (14, "0", "-1"),
    }  # fmt: skip


def test_the_rest_of_the_file_stays_as_it_is(made):
    for one in made:
        lines = one.source.splitlines()
        assert len(lines) == len(SOURCE.splitlines())
        assert [line for line, own in zip(lines, SOURCE.splitlines()) if line != own] == [lines[one.line - 1]]
        compile(one.source, "a.py", "exec")


def test_a_mutant_is_planted_into_the_function_that_holds_it(made):
    assert {mutants.function_of(one) for one in made if one.line in (5, 8)} == {""}
    assert {mutants.function_of(one) for one in made if one.line > 8} == {"f"}


def test_tests_are_chosen_by_line_function_class_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "line_names", lambda file: ["a.py:A:00", "a.py:A.f:11", "a.py:A.f:22", "a.py:g:33"])
    monkeypatch.setattr(mutants, "is_there", lambda test: True)
    monkeypatch.setattr(mutants, "function_of", lambda mutant: "f")  # not a default
    names = {"line": "a.py:A.f:11", "function": "a.py:A.f:22", "class": "a.py:A.h:44", "file": "a.py:g:33"}
    rows = [[test, "quick", 1.0, [name]] for test, name in names.items()]
    (tmp_path / "1.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, ["other", "more", 1.0, []]]))
    found = mutants.Map(tmp_path)
    judges = lambda line: found.judges(mutants.Mutant("a.py", line, "", "", ""), 3)  # noqa: E731
    assert judges(2) == ["line", "function"]
    assert judges(1) == ["class", "function", "line"]  # a line of the class, outside its functions
    assert judges(4) == ["file"]


def test_the_lists_are_up_to_date():
    known = tomllib.loads((mutants.TESTS / "mutants.toml").read_text())
    assert len(mutants.planted(known["planted"])) == len(known["planted"])
    for one in known["equivalent"]:
        lines = [line.strip() for line in (mutants.PACKAGE / one["file"]).read_text().splitlines()]
        assert one["right"] in lines
        assert one["reason"]
