"""The measures that are made from records: names, labels, units, boundaries.

The names below `gen_ai_` and their labels are those of the OpenTelemetry conventions for generative
AI as of version 1.36, with `gen_ai.provider.name`, spelled as Prometheus spells them; so are their
boundaries. Source: semantic-conventions, docs/gen-ai/gen-ai-metrics.md.
"""

from __future__ import annotations

from typing import Final

from tidegate.control.measures.text import Meaning

_ASKED = (
    "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model",
    "gen_ai_response_model",
)  # fmt: skip

DURATION: Final = Meaning(
    "gen_ai_client_operation_duration_seconds", "histogram", (*_ASKED, "error_type"), "seconds",
    "How long requests took for which a provider was asked, from start to end.",
)  # fmt: skip
TOKENS: Final = Meaning(
    "gen_ai_client_token_usage", "histogram", (*_ASKED, "gen_ai_token_type"), "tokens",
    "Tokens of a request, as billed: input (what came from a cache included) and output.",
)  # fmt: skip
FIRST_TOKEN: Final = Meaning(
    "gen_ai_server_time_to_first_token_seconds", "histogram", _ASKED, "seconds",
    "From a request's start to the first content of its stream.",
)  # fmt: skip
EACH_TOKEN: Final = Meaning(
    "gen_ai_server_time_per_output_token_seconds", "histogram", _ASKED, "seconds",
    "Time for each output token after the first, of streams.",
)  # fmt: skip

REQUEST_DURATION: Final = Meaning(
    "tidegate_request_duration_seconds", "histogram", ("alias",), "seconds",
    "How long requests took from start to end, whatever came of them.",
)  # fmt: skip
OVERHEAD: Final = Meaning(
    "tidegate_gateway_overhead_seconds", "histogram", ("alias",), "seconds",
    "From a request's start until a provider was first asked, turns at targets included.",
)  # fmt: skip
QUEUE: Final = Meaning(
    "tidegate_queue_seconds", "histogram", ("alias",), "seconds",
    "How long requests waited for their turn at a target.",
)  # fmt: skip
GAP: Final = Meaning(
    "tidegate_inter_token_gap_seconds", "histogram", ("alias",), "seconds",
    "The longest silence within a stream after its first content.",
)  # fmt: skip

WAIT: Final = Meaning(
    "tidegate_time_to_content_seconds", "histogram", ("alias",), "seconds",
    "How long callers waited for a stream's first content, or for the whole of another answer.",
)  # fmt: skip

