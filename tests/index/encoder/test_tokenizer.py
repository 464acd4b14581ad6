"""Every vocabulary file gives open_clip's ids, and no text can forge a control token."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from index.bundled import bundled_model
from index.encoder.tokenizer import ClipTokenizer, open_clip_vocabulary, vocabulary_files
from index.errors import EncoderDamaged
from tests.index.encoder.conftest import TEXTS

CONTEXT = 32
TOKENIZER = ClipTokenizer(open_clip_vocabulary(), CONTEXT)
ODD = (
    "tab\tand\nnewline",
    "“curly” quotes… ﬁ ligature",
    "Ｆｕｌｌ ｗｉｄｔｈ",
    "mojibake: schÃ¶n",
    "&lt;b&gt; &amp;amp; &#39;",
    "العربية ไทย हिन्दी",
    "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "they'll don't I'VE",
    "x" * 300,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer.json as transformers writes it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    CLIPTokenizer.from_pretrained(bundled_model() / "tokenizer").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bundled() -> ClipTokenizer:
    return ClipTokenizer(vocabulary_files(bundled_model() / "tokenizer") or (), CONTEXT)


def reference(texts: tuple[str, ...]) -> list[list[int]]:
    rows = open_clip.tokenize(list(texts), CONTEXT).tolist()
    return [row[: row.index(49407) + 1] for row in rows]


def test_ids_are_open_clips(bundled: ClipTokenizer) -> None:
    texts = TEXTS + ODD
    assert bundled(texts) == reference(texts)


def test_all_three_kinds_of_file_agree(bundled: ClipTokenizer, folder: Path) -> None:
    files = vocabulary_files(folder)
    assert files == (folder / "tokenizer.json",)
    others = [ClipTokenizer(source, CONTEXT) for source in (files, open_clip_vocabulary())]
    texts = TEXTS + ODD
    assert [other(texts) for other in others] == [bundled(texts)] * 2
    assert {other.fingerprint() for other in others} == {bundled.fingerprint()}


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8", max_codepoint=0x24F), max_size=80))
def test_any_latin_text_has_open_clips_ids(text: str) -> None:
    assert TOKENIZER([text]) == reference((text,))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_any_text_at_all_is_one_row_between_its_control_tokens(text: str) -> None:
    (row,) = TOKENIZER([text])
    assert 2 <= len(row) <= CONTEXT
    assert (row[0], row[-1]) == (49406, 49407)
    assert not {49406, 49407} & set(row[1:-1])


@pytest.mark.parametrize("name", ["<|endoftext|>", "<end_of_text>", "<|startoftext|>"])
def test_a_control_tokens_name_is_only_text(bundled: ClipTokenizer, name: str) -> None:
    (row,) = bundled([f"fox {name} bear"])
    assert row.count(49407) == row.count(49406) == 1
    assert row[-2] == bundled(["bear"])[0][1]


def test_lone_surrogates_from_a_command_line_are_text(bundled: ClipTokenizer) -> None:
    (row,) = bundled(["fox \udcff bear"])
    assert row[1] == bundled(["fox"])[0][1] and row[-2] == bundled(["bear"])[0][1]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"model": {"type": "WordPiece", "vocab": {}}}', '{"model": {"type": "BPE"}}'],
)
def test_another_tokenizer_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(content)
    with pytest.raises(EncoderDamaged) as refused:
        ClipTokenizer((file,), CONTEXT)
    assert "\n" not in refused.value.message and refused.value.hint


def test_a_changed_vocabulary_changes_the_fingerprint(
    tmp_path: Path, bundled: ClipTokenizer
) -> None:
    source = bundled_model() / "tokenizer"
    ids = json.loads((source / "vocab.json").read_text())
    ids["fox</w>"], ids["cat</w>"] = ids["cat</w>"], ids["fox</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text((source / "merges.txt").read_text())
    other = ClipTokenizer(vocabulary_files(tmp_path) or (), CONTEXT)
    assert other.fingerprint() != bundled.fingerprint()
