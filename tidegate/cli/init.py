"""`tidegate init`: a configuration to start from, never over one that is there."""

from __future__ import annotations

from pathlib import Path

import click

from tidegate.config.template import has_local_model, template


@click.command
@click.argument("path", type=click.Path(path_type=Path), default="tidegate.yaml")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(path: Path, *, force: bool) -> None:
    """Write a commented configuration to PATH (tidegate.yaml).

    It works at once: with the embedded model where that is installed, else with made-up answers.
    """
    if path.is_dir():
        path /= "tidegate.yaml"
    local = has_local_model()
    # "x" refuses what is there in the same step, whatever comes between; links included.
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template(local=local))
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; --force writes over it.") from None
    except FileNotFoundError:
        raise click.ClickException(f"There is no directory {path.parent}; make it first.") from None
    except OSError as error:
        raise click.ClickException(f"Cannot write {path}: {error.strerror}.") from error
    served = "the embedded model SmolLM2-135M" if local else "the simulated provider"
    option = "" if str(path) == "tidegate.yaml" else f" --config {path}"
    click.echo(f"Wrote {path}: alias `assistant`, served by {served}.")
    click.echo(f"Next: tidegate check{option}; tidegate serve{option}")
