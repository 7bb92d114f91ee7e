"""Texts: refusals by their opening, languages by their letters and words, bins of their runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.quality.texts import GRAMS, LANGUAGES, READ_CHARACTERS, grams, language, refuses


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I can\u2019t assist with this request.",
        "I am sorry, but as an AI I cannot browse.",
        "Unfortunately, I cannot provide medical advice.",
        "I can't help with that. Try a doctor.",
        "As an AI language model, I don't have opinions.",
        "Thank you for asking, but I must decline.",
        "Es tut mir leid, dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre.",
        "Lo siento, pero no puedo ayudar con eso.",
    ],
)
def test_refusals_are_known_by_their_opening(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'm sorry to hear that! Here is what you can do:",
        "The function cannot return a list.",
        "You can help with that by calling them.",
        "I can help with that.",
        "x" * 300 + " I'm sorry, but I can't help with that.",
    ],
)
def test_other_texts_are_no_refusals(text: str) -> None:
    assert not refuses(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The capital of France is Paris, and that is where it has been for long.", "en"),
        ("Die Hauptstadt ist Paris, und das ist seit langem nicht anders.", "de"),
        ("La capitale de la France est Paris, et elle est dans le nord.", "fr"),
        ("La capital es Madrid, que está en el centro, y una ciudad con los museos.", "es"),
        ("La capitale è Roma, che non è nel nord, ma gli abitanti sono anche di più.", "it"),
        ("A capital é Lisboa, que fica em Portugal; não são mais os reis.", "pt"),
        ("De hoofdstad is Amsterdam, en dat is niet zo ver van het water.", "nl"),
        ("Столица России находится на реке Москве.", "cyrillic"),
        ("Ποια είναι η πρωτεύουσα της Ελλάδας.", "greek"),
        ("عاصمة مصر هي مدينة القاهرة الكبيرة.", "arabic"),
        ("日本の首都は東京です。とても大きいです。", "ja"),
        ("中国的首都是北京,这是一座很大的城市。", "zh"),
        ("대한민국의 수도는 서울이며 매우 큰 도시입니다.", "ko"),
        ("42", "none"),
        ("Zygmunt przyszedł wczoraj wieczorem bardzo późno.", "latin"),
    ],
)
def test_languages_are_told_by_letters_and_words(text: str, name: str) -> None:
    assert LANGUAGES[language(text)] == name


@given(st.text(max_size=3_000))
def test_any_text_has_a_language_and_bins_for_each_of_its_runs(text: str) -> None:
    assert 0 <= language(text) < len(LANGUAGES)
    assert refuses(text) in (True, False)
    found = grams(text)
    assert all(0 <= place < GRAMS for place in found)
    said = " ".join(text[:READ_CHARACTERS].casefold().split())
    assert sum(found.values()) == max(0, len(said) - 2)
