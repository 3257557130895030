"""Runs ``alenv`` commands in the tests' own process."""

from __future__ import annotations

import click
from click.testing import CliRunner

from scenarios import cli

FAKE = "fake_al:FakeAL-v0"


def run(*arguments: str) -> tuple[int, str, str]:
    """Returns exit code, stdout and stderr of ``alenv`` with some arguments."""

    @click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def whole(rest: tuple[str, ...]) -> None:
        cli.main(list(rest))

    result = CliRunner().invoke(whole, ["--", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def error(*arguments: str) -> str:
    """Returns the one sentence of a command that must fail with exit code 2."""
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("alenv: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err
