"""The text tower taught by a sentence encoder, over a small WordNet in its own file format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from sovgen.errors import BadDataset
from sovgen.train.assemble import assemble
from sovgen.train.chance import chance
from sovgen.train.clip import Clip, ClipPlan
from sovgen.train.corpus import corpus
from sovgen.train.dataset import Dataset
from sovgen.train.loop import train
from sovgen.train.metrics import read_metrics
from sovgen.train.plan import Loop, read_plan
from sovgen.train.teacher import taught
from sovgen.train.words import Words, WordsPlan

LOOP = Loop(batch=32, steps=60, warm_up=1, learning_rate=0.01, log_every=1, half_life=64)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WordNet's lines as Debian ships them: a licence indented, then synsets."""
    folder = tmp_path_factory.mktemp("wordnet")
    animals = [f"{LETTERS[i % 26]}{LETTERS[i // 26]}animal" for i in range(260)]
    synsets = [
        f"{i:08d} 05 n 02 {word} 0 wild_{word} 0 001 @ 00000001 n 0000 | a beast of the {word} kind"
        for i, word in enumerate(animals)
    ]
    unseen = "00009999 14 n 01 committee 0 000 | a group of persons"
    (folder / "data.noun").write_text("\n".join(["  1 a licence", *synsets, unseen]) + "\n")
    (folder / "index.verb").write_text("  1 a licence\nrun v 9 1 @ 9 1 1\nonce v 1 1 @ 1 1 1\n")
    (folder / "index.adj").write_text("red a 3 1 & 3 1 1\n")
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder of the real class, as wide as the tiny model's embeddings."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teacher")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{c}" for c in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = BertConfig(
        vocab_size=len(pieces), hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder)
    return folder


def test_corpus_has_captions_words_and_templates(data: Dataset, wordnet: Path) -> None:
    ours, others = corpus(data, wordnet, 0)
    assert {"owl", "bird", "red circle"} <= set(ours)
    assert {"wild aaanimal", "run", "red"} <= set(others)
    assert not {"committee", "once"} & set(others)
    assert any("a beast of the" in phrase for phrase in others)
    assert any("background" in phrase for phrase in others)
    assert not set(ours) & set(others)
    assert corpus(data, wordnet, 0) == (ours, others)
    assert corpus(data, wordnet, 1) != (ours, others)


def test_the_teacher_is_asked_in_any_order_and_answers_in_ours(teacher: Path) -> None:
    phrases = ["a long phrase about an owl", "owl", "fox"]
    rows = taught(teacher, phrases).float()
    torch.testing.assert_close(torch.linalg.norm(rows, dim=1), torch.ones(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(taught(teacher, phrases[1:]).float(), rows[1:], atol=2e-2, rtol=0)


def test_the_tower_learns_what_the_teacher_says(
    data: Dataset, model: Path, wordnet: Path, teacher: Path, tmp_path: Path
) -> None:
    notices: list[str] = []
    given = {"teacher": teacher, "wordnet": wordnet, "on_notice": notices.append}
    objective = Words(data, model, WordsPlan(), **given)
    assert len(notices) == 1 and notices[0].startswith("Asking the teacher for")
    before = objective.validate()
    train(objective, tmp_path / "run", LOOP, minutes=1)
    after = read_metrics(tmp_path / "run")[-1]["held_out"]
    assert after["cosine"] > before["cosine"] + 0.2
    parts = assemble(model, [tmp_path / "run"], tmp_path / "made")
    assert parts == ["image_encoder", "text_encoder", "tokenizer"]
    Words(data, model, WordsPlan(), **given)
    assert len(notices) == 1
    read = Clip(data, tmp_path / "made", ClipPlan(captions=1))
    assert read.samples_before == 7
    kept = objective.learner.projection.detach()
    torch.testing.assert_close(read.texts.projection, kept, atol=0.2, rtol=0)


def test_batches_hold_both_kinds_of_phrase_and_none_held_out(
    data: Dataset, model: Path, wordnet: Path, teacher: Path
) -> None:
    objective = Words(data, model, WordsPlan(), teacher=teacher, wordnet=wordnet, scratch=True)
    ids, rows = objective.batch(chance(0, 0), 40)
    assert len(ids) == len(rows) == 40
    assert ids.shape[1] == int(ids.argmax(1).max()) + 1
    assert not set(objective._held) & set(objective._rows)


def test_without_wordnet_it_says_what_to_install(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="no WordNet") as caught:
        corpus(data, tmp_path, 0)
    assert "wordnet-base" in caught.value.hint


def test_the_packaged_recipe_can_be_read() -> None:
    loop, plan = read_plan(Path("data/train/words.toml"), "words", WordsPlan)
    assert replace(loop, batch=1).batch == 1 and plan.seed == 0
