"""What a text tells about itself, cheaply: is it worded as a refusal, which language, what sounds.

All of it goes by a text's beginning, and by no model: signs that a distribution has moved, not
judgements of one answer.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final
from zlib import crc32

READ_CHARACTERS: Final = 2_000
"""Of each text; so that a long one does not outweigh all others."""
GRAMS: Final = 64
"""Bins that runs of three characters are hashed into."""
_OPENING: Final = 160
_FEW_LETTERS, _FEW_WORDS = 20, 2

_REFUSING: Final = re.compile(
    r"i(?: am|'m) (?:very |really |truly )?sorry,? (?:but )?(?:i|that|this|as)\b"
    r"|(?:^|[.!,] |but )(?:unfortunately,? )?i (?:cannot|can't|can not|won't|will not"
    r"|am unable to|'m unable to|am not able to|'m not able to)"
    r" (?:help|assist|provide|do that|comply|fulfill|create|generate|write|answer|discuss|support"
    r"|engage|share|give|offer)"
    r"|i(?: must|'ll have to| have to) decline"
    r"|as an ai(?: language model| assistant)?,? i (?:cannot|can't|do not|don't|am not)"
    r"|(?:es tut mir leid|tut mir leid|leider)[^.]{0,40}(?:kann|darf) ich"
    r"|ich kann (?:dir|ihnen|euch)?[^.]{0,40}(?:nicht helfen|nicht weiterhelfen|keine auskunft)"
    r"|je suis désolée?[^.]{0,40}je ne (?:peux|suis)|je ne peux pas (?:vous|t')?\s?aider"
    r"|lo siento[^.]{0,40}no puedo|no puedo (?:ayudar|proporcionar)"
)
"""Source: after the refusal prefixes of Zou et al. (2023), Universal and Transferable Adversarial
Attacks on Aligned Language Models, kept to those that say what is refused; and their like in
German, French and Spanish."""

_SCRIPTS: Final = tuple(
    (name, re.compile(f"[{span}]+"))
    for name, span in (
        ("kana", "\u3040-\u30ff"),
        ("ko", "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"),
        ("han", "\u3400-\u9fff"),
        ("cyrillic", "\u0400-\u052f"),
        ("greek", "\u0370-\u03ff\u1f00-\u1fff"),
        ("arabic", "\u0600-\u06ff\u0750-\u077f"),
        ("hebrew", "\u0590-\u05ff"),
        ("devanagari", "\u0900-\u097f"),
        ("thai", "\u0e00-\u0e7f"),
        ("latin", "A-Za-z\u00c0-\u024f"),
    )
)
_WORDS: Final = {
    "en": "the and of to is that you with for are this it not be have",
    "de": "der die und das ist nicht ein eine mit für sie auf den zu dem",
    "fr": "le la les et des est une dans pour que vous pas du sur qui",
    "es": "el los las y que una por para con del es se su como más",
    "it": "il che di per una con non gli della sono è nel anche più dei",
    "pt": "o os que uma para com não do da em você são mais dos ao",
    "nl": "het een van en dat niet voor met zijn op deze aan ook naar",
}
_LANGUAGES_OF: Final = {
    word: tuple(name for name, words in _WORDS.items() if word in words.split())
    for word in " ".join(_WORDS.values()).split()
}
_WORD: Final = re.compile(r"[^\W\d_]+")
LANGUAGES: Final = (
    "none", "other", "latin", "en", "de", "fr", "es", "it", "pt", "nl", "cyrillic", "greek",
    "arabic", "hebrew", "devanagari", "thai", "ko", "ja", "zh",
)  # fmt: skip
"""Their places are what the store has, so names are only ever added at the end.

`none` has too few letters to say; `latin` is a language of that script that is not told apart.
"""
_PLACES: Final = {name: place for place, name in enumerate(LANGUAGES)}


def refuses(text: str) -> bool:
    """Whether `text` opens as refusals do."""
    opening = " ".join(text[: 4 * _OPENING].casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}",
                                                              "'").split())  # fmt: skip
    return _REFUSING.search(opening[:_OPENING]) is not None


def language(text: str) -> int:
    """The place in `LANGUAGES` of what `text` is written in.

    The script that has most letters; of the Latin one, the language with most function words.
    """
    text = text[:READ_CHARACTERS]
    ascii_only = text.isascii()
    letters = {
        name: 0 if ascii_only and name != "latin" else sum(map(len, pattern.findall(text)))
        for name, pattern in _SCRIPTS
    }
    count = letters["latin"] if ascii_only else sum(map(str.isalpha, text))
    if count < _FEW_LETTERS and not letters["kana"] + letters["han"]:
        return _PLACES["none"]
    # Japanese mixes kana into Chinese characters; nothing else does.
    if letters["kana"] and letters["kana"] + letters["han"] > letters["latin"]:
        return _PLACES["ja"]
    most = max(letters, key=lambda name: letters[name])
    if not letters[most]:
        return _PLACES["other"]
    if most == "latin":
        return _PLACES[_latin(text)]
    return _PLACES["zh" if most == "han" else most]


def grams(text: str) -> dict[int, int]:
    """How many runs of three characters of `text` fall into which of `GRAMS` bins."""
    text = " ".join(text[:READ_CHARACTERS].casefold().split())
    runs = Counter([text[place : place + 3] for place in range(len(text) - 2)])
    found: dict[int, int] = {}
    for run, count in runs.items():
        place = crc32(run.encode("utf-8", "replace")) % GRAMS
        found[place] = found.get(place, 0) + count
    return found


def _latin(text: str) -> str:
    words = _WORD.findall(text.casefold())
    seen = Counter([each for word in words for each in _LANGUAGES_OF.get(word, ())])
    ranked = seen.most_common(2)
    if not ranked or ranked[0][1] < _FEW_WORDS:
        return "latin"
    return "latin" if len(ranked) > 1 and ranked[1][1] == ranked[0][1] else ranked[0][0]
