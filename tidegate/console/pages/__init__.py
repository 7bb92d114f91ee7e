"""Every page, in the order of the navigation: Now, Requests, Cost, Keys & limits, Quality, Alerts,
Configuration.
"""  # noqa: D205  the order is the point

from typing import Final

from tidegate.console.page import Page
from tidegate.console.pages import alerts, configuration, cost, keys, now, quality, requests

PAGES: Final[tuple[Page, ...]] = (
    now.page, requests.page, cost.page, keys.page, quality.page, alerts.page,
    configuration.page,
)  # fmt: skip
