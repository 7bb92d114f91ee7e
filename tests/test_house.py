"""What is true of the checkout as a whole: its floors, its documents, its pinned requirements."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README_LINES = 150

# Written in parts, so that this file does not find itself.
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("deb", "debian", "org"),
        )
    )
)
MACHINES = re.compile(r"(?<![\w.$}/-])/(?:work|root|Users|home/\w+)/")
OUTSIDE = re.compile(r"^(?:[a-z]+:|//)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2[`~]*$", re.MULTILINE | re.DOTALL)


def checked_in() -> list[Path]:
    """Every file that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = [ROOT / name for name in sorted(set(listed.split("\0"))) if name]
    return [path for path in paths if path.is_file()]


FILES = checked_in()
PAGES = [path for path in FILES if path.suffix == ".md"]
# Test names are facts and need no second telling.
MODULES = [path for path in FILES if path.suffix == ".py" and ROOT / "tests" not in path.parents]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def offenders(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name(path)}:{number}: {line.strip()[:120]}"
        for path in FILES
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
        )
        if pattern.search(line)
    ]


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be reached by."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in HEADING.findall(prose):
        kept = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        twin, count = kept, 0
        while twin in found:
            count += 1
            twin = f"{kept}-{count}"
        found.add(twin)
    return found


def test_no_file_names_a_package_registry() -> None:
    assert offenders(REGISTRIES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert offenders(MACHINES) == []


def test_requirements_hold_pins_and_hashes_and_no_place_to_fetch_from() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for block in re.split(r"\n(?=[^\s#])", path.read_text(encoding="utf-8")):
            asked = re.sub(r"^ *#.*\n?", "", block, flags=re.MULTILINE).strip()
            if not asked:
                continue
            assert re.match(r"[a-z0-9.-]+==\S+ ", asked), f"{path.name}: {asked[:80]}"
            assert "--hash=sha256:" in asked, f"{path.name}: {asked[:80]}"


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < README_LINES


def test_changelog_has_a_place_for_what_is_not_released() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    dead: list[str] = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if OUTSIDE.match(target):
            continue
        place, _, fragment = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        if not there.exists() or (fragment and fragment not in anchors(there)):
            dead.append(target)
    assert dead == []


def test_every_page_of_the_docs_can_be_reached_from_the_index() -> None:
    docs = ROOT / "docs"
    reached, waiting = set[Path](), [docs / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            place = target.partition("#")[0]
            if place.endswith(".md") and not OUTSIDE.match(place):
                waiting.append((page.parent / place).resolve())
    assert [name(page) for page in PAGES if docs in page.parents and page not in reached] == []


def test_every_module_opens_by_saying_its_job() -> None:
    silent = [
        name(path)
        for path in MODULES
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_imports_keep_to_the_floors() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
