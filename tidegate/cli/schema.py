"""`tidegate schema`: the configuration's JSON schema on standard output."""

from __future__ import annotations

import json

import click

from tidegate.config.schema import json_schema

HELP = """Print the configuration's JSON schema, for editors.

\b
    tidegate schema > tidegate.schema.json

and in the first lines of tidegate.yaml:

\b
    # yaml-language-server: $schema=tidegate.schema.json
"""


@click.command(help=HELP)
def schema() -> None:
    """Print the configuration's JSON schema."""
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
