"""Every text that users see is in the catalogues, with the same placeholders."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra studio is not installed")

from faceskd.studio.translation import LANGUAGES, Translator, script_messages

TOOL = Path(__file__).parents[2] / "tools" / "extract_messages.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("extract_messages", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_all_texts_are_translated(language):
    translate = Translator(language)
    missing, different, scripts = [], [], set()
    for text, place, _ in load_tool().messages():
        source = text if isinstance(text, str) else text[0]
        translated = translate._texts.get(source)
        if translated is None:
            missing.append((place, source))
        elif set(re.findall(r"{\w+}", source)) != set(re.findall(r"{\w+}", translated)):
            different.append((source, translated))
        if place.startswith("static/"):
            scripts.add(source)
    assert not missing, "run tools/extract_messages.py and translate these texts"
    assert not different
    assert set(script_messages(language)) == scripts


def test_texts_that_are_not_translated_stay_english():
    _ = Translator("ko")
    assert _("A text that nobody translated, {name}.", name="Mina") == (
        "A text that nobody translated, Mina."
    )
    assert Translator("en").plural("{count} photo", "{count} photos", 1) == "1 photo"
    assert Translator("en").plural("{count} photo", "{count} photos", 2) == "2 photos"
