"""The `tidegate` command: finds its subcommands by name and loads only the one that is asked for.

Each subcommand is a click command in the module of its own name. Mistakes in the configuration
are printed here, whichever command met them, and end the program with 2.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from tidegate import __version__
from tidegate.config.mistakes import ConfigError

_COMMANDS = {
    "demo": "See it work: start everything and ask one question.",
    "init": "Write a commented tidegate.yaml to start from.",
    "check": "Tell every mistake in the configuration at once.",
    "serve": "Run the gateway.",
    "log": "Show the latest requests and what became of them.",
    "explain": "Say why a request went as it did.",
    "targets": "Show how each target is doing.",
    "console": "Say where the console is, and open it.",
    "alerts": "Show what is wrong, silence it, try whether words arrive.",
    "quality": "Show what answers are like, and whether that has changed.",
    "feedback": "Show what people say of answers.",
    "spend": "Show what was spent, by whom and by what.",
    "budgets": "Show how full each budget is.",
    "limits": "Set what a scope may use and spend.",
    "keys": "Give out virtual keys, and take them back.",
    "users": "Make, list, change and delete users.",
    "teams": "Make, list, change and delete teams.",
    "organisations": "Make, list and delete organisations.",
    "erase": "Take a user out of everything that is stored.",
    "prices": "Set what models cost, where you know better.",
    "config": "Show what was in force, and go back to it.",
    "audit": "Show who changed what, and whether the trail is whole.",
    "tokens": "Say who may speak to the admin API, and in which role.",
    "export": "Write what other tools watch it with: Grafana, Prometheus, Alertmanager.",
    "exports": "Show how far exports have been told of the records.",
    "schema": "Print the configuration's JSON schema, for editors.",
    "simulate": "Run the simulated provider alone.",
    "drill": "Play outages against a gateway under load, and say what held.",
}
"""In the order a newcomer meets them; the help text is here so that listing loads nothing."""

_YAML = ".yaml"
_EPILOG = """\
\b
Start here:   tidegate demo
Completion:   eval "$(_TIDEGATE_COMPLETE=bash_source tidegate)"   (or zsh_source;
              fish: _TIDEGATE_COMPLETE=fish_source tidegate | source)
"""


class _Commands(click.Group):
    """A group whose commands are modules that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return getattr(import_module(f"tidegate.cli.{cmd_name}"), cmd_name)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = get_close_matches(args[0], _COMMANDS, n=1)
        if args[0] not in _COMMANDS and close:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            from tidegate.cli.check import print_mistakes  # noqa: PLC0415  rich takes its time

            print_mistakes(error.mistakes)
            ctx.exit(2)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message or _YAML not in error.message:
                raise
            words = f"{error.message}. A configuration is named by --config PATH."
            raise click.UsageError(words, error.ctx) from None


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message="tidegate %(version)s")
def main() -> None:
    """Tidegate: the gateway between a product and its language models."""
