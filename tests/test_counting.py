"""Where limits are counted, as the configuration and the others beside a spool allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidegate.admission.apart import Apart
from tidegate.admission.embedded import Embedded
from tidegate.admission.engine import Ask
from tidegate.config.load import load
from tidegate.config.model import Config
from tidegate.errors import LimitsUnavailable
from tidegate.house.counting import Counting
from tidegate.limits import Limits, Rate, Rule

RULES = (Rule("key", Limits(requests=(Rate(5, 60),))),)
ASK = Ask("r", (("key", "web"),), 1, 0, 1, 60.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "tidegate.yaml"
    path.write_text("{}")
    return load(path, {})


def test_one_process_beside_a_spool_counts(config: Config) -> None:
    counting = Counting.of(config)
    assert type(counting.engine) is Embedded


def test_a_second_one_refuses_what_is_limited(config: Config) -> None:
    first = Counting.of(config)
    second = Counting.of(config)
    second.go_by(RULES)
    assert isinstance(second.engine, Apart)
    with pytest.raises(LimitsUnavailable):
        second.engine.admit(ASK)
    first.go_by(RULES)
    first.engine.admit(ASK)


def test_its_seat_is_free_when_it_is_gone(config: Config) -> None:
    first = Counting.of(config)
    assert first._seat is not None
    os.close(first._seat)  # as the end of its process does, however it ends
    assert type(Counting.of(config).engine) is Embedded


def test_several_workers_of_one_gateway_count_apart(config: Config) -> None:
    assert isinstance(Counting.of(config, 2).engine, Apart)
