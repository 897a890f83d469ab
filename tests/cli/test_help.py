"""What `--help` shows: few lines that fit, the commands in groups; `--help-all` shows everything."""

import pytest

from latens.cli.arguments import COMMANDS, FEW, GROUPS, parser, subparsers
from latens.cli.main import main


def test_the_commands_stand_in_groups_of_short_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    at = [lines.index(title) for title in GROUPS]
    assert at == sorted(at)
    shown = [line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in COMMANDS]
    assert shown == [name for names in GROUPS.values() for name in names] == list(COMMANDS)
    assert len(COMMANDS) <= 20


def test_the_short_help_of_fit_has_ten_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    short = capsys.readouterr().out
    flags = [line.split()[0] for line in short.splitlines() if line.startswith("  --")]
    assert len(FEW["fit"]) == 10
    assert len(flags) == 1 + 10
    assert main(["fit", "--help-all"]) == 0
    whole = capsys.readouterr().out
    every = {flag for each in subparsers()["fit"]._actions for flag in each.option_strings}
    assert all(flag in whole for flag in every)
    assert "--separator" not in short


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_of_reading_are_not_on_the_short_help(name: str) -> None:
    made = subparsers(parser(name))[name]
    assert "--separator" not in made.format_help()
    assert "--json" not in made.format_help()
