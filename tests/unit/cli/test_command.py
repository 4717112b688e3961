from __future__ import annotations

import re

import click
import pytest

from refresher.cli.command import clean, print_errors, select_targets
from refresher.cli.root import COMMANDS, root, run_guarded
from refresher.errors import ExchangeError, ExitStatus, SupplyError, UsageError


def list_commands() -> dict[str, click.Command]:
    """Return every command by its path, subcommands included."""
    context = click.Context(root)
    found = {name: command for name in COMMANDS if (command := root.get_command(context, name)) is not None}
    return found | {f"keys {name}": each for name, each in getattr(found["keys"], "commands", {}).items()}


@pytest.mark.parametrize("command", list_commands().values(), ids=list(list_commands()))
def test_help_consists_of_full_phrases(command: click.Command) -> None:
    """The text of a command and of each option begins with a capital or a value, and ends with a full stop."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    texts = [command.help or "", *(option.help or "" for option in options)]

    assert [text for text in texts if not text.rstrip().endswith(".") or not re.match(r"[A-Z]|subject: ", text)] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\x1b[2J", "a\\x1b[2J"), ("a\nb\rc", "a\nb\\rc"), ("ü — …", "ü — …"), ("\ud800", "\\ud800")],
)
def test_printed_texts_have_no_control_characters(text: str, shown: str) -> None:
    """Lines stay lines, and every other control character is written as an escape."""
    assert clean(text) == shown


def test_error_of_many_targets_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Equal errors are grouped, with the names of the first ten targets."""
    errors = {f"t{number}": SupplyError("the key is gone", "restore it") for number in range(12)}

    print_errors({**errors, "other": ExchangeError("refused", "grant it")})

    shown = capsys.readouterr().err
    assert shown.count("the key is gone") == 1
    assert "concerns: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 2 more\n  remedy: restore it\n" in shown
    assert "refresher: refused\n  concerns: other\n  remedy: grant it\n" in shown


@pytest.mark.parametrize(
    ("names", "remedy"), [(["alise"], "write alice if you mean that"), (["x", "bob"], "use one of: alice, bob")]
)
def test_unknown_target_is_refused_with_what_is_known(names: list[str], remedy: str) -> None:
    """The nearest name, or else the list of names, is shown."""
    with pytest.raises(UsageError) as caught:
        select_targets({"alice": 1, "bob": 2}, names)

    assert caught.value.remedy == remedy


def test_no_names_select_every_target() -> None:
    """Without names all targets are meant; with names only these, in their order."""
    assert list(select_targets({"alice": 1, "bob": 2}, [])) == ["alice", "bob"]
    assert list(select_targets({"alice": 1, "bob": 2}, ["bob"])) == ["bob"]


class SecretError(Exception):
    """A bug whose text is a secret."""


def raising(error: BaseException) -> object:
    """Raise an error."""
    raise error


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (ExchangeError("refused", "grant it"), ExitStatus.EXCHANGE, "refresher: refused\n  remedy: grant it\n"),
        (click.UsageError("no \x1b"), 2, "no \\x1b"),
        (click.exceptions.Exit(7), 7, ""),
        (KeyboardInterrupt(), 130, ""),
        (SecretError("eyJ-secret"), ExitStatus.UNEXPECTED, "unexpected SecretError; please report this bug"),
        (OSError(28, "No space left on device"), 2, "standard output cannot be written"),
        (OSError(13, "Permission denied", "/x"), ExitStatus.UNEXPECTED, "unexpected PermissionError"),
    ],
    ids=["ours", "usage", "exit", "interrupt", "bug", "full output", "unnamed file"],
)
def test_every_end_has_its_status(
    error: BaseException, status: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """However a command ends, the status is the documented one, and the text of a bug is withheld."""
    assert run_guarded(lambda: raising(error)) == status

    printed = capsys.readouterr().err
    assert shown in printed
    assert "secret" not in printed.replace("SecretError", "")
    assert "\x1b" not in printed
