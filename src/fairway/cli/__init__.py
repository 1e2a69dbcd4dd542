"""The command line: a verb a stage. Each verb builds inputs, calls one function, prints one record.

Verbs are imported when they are called: `fairway --help` needs nothing but click.
"""

import errno
import importlib
import os
import sys
from typing import Any

import click

from fairway import __version__, errors, garbage

# verb -> (module, one line for --help). The order is the order of the work.
VERBS = {
    "demo": ("fairway.cli.demo", "Play the whole story on one machine, on real data."),
    "init": (
        "fairway.cli.init",
        "Look at DATA and write fairway.yaml with what was found and why.",
    ),
    "check": ("fairway.cli.check", "Check configuration, environment and licences."),
    "prepare": ("fairway.cli.stages", "Read the data, check and split it, fit the preprocessing."),
    "train": ("fairway.cli.stages", "Fit a model on the prepared data and export it."),
    "evaluate": (
        "fairway.cli.stages",
        "Measure the model, compare it with the one in service, ask the gate.",
    ),
    "package": ("fairway.cli.stages", "Build a model package, also of a model trained elsewhere."),
    "push": ("fairway.cli.push", "Put a model package where a cluster fetches it from."),
    "fetch": ("fairway.cli.fetch", "Download a model package and check every file of it."),
    "run": (
        "fairway.cli.pipelines",
        "Run a whole pipeline: prepare, train, evaluate, gate, package.",
    ),
    "runs": (
        "fairway.cli.runs",
        "List, show, compare, retry or cancel runs; fetch their packages.",
    ),
    "image": (
        "fairway.cli.imaging",
        "Build the image of the pipelines' steps with your own code in it.",
    ),
    "serve": ("fairway.cli.serve", "Serve one package in the foreground."),
    "up": (
        "fairway.cli.local",
        "Start the local platform: gateway, collector, monitor, supervisor.",
    ),
    "down": ("fairway.cli.local", "Stop the local platform."),
    "status": ("fairway.cli.local", "Show what runs and where each deployment stands."),
    "deploy": ("fairway.cli.deployed", "Ask for a new revision; its rollout begins."),
    "lineage": (
        "fairway.cli.ancestors",
        "Show what a model was trained on and why, and the champions before it.",
    ),
    "render": (
        "fairway.cli.render",
        "Print what to apply to a cluster: the ModelDeployment, or the objects made of it.",
    ),
    "bundle": (
        "fairway.cli.bundle",
        "Write what an air-gapped cluster is installed from.",
    ),
    "rollout": (
        "fairway.cli.rollout",
        "Follow, explain, pause, resume, promote or abort a rollout.",
    ),
    "predict": ("fairway.cli.sending", "Send rows to the model in service."),
    "batch": (
        "fairway.cli.offline",
        "Answer every row of a file with a package, without a server.",
    ),
    "label": ("fairway.cli.sending", "Send labels that came late."),
    "labels": (
        "fairway.cli.labelled",
        "Draw requests to label; say how good answers are by the labels that came.",
    ),
    "outcome": (
        "fairway.cli.sending",
        "Send what became of requests, for business guards and A/B tests.",
    ),
    "monitor": ("fairway.cli.monitor", "Show drift, realised loss and alerts; replay a history."),
    "drift": (
        "fairway.cli.shifts",
        "Say what moved between two files, packages, windows or revisions.",
    ),
    "collector": (
        "fairway.cli.collector",
        "Collect predictions and labels, as a service of its own.",
    ),
    "retrain": ("fairway.cli.deployed", "Train a challenger on old and newly labelled data now."),
    "operator": (
        "fairway.cli.operator",
        "Look after the ModelDeployments of a cluster (the operator's container).",
    ),
    "trial": (
        "fairway.cli.trial",
        "Try an installation on a cluster: serve a package, canary it under traffic, clean up.",
    ),
}


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            ctx.fail(
                f"there is no command {args[0]!r}"
                + (f"; did you mean {near[0]!r}?" if near else "; see `fairway --help`")
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(
    cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="fairway")
def cli() -> None:
    """Take a machine-learning model from data to a monitored service.

    Exit status: 0 done, 1 failed, 2 used wrongly, 3 refused by a gate or rolled back.
    """


def main(args: list[str] | None = None) -> Any:
    """Run the command line; every mistake of a user ends as one sentence on stderr."""
    garbage.left_at_end()
    try:
        status = cli.main(args=args, prog_name="fairway", standalone_mode=False)
    except click.exceptions.Abort:
        status = _say("interrupted", status=130)
    except KeyboardInterrupt:
        status = _say("interrupted", status=130)
    except click.ClickException as error:
        error.show()
        status = 2
    except errors.FairwayError as error:
        status = _say(str(error), status=error.exit_status)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        further = (
            "; free some, or name another place (--home)" if error.errno == errno.ENOSPC else ""
        )
        status = _say(f"the system refused{place}: {error.strerror or error}{further}", status=1)
    sys.exit(status if isinstance(status, int) else 0)


def _say(sentence: str, *, status: int) -> int:
    click.echo(f"fairway: {sentence}", err=True)
    return status