ENDED: Final = Meaning(
    "tidegate_requests_ended_total", "counter", ("alias", "class"), "requests",
    "Requests by the class of their outcome: `ok`, `client_gone`, `limited`, `refused`, `failed`, "
    "`lost`.",
)  # fmt: skip
SLO_REQUESTS: Final = Meaning(
    "tidegate_slo_requests_total", "counter", ("alias", "slo"), "requests",
    "Requests that count for an alias's objective.",
)  # fmt: skip
SLO_BAD: Final = Meaning(
    "tidegate_slo_bad_total", "counter", ("alias", "slo"), "requests",
    "Those of them that missed it: failed, or were answered too late.",
)  # fmt: skip
REFUSED_ANSWERS: Final = Meaning(
    "tidegate_answers_refused_total", "counter", ("alias", "provider", "model"), "requests",
    "Answers that a model refused to give, or a filter.",
)  # fmt: skip
REQUESTS: Final = Meaning(
    "tidegate_requests_total", "counter", ("alias", "team", "outcome", "stream"), "requests",
    "Requests that are over, by what came of them.",
)  # fmt: skip
ALL_TOKENS: Final = Meaning(
    "tidegate_tokens_total", "counter", ("alias", "provider", "model", "team", "type"), "tokens",
    "Tokens: `input` (`cached_input`, `cache_write` and `audio_input` are part of it) and `output` "
    "(`reasoning` and `audio_output` are part of it).",
)  # fmt: skip
COST: Final = Meaning(
    "tidegate_cost_usd_total", "counter", ("alias", "provider", "model", "team"), "US dollars",
    "What requests cost, exactly; a try that was not the last one counts where it was made.",
)  # fmt: skip
UNPRICED: Final = Meaning(
    "tidegate_unpriced_total", "counter", ("alias", "provider", "model"), "requests",
    "Requests that cost something nobody knows: price or usage is missing.",
)  # fmt: skip
RETRIES: Final = Meaning(
    "tidegate_retries_total", "counter", ("alias", "target"), "tries",
    "Tries at the target that had just failed.",
)  # fmt: skip
FALLBACKS: Final = Meaning(
    "tidegate_fallbacks_total", "counter", ("alias", "target"), "tries",
    "Times that requests went on to this target after another one.",
)  # fmt: skip
HEDGES: Final = Meaning(
    "tidegate_hedges_total", "counter", ("alias", "target"), "tries",
    "Tries at this target made because another one was slow.",
)  # fmt: skip
REFUSALS: Final = Meaning(
    "tidegate_refusals_total", "counter", ("reason", "scope"), "requests",
    "Requests refused by the gateway itself: the error's code, and the kind of scope whose limit "
    "it was.",
)  # fmt: skip
TRUNCATIONS: Final = Meaning(
    "tidegate_truncations_total", "counter", ("alias", "provider", "model"), "requests",
    "Answers that ended because they were as long as they may be (`length`, in any vendor's word).",
)  # fmt: skip
FINDINGS: Final = Meaning(
    "tidegate_personal_data_findings_total", "counter", ("alias", "kind"), "findings",
    "Personal data and credentials that were masked in prompts and answers before they were kept.",
)  # fmt: skip
LEFT_OUT: Final = Meaning(
    "tidegate_bodies_left_out_total", "counter", ("alias", "body"), "bodies",
    "Prompts (`request`) and answers (`response`) that were not kept, though they should have "
    "been: nobody could say in time what is in them.",
)  # fmt: skip
DEGRADED: Final = Meaning(
    "tidegate_degraded_total", "counter", ("alias", "how"), "requests",
    "Requests that no target answered and that were answered all the same.",
)  # fmt: skip
ADAPTED: Final = Meaning(
    "tidegate_adapted_total", "counter", ("alias", "how"), "requests",
    "Requests that were changed so that they could be answered.",
)  # fmt: skip
DOWNGRADES: Final = Meaning(
    "tidegate_downgrades_total", "counter", ("alias",), "requests",
    "Requests that a budget's soft cap gave to this cheaper alias.",
)  # fmt: skip
LOST: Final = Meaning(
    "tidegate_lost_total", "counter", (), "requests",
    "Requests given up because their gateway process was gone; they are no `tidegate_requests`.",
)  # fmt: skip
LOST_COST: Final = Meaning(
    "tidegate_lost_cost_usd_total", "counter", (), "US dollars",
    "What was charged for lost requests; it is no `tidegate_cost`.",
)  # fmt: skip
FOUND: Final = Meaning(
    "tidegate_lost_found_total", "counter", (), "requests",
    "Lost requests whose own record came after all, and took the place of the loss.",
)  # fmt: skip
OVERFLOWS: Final = Meaning(
    "tidegate_label_overflows_total", "counter", ("label",), "records",
    "Records of which a label's value is shown as `other`: too many values, or one made up.",
)  # fmt: skip
SERIES_OVERFLOWS: Final = Meaning(
    "tidegate_series_overflows_total", "counter", ("metric",), "additions",
    "Additions under labels that are all shown as `other`: too many combinations.",
)  # fmt: skip

CHECKED: Final = Meaning(
    "tidegate_answers_checked_total", "counter", ("alias", "form"), "requests",
    "Requests that asked for JSON or offered tools, by what their answer was: `good`, `repaired`, "
    "`malformed`, or `unchecked`.",
)  # fmt: skip
FEEDBACK: Final = Meaning(
    "tidegate_feedback_total", "counter", ("alias", "verdict"), "messages",
    "Feedback on answers: `up`, `down`, `neutral`, or `none` of what only says something.",
)  # fmt: skip
FEEDBACK_DROPPED: Final = Meaning(
    "tidegate_feedback_dropped_total", "counter", ("reason",), "messages",
    "Feedback that was not taken: its request is `unknown` or `foreign`, there is `too_many` for "
    "it, or what waits for its request is `full`.",
)  # fmt: skip

OPERATION_S: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
)  # fmt: skip
FIRST_TOKEN_S: Final = (
    0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0,
)  # fmt: skip
EACH_TOKEN_S: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip
TOKEN_COUNTS: Final = tuple(4**power for power in range(14))
OVERHEAD_S: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
CONTENT_S: Final = (
    0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
WAIT_S: Final = (0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
