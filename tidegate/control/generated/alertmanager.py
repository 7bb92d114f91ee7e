"""Alertmanager's routes and receivers, as the configuration's sinks have them.

No secret is written: where one is needed the file that holds it is named, below `SECRETS`.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from tidegate.alerts.mail import Mailbox
from tidegate.alerts.settings import AlertSettings, Receiver
from tidegate.control.generated.prometheus import alert_name
from tidegate.control.generated.promql import span

CONFIG: Final = "alertmanager.yaml"
SECRETS: Final = "/etc/alertmanager/tidegate"
_NOBODY: Final = "nobody"
_MADE: Final = (
    "# Made by `tidegate export alertmanager` from Tidegate's configuration; make it anew.\n"
    f"# Put what is secret into files below {SECRETS}, under the names that stand here.\n"
)
HUSHES: Final = (
    (("store-lost",), ("records-not-loaded", "records-waiting", "sink-stuck"), ()),
    (("slo-fast-burn",), ("slo-burn", "slo-slow-burn"), ("alias", "slo")),
    (("slo-burn",), ("slo-slow-burn",), ("alias", "slo")),
    (("latency-p99",), ("latency-p50", "latency-jump"), ("alias",)),
    (("shedding",), ("loop-lag",), ("worker",)),
)
"""While one of the first fires nothing is said of the second ones, where these labels are alike."""


def routes(settings: AlertSettings) -> str:
    """The configuration.

    Not in it are sinks that are an Alertmanager themselves, and webhooks: these take messages in
    Tidegate's own form, signed, which only Tidegate sends.
    """
    receivers = {
        name: made
        for name, sink in settings.sinks.items()
        if (made := _receiver(name, sink)) is not None
    }
    names = [*receivers] or [_NOBODY]
    everybody = [{"receiver": name, "continue": True} for name in names]
    everybody[-1] = {"receiver": names[-1]}
    config = {
        "route": {
            "receiver": names[0],
            "group_by": ["alertname", "severity"],
            "group_wait": "5s",
            "group_interval": "1m",
            "repeat_interval": span(settings.terms.repeat_s),
            "routes": [
                {
                    "matchers": ['alertname=~"Tidegate_.*"', 'severity="page"'],
                    "group_wait": "1s",
                    "routes": everybody,
                },
                {"matchers": ['alertname=~"Tidegate_.*"'], "routes": everybody},
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": [_matcher(sources)],
                "target_matchers": [_matcher(hushed)],
                "equal": [*equal],
            }
            for sources, hushed, equal in HUSHES
        ],
        "receivers": [{"name": name, **receivers.get(name, {})} for name in names],
    }
    others = [name for name in settings.sinks if name not in receivers]
    notes = "".join(f"# Not here, told by Tidegate alone: {name}.\n" for name in others)
    return _MADE + notes + yaml.safe_dump(config, sort_keys=False, width=100)


def _matcher(rules: tuple[str, ...]) -> str:
    return f'alertname=~"{"|".join(alert_name(rule) for rule in rules)}"'


def _receiver(name: str, sink: Receiver | Mailbox) -> dict[str, Any] | None:
    place = f"{SECRETS}/{name}"
    if isinstance(sink, Mailbox):
        mail: dict[str, Any] = {
            "to": ", ".join(sink.recipients),
            "from": sink.sender,
            "smarthost": f"{sink.host}:{sink.port}",
            "require_tls": sink.security != "none",
            "send_resolved": True,
        }
        if sink.user is not None:
            # Its own name is a secret to us, and Alertmanager reads none from a file.
            mail |= {"auth_username": sink.sender, "auth_password_file": f"{place}-password"}
        return {"email_configs": [mail]}
    if sink.kind == "slack":
        return {"slack_configs": [{"api_url_file": f"{place}-url", "send_resolved": True}]}
    return None
