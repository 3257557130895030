"""Runs ``alenv`` commands in the tests' own process, and on disks that refuse."""

from __future__ import annotations

import errno
import os
from typing import Any

import click
import pytest
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


def refuse_locks(patch: pytest.MonkeyPatch) -> str:
    """Opens no file for writing, as on a read-only disk; the tests may run as root, whom permissions do not stop."""
    opened = os.open

    def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *rest, **more)

    patch.setattr(os, "open", refusing)
    return "Read-only file system"


def refuse_bytes(patch: pytest.MonkeyPatch) -> str:
    """Fills the disk."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "fsync", full)
    return "No space left on device"
