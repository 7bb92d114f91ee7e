"""Write the page of faults: what callers see, what is recorded, what is charged.

python scripts/faults.py            writes docs/reference/faults.md
python scripts/faults.py --check    exits with 1 if the page on disk is not what it would write

A gateway is run with a simulated provider behind it, and every fault is met; it takes some seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from tests.pairs.pair_page import page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "faults.md"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; what the program ends with."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing, only compare")
    options.add_argument("--page", type=Path, default=PAGE, help="its file")
    given = options.parse_args(arguments)
    logging.disable()  # what is told there is met on purpose
    text = asyncio.run(page())
    if given.page.is_file() and given.page.read_text(encoding="utf-8") == text:
        return 0
    if given.check:
        print(f"{given.page} is stale: run python scripts/faults.py")
        return 1
    given.page.write_text(text, encoding="utf-8")
    print(f"wrote {given.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
