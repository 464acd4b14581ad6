"""Readers of makings: files in each producer's exact form, and forms that nobody would write."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from index.making import Making
from index.provenance import Metadata, read_making, read_metadata


def png(**texts: str) -> Making | None:
    """The making read back from a PNG with these text chunks."""
    notes = PngInfo()
    for keyword, written in texts.items():
        notes.add_itxt(keyword, written)
    return reopened("PNG", pnginfo=notes)


def with_comment(kind: str, comment: bytes) -> Making | None:
    """The making read back from a JPEG or WebP with this EXIF UserComment."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    return reopened(kind, exif=exif.tobytes())


def reopened(kind: str, **options: object) -> Making | None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, kind, **options)
    with Image.open(out) as image:
        image.load()
        return read_making(read_metadata(image))


class TestSovgen:
    CHUNK = json.dumps(
        {
            "encoder_match": "shared",
            "model_hash": "9f" * 32,
            "recipe": {
                "prompt": "a red fox, ünïcode 🦊",
                "negative": "blurry",
                "seed": 2**63 - 1,
                "model": "sovgen-mini",
                "steps": 20,
                "guidance": 7.5,
                "width": 256,
                "height": 192,
                "sampler": "euler",
                "device": "cpu",
                "dtype": "bfloat16",
            },
            "remark": "kept",
            "version": 1,
        },
        sort_keys=True,
        separators=(",", ":"),
    )

    def test_every_field_comes_back(self) -> None:
        assert png(sovgen=self.CHUNK) == Making(
            producer="sovgen",
            prompt="a red fox, ünïcode 🦊",
            negative="blurry",
            model="sovgen-mini",
            model_hash="9f" * 32,
            sampler="euler",
            steps=20,
            guidance=7.5,
            seed=2**63 - 1,
            width=256,
            height=192,
            device="cpu",
            dtype="bfloat16",
            encoder_match="shared",
            extra={"remark": "kept"},
        )

    def test_it_goes_before_the_a1111_text_beside_it(self) -> None:
        making = png(parameters="a dog\nSteps: 1, Sampler: x, Seed: 2", sovgen=self.CHUNK)
        assert making is not None and making.producer == "sovgen"

    @pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"recipe":7}', '{"recipe":{}}'])
    def test_a_broken_chunk_is_no_making(self, broken: str) -> None:
        assert png(sovgen=broken) is None

    def test_values_of_the_wrong_kind_are_left_out(self) -> None:
        recipe = {"prompt": 7, "seed": "x", "steps": -1, "guidance": float("nan"), "width": True}
        assert png(sovgen=json.dumps({"recipe": recipe})) == Making(producer="sovgen")

    def test_a_field_of_a_later_version_is_kept_as_extra(self) -> None:
        making = png(sovgen='{"recipe":{"prompt":"a","tiling":true},"version":2}')
        assert making is not None and making.extra == {"tiling": True}


