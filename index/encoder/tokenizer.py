"""Text to the token ids of CLIP's byte-pair vocabulary, without torch, open_clip or transformers.

A vocabulary comes from a folder's own `vocab.json` and `merges.txt`, from its `tokenizer.json`, or
from open_clip's file. Text is cleaned as CLIP's was in training, whichever of them it is, so that
one text is one row of ids. The two control tokens are put around it here and never read out of it.
Knows nothing of towers.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import importlib.util
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as InTurn

from index.errors import EncoderDamaged, EncoderMissing

_OPEN_CLIP_FILE = "bpe_simple_vocab_16e6.txt.gz"
_OPEN_CLIP_MERGES = 49152 - 256 - 2
_START = ("<|startoftext|>", "<start_of_text>")
_END = ("<|endoftext|>", "<end_of_text>")
_SUFFIX = "</w>"
# open_clip's pattern without the control tokens' names.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Rows of ids, each from the start token to the end token, at most `context_length` long."""

    def __init__(self, files: Sequence[Path], context_length: int) -> None:
        """Read a vocabulary that `vocabulary_files` or `open_clip_vocabulary` found.

        Raises:
            EncoderDamaged: the files hold no byte-pair vocabulary of CLIP's kind.
        """
        self.context_length = context_length
        self._tokenizer = Tokenizer(_read(files))
        words = Split(Regex(_WORDS), "removed", invert=True)
        self._tokenizer.pre_tokenizer = InTurn(
            [words, ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        self.start, self.end = self._control(_START), self._control(_END)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The rows; what is too long loses its tail, never its end token."""
        return [self._row(text) for text in texts]

    def fingerprint(self) -> str:
        """A sha256 that two tokenizers share when they give every text the same ids."""
        model = json.loads(self._tokenizer.to_str())["model"]
        ids = {token: i for token, i in model["vocab"].items() if i not in (self.start, self.end)}
        content = [sorted(ids.items()), model["merges"], self.start, self.end, self.context_length]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _row(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(clean(text), add_special_tokens=False).ids
        return [self.start, *ids[: self.context_length - 2], self.end]

    def _control(self, names: tuple[str, ...]) -> int:
        found = (self._tokenizer.token_to_id(name) for name in names)
        return next(i for i in found if i is not None)


def clean(text: str) -> str:
    """Mojibake and HTML entities repaired, white space joined, in lower case, as in open_clip."""
    if not (text.isascii() and text.isprintable()):
        import ftfy  # leaves printable ASCII as it is, and takes 50 ms to import

        text = ftfy.fix_text(text.encode("utf-8", "replace").decode("utf-8"))
    return " ".join(html.unescape(html.unescape(text)).split()).lower()


def vocabulary_files(folder: Path) -> tuple[Path, ...] | None:
    """The files of a folder's own vocabulary; None when it has none."""
    for names in (("vocab.json", "merges.txt"), ("tokenizer.json",)):
        files = tuple(folder / name for name in names)
        if all(file.is_file() for file in files):
            return files
    return None


def open_clip_vocabulary() -> tuple[Path, ...]:
    """The file in open_clip's package, which is found and not imported.

    Raises:
        EncoderMissing: open_clip is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    for place in spec.submodule_search_locations or () if spec else ():
        if (file := Path(place) / _OPEN_CLIP_FILE).is_file():
            return (file,)
    raise EncoderMissing(
        "This encoder uses open_clip's vocabulary, which is not installed.",
        "Install it with `pip install open-clip-torch`.",
    )


def _read(files: Sequence[Path]) -> BPE:
    try:
        model = _reader(files)
        if all(model.token_to_id(name) is None for name in _END):
            raise ValueError("it has no end of text")
    except Exception as error:  # tokenizers raises bare Exception for what it cannot parse
        name = files[0].name
        raise EncoderDamaged(
            f"The encoder's tokenizer ({name}) cannot be read: {error}.",
            "It is damaged, or not of CLIP's byte-pair kind.",
        ) from error
    return model


def _reader(files: Sequence[Path]) -> BPE:
    if len(files) == 2:
        vocabulary, merges = (str(file) for file in files)
        return BPE.from_file(vocabulary, merges, **_BPE)
    if files[0].suffix == ".gz":
        return _from_open_clip(files[0])
    return _from_json(json.loads(files[0].read_bytes())["model"])


_BPE: dict[str, Any] = {"end_of_word_suffix": _SUFFIX, "continuing_subword_prefix": ""}


def _from_open_clip(file: Path) -> BPE:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        merges = [_pair(line) for line in islice(lines, 1, _OPEN_CLIP_MERGES + 1)]
    letters = sorted(ByteLevel.alphabet())  # in this order by byte, as in open_clip
    joined = ["".join(merge) for merge in merges]
    tokens = [*letters, *(letter + _SUFFIX for letter in letters), *joined, _START[1], _END[1]]
    return BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, **_BPE)


def _from_json(model: dict[str, Any]) -> BPE:
    if model.get("type", "BPE") != "BPE" or model.get("end_of_word_suffix") != _SUFFIX:
        raise ValueError("it splits words in another way")
    merges = [_pair(pair) for pair in model["merges"]]
    return BPE(vocab=model["vocab"], merges=merges, **_BPE)


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split() if isinstance(merge, str) else merge
    return left, right
