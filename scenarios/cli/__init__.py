"""The command ``alenv``."""

from __future__ import annotations

import io
import sys

import click
import gymnasium as gym

from alenv.errors import AlenvError
from scenarios.cli.lazy import LazyGroup
from scenarios.plan import siblings

# command -> module and one line of help; a module is imported only when its command is used, because most of
# them load torch.
COMMANDS = {
    "envs": ("scenarios.cli.envs", "List the environments, or explain one."),
    "settings": ("scenarios.cli.settings", "List every setting of an environment, or explain one."),
    "agents": ("scenarios.cli.agents", "List the agents, or explain one."),
    "embed": ("scenarios.cli.embed", "Write an embedding of an environment's images to a file."),
    "data": ("scenarios.cli.data", "List, add, verify and remove datasets."),
    "scenarios": ("scenarios.cli.scenarios", "List the paper's experiments, or explain one."),
    "run": ("scenarios.cli.run", "Run one of the paper's experiments."),
    "compare": ("scenarios.cli.compare", "Compare agents on one environment."),
    "report": ("scenarios.cli.report", "Show what a folder of runs holds, and draw it anew."),
    "suggest": ("scenarios.cli.suggest", "Say which images of a folder to label next."),
    "label": ("scenarios.cli.label", "Open the newest batch of a folder's images, to label them."),
    "advise": ("scenarios.cli.advise", "Say which strategy saves most labels on images like these."),
    "train": ("scenarios.cli.train", "Train a query policy."),
    "evaluate": ("scenarios.cli.evaluate", "Play agents in many episodes, side by side."),
    "bench": ("scenarios.cli.bench", "Measure training, query and step speed."),
}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="alenv", prog_name="alenv")
def alenv() -> None:
    """Pool-based active learning for image classification: environments, agents, comparisons."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits.

    0: all is well; 1: runs have failed, or pictures could not be written; 2: an error; 130: Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the sign for plus or minus shows "?"
    try:
        siblings.check()
        code = alenv.main(arguments, prog_name="alenv", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        _say(_usage(error))
        code = 2
    except click.Abort:
        _say("Stopped; repeated, the command goes on from what each run has finished.")
        code = 130
    except (AlenvError, OSError, ModuleNotFoundError, gym.error.Error) as error:
        _say(" ".join(str(error).split()))
        code = 2
    sys.exit(code or 0)


def _usage(error: click.ClickException) -> str:
    """Returns click's complaint as one sentence that names the help page."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see {context.command_path} --help." if context else f"{message}."


def _say(message: str) -> None:
    click.echo(f"alenv: {message}", err=True)