class TestA1111:
    TEXT = (
        "a red fox, (sharp:1.2) <lora:ink:0.8>,\n"
        "second line: with, commas\n"
        "Negative prompt: blurry, text\n"
        "watermark\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 12345, "
        "Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Denoising strength: 0.4, "
        'Lora hashes: "ink: 0f1a, gold: 22bb", Template: "say \\"hi\\",\\nplease", Version: v1.10.1'
    )
    EXPECTED = Making(
        producer="a1111",
        prompt="a red fox, (sharp:1.2) <lora:ink:0.8>,\nsecond line: with, commas",
        negative="blurry, text\nwatermark",
        model="v1-5-pruned",
        model_hash="6ce0161689",
        sampler="DPM++ 2M",
        steps=20,
        guidance=7.5,
        seed=12345,
        width=512,
        height=768,
        settings={"schedule": "karras", "loras": ("ink:0.8",)},
        extra={
            "Denoising strength": "0.4",
            "Lora hashes": "ink: 0f1a, gold: 22bb",
            "Template": 'say "hi",\nplease',
            "Version": "v1.10.1",
        },
    )

    def test_a_png_with_every_trick_of_the_format(self) -> None:
        assert png(parameters=self.TEXT) == self.EXPECTED

    def test_settings_with_columns_are_typed_and_others_kept_as_written(self) -> None:
        making = png(
            parameters="a fox\nSteps: 20, Sampler: Euler, Schedule type: Align Your Steps GITS, "
            "Clip skip: 2, Skip Early CFG: 0.2, Seed: 1"
        )
        assert making is not None
        assert making.settings == {"clip_skip": 2, "guidance_from": 0.2}
        assert making.extra == {"Schedule type": "Align Your Steps GITS"}

    def test_a_refiner_and_a_variation_are_read_where_both_their_halves_are_told(self) -> None:
        line = "a fox\nSteps: 20, Sampler: Euler, Seed: 1, Variation seed: 5, "
        making = png(
            parameters=line + "Refiner: sd_xl_refiner_1.0 [7440042bbd], Refiner switch at: 0.8"
        )
        assert making is not None
        assert making.settings == {"refiner": "sd_xl_refiner_1.0", "refine_from": 0.8}
        assert making.extra == {"Variation seed": "5"}
        making = png(parameters=line + "Variation seed strength: 0.2, Refiner: x")
        assert making is not None
        assert making.settings == {"variation": 0.2, "variation_seed": 5}
        assert making.extra == {"Refiner": "x"}

    def test_a_latin1_chunk_reads_the_same(self) -> None:
        notes = PngInfo()
        notes.add_text("parameters", self.TEXT)
        assert reopened("PNG", pnginfo=notes) == self.EXPECTED

    @pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
    @pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
    def test_jpeg_and_webp_carry_it_in_the_user_comment(self, kind: str, order: str) -> None:
        assert with_comment(kind, b"UNICODE\x00" + self.TEXT.encode(order)) == self.EXPECTED

    def test_an_ascii_comment(self) -> None:
        assert with_comment("JPEG", b"ASCII\x00\x00\x00" + self.TEXT.encode()) == self.EXPECTED

    def test_letters_beyond_latin_in_a_comment(self) -> None:
        text = "赤い狐 🦊\nSteps: 1, Sampler: Euler, Seed: 3"
        making = with_comment("JPEG", b"UNICODE\x00" + text.encode("utf-16-be"))
        assert making is not None and making.prompt == "赤い狐 🦊"

    def test_windows_line_ends(self) -> None:
        assert png(parameters=self.TEXT.replace("\n", "\r\n")) is not None
        making = png(parameters="a fox\r\nNegative prompt: b\r\nSteps: 1, Sampler: x, Seed: 2")
        assert making is not None and (making.prompt, making.negative) == ("a fox", "b")

    def test_without_a_negative_prompt(self) -> None:
        making = png(parameters="a fox\nSteps: 1, Sampler: Euler a, Seed: 2")
        assert making is not None and (making.prompt, making.negative) == ("a fox", "")

    def test_a_negative_prompt_alone(self) -> None:
        making = png(parameters="Negative prompt: b\nSteps: 1, Sampler: Euler a, Seed: 2")
        assert making is not None and (making.prompt, making.negative) == ("", "b")

    def test_two_pairs_are_no_line_of_parameters(self) -> None:
        making = png(parameters="a fox\nMood: calm, Light: soft")
        assert making is not None
        assert making.prompt == "a fox\nMood: calm, Light: soft" and making.steps is None

    def test_a_photographers_remark_is_no_making(self) -> None:
        assert with_comment("JPEG", b"ASCII\x00\x00\x00Holiday: sea, sun") is None

    def test_a_very_long_line_takes_no_quadratic_time(self) -> None:
        making = png(parameters="a fox\n" + "word " * 150_000)
        assert making is not None and making.steps is None


def test_a_file_without_metadata_has_no_making() -> None:
    assert png() is None
    assert png(Software="GIMP", Author="me") is None


KEYS = st.sampled_from(
    "recipe prompt negative seed model model_hash steps guidance width height extra version".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["Steps: 20", "Seed: 1", "Size: 5x5", "Sampler:", '"', "\n", ",", "Negative prompt:", "{", "\\"]
)
WRITTEN = (
    st.text(max_size=40)
    | JSON.map(lambda value: json.dumps(value))
    | st.lists(WORDS | st.text(max_size=3), max_size=12).map(" ".join)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["sovgen", "parameters"]), WRITTEN, max_size=3), WRITTEN)
def test_no_reader_raises_and_all_is_fit_to_keep(texts: dict[str, str], comment: str) -> None:
    assert_fit(read_making(Metadata(texts=texts, comment=comment)))


def assert_fit(making: Making | None) -> None:
    """Every value is what a database and JSON take: no lone surrogate, no NaN, 64 bits."""
    if making is None:
        return
    for name, value in vars(making).items():
        if isinstance(value, str):
            value.encode("utf-8")
            assert "\x00" not in value, name
        if isinstance(value, int):
            assert -(2**63) <= value < 2**63, name
    json.dumps(dict(making.extra), allow_nan=False).encode("utf-8")
