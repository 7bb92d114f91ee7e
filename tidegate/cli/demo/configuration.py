"""The demo's configuration: written once, then the user's own to play with."""

from __future__ import annotations

from pathlib import Path

ALIAS = "assistant"
MODEL = "SmolLM2-135M-Instruct"

_TEXT = """\
# The configuration of `tidegate demo`. Written once and then yours: change it while the demo runs
# and it is read again as soon as you save; a mistake changes nothing and is told in tidegate.log.
# For a configuration of your own: tidegate init

server: {host: 127.0.0.1, port: 8080}       # `tidegate demo --port N` listens elsewhere
control: {port: 0}                          # any free port

store: sqlite:///tidegate.db                # where `tidegate log` reads; paths start at this file
spool: {directory: spool}
records: {bodies: full}                     # keep prompts and answers too, to look at them

providers:
  local: {kind: local}                      # SmolLM2-135M on this machine's processor, no key
  simulated:
    kind: simulated                         # made-up answers, and faults on demand
    ttft: 200ms                             # time to the first token
    gap: 25ms                               # time between tokens
  # openai: {kind: openai, api_key: "${env:OPENAI_API_KEY}"}

models:                                     # the names that callers ask for
  assistant:
    targets:
      - provider: local
        model: smollm2-135m
        price: {input: $0/M, output: $0/M}  # it runs here; without a price the cost is unknown
    # fallback: [simulated]                 # who answers when the model cannot
  simulated:
    targets: [{provider: simulated, model: sim-1}]

# No `keys`: anybody on this machine may call, nobody else can.
"""


def write(directory: Path) -> tuple[Path, bool]:
    """The configuration in `directory`, and whether it was written just now.

    Raises: `OSError` when it is not there and cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "tidegate.yaml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEXT)
    except FileExistsError:
        return path, False
    return path, True
