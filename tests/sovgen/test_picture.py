"""A picture's bytes: the same everywhere, readable by others, silent when private."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from index.provenance.a1111 import from_text
from index.record import pixel_id, read_picture
from sovgen.picture import Picture, a1111_text, encode_png
from sovgen.recipe import Recipe
from tests.index.rows import EVERY_SETTING

FULL = Recipe(
    prompt="a red fox, flat style",
    negative="blurry, grey",
    seed=7,
    model="sovgen-mini",
    steps=24,
    guidance=3.5,
    width=16,
    height=8,
    sampler="dpm++ 2m karras",
    device="cpu",
    dtype="bfloat16",
)
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
FOX = Picture(Image.new("RGB", (16, 8), "red"), FULL, "41951da83206f372", duration=1.5)
# What a recipe takes where any value of the column's type will not do.
OTHERWISE: dict[str, object] = {
    "backend": "openvino",
    "schedule": "karras",
    "margins": "0,8,0,8",
    "upscale": 2.0,
    "tile": 64,
    "vae_tile": 64,
}


def chunks(data: bytes) -> dict[str, str]:
    return dict(Image.open(io.BytesIO(data)).info)


def test_bytes_are_the_same_whenever_they_are_made() -> None:
    slower = replace(FOX, duration=99.0, notices=("something was said",))
    assert encode_png(FOX) == encode_png(slower)


def test_account_is_sorted_compact_json_that_gives_the_recipe_back() -> None:
    text = chunks(encode_png(FOX))["sovgen"]
    account = json.loads(text)
    assert text == json.dumps(account, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert Recipe.from_dict(account["recipe"]) == FULL
    assert account["version"] == 1
    assert account["model_hash"] == "41951da83206f372"
    assert "duration" not in text
    assert "model_configuration" not in text


def test_every_setting_of_a_recipe_is_read_from_the_file(tmp_path: Path) -> None:
    full = replace(FULL, **{**EVERY_SETTING, **OTHERWISE})
    file = tmp_path / "fox.png"
    file.write_bytes(encode_png(replace(FOX, recipe=full)))
    making = read_picture(file)[0].making
    assert making is not None
    assert making.settings == {name: getattr(full, name) for name in EVERY_SETTING}
    assert not making.extra


def test_a1111_line_is_as_that_program_writes_it() -> None:
    assert a1111_text(FULL, FOX.model_hash).split("\n") == [
        "a red fox, flat style",
        "Negative prompt: blurry, grey",
        "Steps: 24, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 3.5, Seed: 7, "
        "Size: 16x8, Model hash: 41951da832, Model: sovgen-mini, RNG: CPU, Version: sovgen",
    ]


def test_a1111_line_tells_what_steered_the_picture() -> None:
    steered = replace(FULL, sampler="euler", schedule="beta", clip_skip=2, guidance_from=0.25)
    line = a1111_text(steered, FOX.model_hash).split("\n")[-1]
    assert "Sampler: Euler, Schedule type: Beta" in line
    assert "Clip skip: 2, Skip Early CFG: 0.25" in line
    refined = replace(FULL, refiner="sd_xl_refiner_1.0", refine_from=0.8)
    line = a1111_text(refined, FOX.model_hash).split("\n")[-1]
    assert "Refiner: sd_xl_refiner_1.0, Refiner switch at: 0.8" in line


def test_private_picture_does_not_name_the_words_that_its_prompt_may_use() -> None:
    recipe = replace(FULL, embeddings=("xylophone",), loras=("ink:1",))
    sums = {"embeddings": {"xylophone": "00"}, "loras": {"ink": "11"}}
    picture = replace(FOX, recipe=recipe, additions=sums)
    assert b"xylophone" in encode_png(picture)
    private = encode_png(picture, private=True)
    assert b"xylophone" not in private
    assert json.loads(chunks(private)["sovgen"])["additions"] == {"loras": {"ink": "11"}}


def test_a1111_line_has_loras_in_the_prompt_and_is_read_back() -> None:
    text = a1111_text(replace(FULL, loras=("ink:0.8", "v1.5:-2"), vae="soft"), FOX.model_hash)
    assert text.startswith("a red fox, flat style <lora:ink:0.8> <lora:v1.5:-2>\n")
    making = from_text(text)
    assert making.settings == {"schedule": "karras", "loras": ("ink:0.8", "v1.5:-2"), "vae": "soft"}


def test_a1111_line_has_no_negative_where_there_is_none() -> None:
    assert "Negative" not in a1111_text(replace(FULL, negative=""), FOX.model_hash)


def test_picture_says_that_a_model_made_it() -> None:
    xmp = ElementTree.fromstring(chunks(encode_png(FOX))["XML:com.adobe.xmp"].strip("\ufeff"))
    [description] = xmp.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.attrib[SOURCE_TYPE].endswith("/trainedAlgorithmicMedia")


@given(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
)
def test_any_text_is_read_back_as_it_was_written(prompt: str, negative: str) -> None:
    recipe = replace(FULL, prompt=prompt, negative=negative)
    account = json.loads(chunks(encode_png(replace(FOX, recipe=recipe)))["sovgen"])
    assert Recipe.from_dict(account["recipe"]) == recipe


@pytest.mark.parametrize("prompt", ["a red fox", "лиса, 狐狸 🦊", 'say "hi": twice,\nplease'])
def test_library_reads_what_was_written(tmp_path: Path, prompt: str) -> None:
    path = tmp_path / "fox.png"
    fox = replace(FOX, recipe=replace(FULL, prompt=prompt), safety="safe", configuration="0123")
    path.write_bytes(encode_png(fox))
    record, _ = read_picture(path)
    making = record.making
    assert making is not None
    assert (making.producer, making.prompt, making.negative) == ("sovgen", prompt, FULL.negative)
    assert (making.sampler, making.seed, making.guidance) == ("dpm++ 2m karras", 7, 3.5)
    assert (making.model, making.model_hash) == ("sovgen-mini", FOX.model_hash)
    assert (making.safety, record.id) == ("safe", FOX.id)
    assert making.extra == {"model_configuration": "0123"}


def test_id_is_that_of_the_pixels_in_the_file() -> None:
    assert FOX.id == pixel_id(Image.open(io.BytesIO(encode_png(FOX))))


def test_private_picture_says_neither_words_nor_seed() -> None:
    data = encode_png(FOX, private=True)
    assert set(chunks(data)) == {"sovgen", "XML:com.adobe.xmp", "xmp"}
    account = json.loads(chunks(data)["sovgen"])
    assert not {"prompt", "negative", "seed"} & set(account["recipe"])
    for word in (b"fox", b"blurry", b"parameters", b'"seed"'):
        assert word not in data


def test_private_picture_is_still_one_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encode_png(FOX, private=True))
    making = read_picture(path)[0].making
    assert making is not None
    assert (making.producer, making.prompt, making.seed) == ("sovgen", None, None)
    assert making.model == "sovgen-mini"
