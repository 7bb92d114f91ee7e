"""A strict reader of the page of measures."""

import re
from collections import defaultdict

_LABELS = r'[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(
    rf"(?P<name>[a-z_:][a-z0-9_:]*)(?:\{{(?P<labels>{_LABELS}(?:,{_LABELS})*)\}})?"
    r" (?P<value>-?[0-9.]+(?:e[+-]?[0-9]+)?)"
)
_LE = re.compile(r'(?:,|(?<={))le="([^"]+)"')
_PARTS = re.compile("_(?:bucket|sum|count)$")


def read(page: bytes) -> dict[str, float]:
    """The samples of a page that is as the format wants it.

    Each family is announced once, before its samples; no sample stands there twice; what a
    histogram counts grows with the bounds up to `+Inf`, which is its count.
    """
    samples: dict[str, float] = {}
    kinds: dict[str, str] = {}
    family = ""
    assert page.endswith(b"\n")
    for line in page.decode().split("\n")[:-1]:
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in kinds
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family
            assert kind in {"counter", "gauge", "histogram"}
            assert (kind == "counter") == name.endswith("_total")
            kinds[family] = kind
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            of = sample["name"]
            if kinds[family] == "histogram":
                assert _PARTS.search(of), line
                of = _PARTS.sub("", of)
            assert of == family, line
            key = f"{sample['name']}{{{sample['labels']}}}" if sample["labels"] else sample["name"]
            assert key not in samples
            samples[key] = float(sample["value"])
    _check_histograms(samples)
    return samples


def _check_histograms(samples: dict[str, float]) -> None:
    shapes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for key, value in samples.items():
        le = _LE.search(key)
        if le is not None:
            whole = _LE.sub("", key).replace("_bucket", "_count", 1).replace("{}", "")
            shapes[whole].append((float(le[1]), value))
    for whole, below in shapes.items():
        assert below == sorted(below)
        assert [count for _, count in below] == sorted(count for _, count in below)
        assert below[-1] == (float("inf"), samples[whole])
