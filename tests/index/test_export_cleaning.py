"""Files as they leave: the same pixels under the same id, and not one word of what was beside."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from index.export.cleaning import cleaned
from index.export.stealth import hides_text
from index.record import picture_of
from index.stripping import strip
from tests.index.samples import noise

SECRET = b"a red fox in the snow"


def secretive(kind: str, image: Image.Image, **options: object) -> bytes:
    """A file with the secret in every place that its format has for it."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\x00\x00\x00" + SECRET
    out = io.BytesIO()
    if kind == "PNG":
        notes = PngInfo()
        notes.add_text("parameters", SECRET.decode())
        notes.add_text("zipped", SECRET.decode(), zip=True)
        notes.add_itxt("sovgen", SECRET.decode(), zip=True)
        notes.add(b"prVt", SECRET)
        options = {"pnginfo": notes, "icc_profile": SECRET * 9} | options
    if kind in ("JPEG", "GIF"):
        options = {"comment": SECRET} | options
    if kind in ("JPEG", "WEBP"):
        options = {"xmp": SECRET, "icc_profile": SECRET * 9} | options
    image.save(out, kind, **({"exif": exif.tobytes()} | options))
    return out.getvalue() + SECRET


def clean(data: bytes) -> tuple[bytes, str]:
    """What `cleaned` answers, once it is known to be the same picture and silent about it."""
    record, image = picture_of(Path("a"), data, 0)
    found, suffix = cleaned(data, record, image)
    assert not mentions(found, SECRET)
    again, _ = picture_of(Path("a"), found, 0)
    assert again.id == record.id and again.frames == record.frames and again.making is None
    return found, suffix


def mentions(data: bytes, words: bytes) -> bool:
    """Whether the words stand in the bytes, in UTF-16, or in anything that was compressed."""
    spellings = (words, words.decode().encode("utf-16-be"), words.decode().encode("utf-16-le"))
    hay = [data, *inflated(data)]
    return any(spelling in text for spelling in spellings for text in hay)


def inflated(data: bytes) -> list[bytes]:
    """Everything in the bytes that zlib can unpack, wherever it begins."""
    found = []
    for place in range(len(data) - 2):
        if data[place] == 0x78 and (data[place] * 256 + data[place + 1]) % 31 == 0:
            try:
                found.append(zlib.decompressobj().decompress(data[place:], 10_000_000))
            except zlib.error:
                continue
    return found


class TestStripping:
    @pytest.mark.parametrize(
        ("kind", "suffix", "options"),
        [
            ("PNG", ".png", {}),
            ("JPEG", ".jpg", {}),
            ("JPEG", ".jpg", {"progressive": True, "subsampling": 2}),
            ("JPEG", ".jpg", {"restart_marker_rows": 1}),
            ("WEBP", ".webp", {"lossless": True}),
            ("WEBP", ".webp", {"quality": 60}),
            ("GIF", ".gif", {}),
        ],
    )
    def test_the_coded_pixels_are_left_as_they_are(
        self, kind: str, suffix: str, options: dict[str, object]
    ) -> None:
        data = secretive(kind, noise(60, 40), **options)
        assert mentions(data, SECRET)
        found, given_suffix = clean(data)
        assert given_suffix == suffix and len(found) < len(data)
        assert found == strip(data)[0]  # type: ignore[index]
        assert strip(found) == (found, suffix)

    @pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1", "I;16"])
    def test_png_modes_keep_their_depth(self, mode: str) -> None:
        image = noise(30, 20, "L").convert(mode if mode != "I;16" else "I")
        if mode == "I;16":
            deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 109
            image = Image.fromarray(deep)
        found, _ = clean(secretive("PNG", image))
        with Image.open(io.BytesIO(found)) as again:
            assert again.mode == image.mode

    def test_a_palette_keeps_its_transparency(self) -> None:
        found, _ = clean(secretive("PNG", noise().quantize(8), transparency=3))
        assert picture_of(Path("a"), found, 0)[1].mode == "RGBA"

    def test_a_cmyk_jpeg_keeps_the_marker_that_says_how_colours_are_coded(self) -> None:
        found, suffix = clean(secretive("JPEG", noise(40, 40).convert("CMYK")))
        assert suffix == ".jpg" and b"Adobe" in found

    @pytest.mark.parametrize(
        ("kind", "suffix", "options"),
        [
            ("PNG", ".png", {}),
            ("WEBP", ".webp", {"lossless": True}),
            ("GIF", ".gif", {"loop": 0}),
            ("TIFF", ".tif", {}),
        ],
    )
    def test_animations_keep_every_frame(
        self, kind: str, suffix: str, options: dict[str, object]
    ) -> None:
        frames = [noise(30, 20, seed=n) for n in (1, 2, 2, 3)]
        data = secretive(kind, frames[0], save_all=True, append_images=frames[1:], **options)
        found, given_suffix = clean(data)
        assert given_suffix == suffix
        with Image.open(io.BytesIO(found)) as again:
            assert again.n_frames == picture_of(Path("a"), data, 0)[0].frames > 1

    def test_a_phones_second_picture_is_not_taken_along(self) -> None:
        data = secretive("MPO", noise(60, 40), save_all=True, append_images=[noise(30, 30)])
        found, suffix = clean(data)
        assert suffix == ".jpg" and found.count(b"\xff\xd8\xff") == 1

    def test_a_jpeg_thumbnail_is_dropped(self) -> None:
        data = bytearray(secretive("JPEG", noise()))
        assert data[2:4] == b"\xff\xe0" and data[6:11] == b"JFIF\x00"
        body = data[6:18] + b"\x01\x01" + b"red"
        data[2:20] = b"\xff\xe0" + struct.pack(">H", len(body) + 2) + body
        found, _ = clean(bytes(data))
        assert b"\x01\x01red" not in found

    @pytest.mark.parametrize("kind", ["BMP", "TIFF", "AVIF"])
    def test_other_formats_leave_as_png(self, kind: str) -> None:
        out = io.BytesIO()
        noise(60, 40).save(out, kind)
        assert clean(out.getvalue())[1] == ".png"

    def test_a_float_tiff_stays_one(self) -> None:
        out = io.BytesIO()
        values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
        Image.fromarray(values).save(out, "TIFF", description=SECRET.decode())
        assert clean(out.getvalue())[1] == ".tif"

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    @pytest.mark.parametrize("turn", [2, 6, 8])
    def test_a_turn_is_done_before_the_word_of_it_is_lost(self, kind: str, turn: int) -> None:
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = turn, SECRET.decode()
        found, suffix = clean(secretive(kind, noise(60, 40), exif=exif.tobytes()))
        assert suffix == ".png"
        with Image.open(io.BytesIO(found)) as again:
            assert again.size == ((60, 40) if turn == 2 else (40, 60))

    def test_the_same_file_gives_the_same_bytes(self) -> None:
        data = secretive("PNG", noise())
        assert clean(data) == clean(data)

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]),
        st.integers(0, 700),
        st.binary(max_size=4),
        st.booleans(),
    )
    def test_broken_blocks_never_raise_and_never_loop(
        self, kind: str, place: int, junk: bytes, cut: bool
    ) -> None:
        data = secretive(kind, noise(8, 8))
        broken = data[:place] if cut else data[:place] + junk + data[place + len(junk) :]
        found = strip(broken)
        assert found is None or len(found[0]) <= len(broken) + 64


