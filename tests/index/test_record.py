"""Reading pictures: whatever is in the file, a person gets the picture or one clear line."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import struct
import tempfile
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, features
from PIL.PngImagePlugin import PngInfo

from index.errors import UnreadableImage
from index.pixels import pixel_id
from index.record import candidates, read_picture
from tests.index.samples import nobody, noise, saved


def reason(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(path)
    assert "\n" not in caught.value.message
    assert caught.value.message == f"Cannot read {path}: {caught.value.reason}."
    return caught.value.reason


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header_of(width: int, height: int) -> bytes:
    start = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )
    return start + chunk(b"IDAT", zlib.compress(b"\x00" * 1000)) + chunk(b"IEND", b"")


class TestOrdinaryPictures:
    def test_a_record_says_what_the_file_is(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", noise())
        record, image = read_picture(path)
        data = path.read_bytes()
        assert (record.width, record.height, record.frames, record.media) == (
            24,
            16,
            1,
            "image/png",
        )
        assert record.bytes == len(data)
        assert record.file_sha256 == hashlib.sha256(data).hexdigest()
        assert record.mtime_ns == path.stat().st_mtime_ns
        assert record.path == path and record.raw_path is None and record.making is None
        assert image.mode == "RGB" and image.tobytes() == noise().tobytes()

    def test_the_id_is_52_characters_of_lower_case_base32(self) -> None:
        name = pixel_id(noise())
        assert len(name) == 52 and set(name) <= set("abcdefghijklmnopqrstuvwxyz234567")

    def test_the_id_never_changes_between_versions(self) -> None:
        image = Image.frombytes("RGB", (2, 1), bytes(range(6)))
        expected = hashlib.sha256(b"RGB 2 1\n" + bytes(range(6))).digest()
        assert pixel_id(image) == base64.b32encode(expected).decode().rstrip("=").lower()

    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
    def test_lossless_formats_of_the_same_pixels_are_one_picture(
        self, tmp_path: Path, suffix: str
    ) -> None:
        options = {"lossless": True} if suffix == ".webp" else {}
        path = saved(tmp_path / f"a{suffix}", noise(), **options)
        assert read_picture(path)[0].id == pixel_id(noise())

    def test_metadata_and_compression_do_not_change_the_id(self, tmp_path: Path) -> None:
        notes = PngInfo()
        notes.add_text("parameters", "a fox")
        path = saved(tmp_path / "a.png", noise(), pnginfo=notes, compress_level=0)
        assert read_picture(path)[0].id == pixel_id(noise())

    @pytest.mark.parametrize("behind", [True, False])
    def test_a_text_too_long_to_read_does_not_cost_the_picture(
        self, tmp_path: Path, behind: bool
    ) -> None:
        notes = PngInfo()
        long = zlib.compress(b"a " * 1_000_000)
        notes.add(b"zTXt", b"workflow\x00\x00" + long, after_idat=behind)
        path = saved(tmp_path / "a.png", noise(), pnginfo=notes)
        record, _ = read_picture(path)
        assert record.id == pixel_id(noise()) and record.bytes == path.stat().st_size

    def test_one_changed_pixel_or_another_shape_is_another_picture(self) -> None:
        changed = noise()
        changed.putpixel((0, 0), (1, 2, 3))
        turned = Image.frombytes("RGB", (16, 24), noise().tobytes())
        assert len({pixel_id(noise()), pixel_id(changed), pixel_id(turned)}) == 3

    def test_the_returned_image_carries_no_metadata(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.jpg", noise(), comment=b"secret prompt")
        assert read_picture(path)[1].info == {}

    def test_avif_is_read(self, tmp_path: Path) -> None:
        assert features.check("avif")
        record, _ = read_picture(saved(tmp_path / "a.avif", noise()))
        assert record.media == "image/avif"


class TestColourModes:
    def test_an_alpha_that_hides_nothing_is_no_alpha(self) -> None:
        clear = noise()
        clear.putalpha(255)
        assert pixel_id(clear) == pixel_id(noise())

    def test_one_clear_pixel_keeps_the_alpha(self, tmp_path: Path) -> None:
        clear = noise()
        clear.putalpha(255)
        clear.putpixel((3, 3), (1, 2, 3, 254))
        record, image = read_picture(saved(tmp_path / "a.png", clear))
        assert image.mode == "RGBA" and record.id == pixel_id(clear) != pixel_id(noise())

    def test_a_palette_is_the_colours_it_stands_for(self, tmp_path: Path) -> None:
        palette = noise().quantize(16)
        record, image = read_picture(saved(tmp_path / "a.png", palette))
        assert image.mode == "RGB" and record.id == pixel_id(palette.convert("RGB"))

    @pytest.mark.parametrize("clear", [3, b"\xff\x00\x80\x10"])
    def test_a_palette_with_transparency_is_rgba(self, tmp_path: Path, clear: int | bytes) -> None:
        path = saved(tmp_path / "a.png", noise().quantize(16), transparency=clear)
        record, image = read_picture(path)
        assert image.mode == "RGBA" and image.getchannel("A").getextrema()[0] < 255
        assert record.id == pixel_id(image)

    def test_cmyk_jpeg_is_read_in_its_colours(self, tmp_path: Path) -> None:
        red = Image.new("RGB", (16, 16), (200, 30, 30)).convert("CMYK")
        record, image = read_picture(saved(tmp_path / "a.jpg", red, quality=100))
        assert record.media == "image/jpeg" and image.mode == "RGB"
        assert np.abs(np.asarray(image, int)[8, 8] - (200, 30, 30)).max() <= 4

    @pytest.mark.parametrize("mode", ["L", "1", "LA"])
    def test_grey_is_shown_as_rgb(self, tmp_path: Path, mode: str) -> None:
        _, image = read_picture(saved(tmp_path / "a.png", noise(mode="L").convert(mode)))
        assert image.mode == "RGB"

    def test_16_bit_grey_is_told_apart_by_its_low_bits_and_shown_in_8(self, tmp_path: Path) -> None:
        deep = np.linspace(0, 65535, 24 * 16).reshape(16, 24).astype(np.uint16)
        first, image = read_picture(saved(tmp_path / "a.png", Image.fromarray(deep)))
        second, _ = read_picture(saved(tmp_path / "b.png", Image.fromarray(deep ^ 1)))
        assert first.id != second.id
        shown = np.asarray(image)
        assert image.mode == "RGB" and shown.min() == 0 and shown.max() == 255
        assert np.abs(shown[..., 0] - deep / 257).max() <= 0.5

    def test_a_float_tiff_is_stretched_to_what_a_screen_shows(self, tmp_path: Path) -> None:
        values = np.linspace(-3, 5, 64, dtype=np.float32).reshape(8, 8)
        values[0, 0] = np.nan
        _, image = read_picture(saved(tmp_path / "a.tif", Image.fromarray(values)))
        assert image.getextrema()[0] == (0, 255)


class TestOrientation:
    @pytest.mark.parametrize("value", range(1, 9))
    def test_every_orientation_comes_out_upright(self, tmp_path: Path, value: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = value
        path = saved(tmp_path / "a.png", noise(), exif=exif)
        record, image = read_picture(path)
        with Image.open(path) as raw:
            upright = ImageOps.exif_transpose(raw)
        assert (record.width, record.height) == upright.size == image.size
        assert record.id == pixel_id(upright) == pixel_id(Image.open(path))

    def test_a_turned_jpeg_has_its_sides_exchanged(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        record, _ = read_picture(saved(tmp_path / "a.jpg", noise(), exif=exif))
        assert (record.width, record.height) == (16, 24)

    @pytest.mark.parametrize(
        "block", [b"", b"II", b"Exif\x00\x00", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"\x00" * 40]
    )
    def test_a_broken_exif_block_does_not_cost_the_picture(
        self, tmp_path: Path, block: bytes
    ) -> None:
        record, _ = read_picture(saved(tmp_path / "a.png", noise(), exif=block))
        assert record.id == pixel_id(noise())


class TestAnimations:
    @pytest.mark.parametrize(("suffix", "media"), [(".webp", "image/webp"), (".png", "image/png")])
    def test_all_frames_are_the_picture_and_the_first_is_shown(
        self, tmp_path: Path, suffix: str, media: str
    ) -> None:
        frames = [noise(seed=n) for n in range(3)]
        options: dict[str, object] = {"lossless": True} if suffix == ".webp" else {}
        path = saved(
            tmp_path / f"a{suffix}", frames[0], save_all=True, append_images=frames[1:], **options
        )
        record, image = read_picture(path)
        assert (record.frames, record.media) == (3, media)
        assert image.tobytes() == frames[0].tobytes()
        other = saved(
            tmp_path / f"b{suffix}",
            frames[0],
            save_all=True,
            append_images=frames[:0:-1],
            **options,
        )
        assert read_picture(other)[0].id not in (record.id, pixel_id(frames[0]))

    def test_an_animated_gif_is_read(self, tmp_path: Path) -> None:
        frames = [noise(seed=n).quantize(8) for n in range(4)]
        path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
        record, image = read_picture(path)
        assert (record.frames, record.media, image.mode) == (4, "image/gif", "RGB")

    def test_pages_of_different_sizes_are_all_taken_in(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.tif", noise(), save_all=True, append_images=[noise(8, 8)])
        record, _ = read_picture(path)
        assert record.frames == 2 and (record.width, record.height) == (24, 16)

    def test_a_phones_jpeg_with_a_second_picture_is_a_still(self, tmp_path: Path) -> None:
        both = io.BytesIO()
        noise().save(both, "MPO", save_all=True, append_images=[noise(8, 8)])
        path = tmp_path / "a.jpg"
        path.write_bytes(both.getvalue())
        record, _ = read_picture(path)
        assert (record.frames, record.media) == (1, "image/jpeg")


class TestWhatIsNoPicture:
    def test_text_named_png(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_text("ein Füchslein, " * 400)
        assert reason(path) == "it is text, not a picture"

    def test_bytes_of_no_known_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(bytes(range(256)) * 4)
        assert reason(path) == "it is no picture of a known kind"

    def test_an_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.touch()
        assert reason(path) == "the file is empty"

    def test_a_folder(self, tmp_path: Path) -> None:
        assert reason(tmp_path) == "it is a folder"

    def test_a_vanished_file(self, tmp_path: Path) -> None:
        assert reason(tmp_path / "a.png") == "there is no such file"

    def test_a_forbidden_file(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", noise())
        path.chmod(0)
        with nobody():
            assert reason(path) == "no permission to read it"

    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.png")
        assert reason(tmp_path / "a.png") == "it is a device or a pipe, not a file"

    def test_a_name_with_nul(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableImage, match="null"):
            read_picture(f"{tmp_path}/a\x00b.png")

    def test_a_name_too_long(self, tmp_path: Path) -> None:
        assert "too long" in reason(tmp_path / ("a" * 300 + ".png"))

    def test_postscript_is_not_handed_to_another_program(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
        assert reason(path) == "it is text, not a picture"

    def test_a_bomb_is_refused_before_it_is_decoded(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(header_of(60_000, 60_000))
        assert "more than 178,956,970 pixels" in reason(path)

    def test_a_long_animation_is_refused_before_it_is_decoded(self, tmp_path: Path) -> None:
        control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 10_000, 10_000, 0, 0, 1, 1, 0, 0))
        start, rest = header_of(10_000, 10_000)[:33], header_of(10_000, 10_000)[33:]
        path = tmp_path / "a.png"
        path.write_bytes(start + chunk(b"acTL", struct.pack(">II", 50, 0)) + control + rest)
        assert reason(path) == "50 frames of 10,000 x 10,000 are too much to decode"

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tif", ".bmp"])
    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.8])
    def test_truncated(self, tmp_path: Path, suffix: str, share: float) -> None:
        whole = saved(tmp_path / f"a{suffix}", noise(200, 200)).read_bytes()
        path = tmp_path / f"b{suffix}"
        path.write_bytes(whole[: int(len(whole) * share) + 8])
        assert "truncated" in reason(path) or "damaged" in reason(path)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF"]))
    def test_flipped_bytes_give_a_picture_or_a_line(self, seed: int, kind: str) -> None:
        chance = random.Random(seed)
        out = io.BytesIO()
        noise().save(out, kind)
        data = bytearray(out.getvalue())
        for _ in range(chance.randrange(1, 9)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.png")
            path.write_bytes(data)
            try:
                record, image = read_picture(path)
            except UnreadableImage as error:
                assert error.reason
            else:
                assert image.size == (record.width, record.height)


class TestNames:
    def test_a_name_that_is_not_utf8(self, tmp_path: Path) -> None:
        raw = os.fsencode(tmp_path) + b"/f\xfcchs.png"
        path = Path(os.fsdecode(raw))
        saved(tmp_path / "a.png", noise()).rename(path)
        record, _ = read_picture(path)
        assert record.raw_path == raw and record.path == path

    def test_an_error_about_such_a_name_can_be_printed(self, tmp_path: Path) -> None:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfcchs.png"))
        with pytest.raises(UnreadableImage) as caught:
            read_picture(path)
        assert r"f\xfcchs.png" in caught.value.message.encode("utf-8").decode("utf-8")


class TestPillowIsLeftAsItWas:
    def test_no_warning_leaks_and_no_setting_changes(self, tmp_path: Path) -> None:
        broken = saved(
            tmp_path / "a.png", noise(), exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff"
        )
        big = tmp_path / "big.png"
        big.write_bytes(header_of(9_500, 9_500))  # within Pillow's limit, above its warning
        before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_picture(broken)
            with pytest.raises(UnreadableImage, match="truncated"):
                read_picture(big)
        after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
        assert before == after

    def test_threads_leave_the_warning_filters_as_they_were(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", noise(200, 200))
        before = list(warnings.filters)
        readers = [threading.Thread(target=read_picture, args=(path,)) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert list(warnings.filters) == before


class TestCandidates:
    def test_folders_are_walked_in_order_without_hidden_and_other_files(
        self, tmp_path: Path
    ) -> None:
        names = "b.png a/z.JPG a/.x.png .git/c.png c.txt a.webp d/e/f.gif".split()
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        found = [str(path.relative_to(tmp_path)) for path in candidates([tmp_path])]
        assert found == ["a/z.JPG", "a.webp", "b.png", "d/e/f.gif"]

    def test_what_is_named_is_given_even_when_it_is_no_picture(self, tmp_path: Path) -> None:
        named = [tmp_path / "notes.txt", tmp_path / ".hidden.png", tmp_path / "missing.png"]
        named[0].touch()
        assert list(candidates(named)) == named

    def test_nothing_is_given_twice(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", noise())
        assert list(candidates([path, tmp_path, str(path)])) == [path]

    def test_links_to_folders_are_not_followed(self, tmp_path: Path) -> None:
        saved(tmp_path / "a.png", noise())
        (tmp_path / "loop").symlink_to(tmp_path)
        (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
        assert [path.name for path in candidates([tmp_path])] == ["a.png", "b.png"]

    def test_a_folder_that_cannot_be_listed_is_said_so(self) -> None:
        # pytest's own folders are closed to others; this one lets them in as far as the last door
        with tempfile.TemporaryDirectory() as top:
            os.chmod(top, 0o755)
            os.mkdir(f"{top}/closed", mode=0o000)
            with nobody():
                (found,) = candidates([top])
                assert reason(found) == "no permission to read it"

    def test_names_that_are_not_utf8_are_walked(self, tmp_path: Path) -> None:
        raw = os.fsencode(tmp_path) + b"/f\xfcchs.png"
        saved(tmp_path / "a.png", noise()).rename(os.fsdecode(raw))
        assert [os.fsencode(path) for path in candidates([tmp_path])] == [raw]