class TestHiddenText:
    """The layout in which several generators hide their settings in the pixels themselves."""

    @pytest.mark.parametrize("where", ["alpha", "rgb"])
    @pytest.mark.parametrize("compressed", [True, False])
    def test_it_is_found_and_cleared(self, where: str, compressed: bool) -> None:
        image = with_hidden_text(where, compressed)
        assert hides_text(image) and hidden(image, where, compressed) == SECRET
        data = secretive("PNG", image)
        record, decoded = picture_of(Path("a"), data, 0)
        found, suffix = cleaned(data, record, decoded)
        after, again = picture_of(Path("a"), found, 0)
        assert suffix == ".png" and not mentions(found, SECRET)
        assert not hides_text(again) and after.id != record.id
        difference = np.abs(np.asarray(again.convert("RGB"), int) - np.asarray(noise(50, 40), int))
        assert difference.max() <= 1

    def test_an_ordinary_picture_hides_nothing(self) -> None:
        for image in (noise(), noise(mode="RGBA"), noise(1, 1), Image.new("RGBA", (3, 300))):
            assert not hides_text(image)


def with_hidden_text(where: str, compressed: bool) -> Image.Image:
    picture = noise(50, 40)
    signature = f"stealth_{'png' if where == 'alpha' else 'rgb'}{'comp' if compressed else 'info'}"
    payload = gzip.compress(SECRET, mtime=0) if compressed else SECRET
    message = signature.encode() + struct.pack(">I", len(payload) * 8) + payload
    bits = np.unpackbits(np.frombuffer(message, np.uint8))
    picture.putalpha(255)
    values = np.array(picture).transpose(1, 0, 2).copy()
    band = slice(3, 4) if where == "alpha" else slice(0, 3)
    layer = values[..., band].reshape(-1)
    layer[: len(bits)] = (layer[: len(bits)] & 0xFE) | bits
    values[..., band] = layer.reshape(values[..., band].shape)
    image = Image.fromarray(values.transpose(1, 0, 2).copy())
    return image if where == "alpha" else image.convert("RGB")


def hidden(image: Image.Image, where: str, compressed: bool) -> bytes:
    values = np.asarray(image).transpose(1, 0, 2)
    layer = (values[..., 3:] if where == "alpha" else values[..., :3]).reshape(-1) & 1
    message = np.packbits(layer).tobytes()
    (length,) = struct.unpack_from(">I", message, 15)
    payload = message[19 : 19 + length // 8]
    return gzip.decompress(payload) if compressed else payload
