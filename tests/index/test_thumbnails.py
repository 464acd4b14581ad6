"""Thumbnails: small, private, whole, and free of what the picture's file said."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from index.atomic import write_atomically
from index.errors import LibraryReadOnly
from index.record import pixel_id
from index.thumbnails import make_thumbnail, read_thumbnail, thumbnail_bytes, thumbnail_path
from tests.index.samples import nobody, noise


def made(image: Image.Image, root: Path) -> Image.Image:
    with Image.open(make_thumbnail(image, pixel_id(image), root)) as small:
        small.load()
        return small


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 512), (256, 128)),
        ((300, 900), (85, 256)),
        ((40, 30), (40, 30)),
        ((5000, 2), (256, 1)),
    ],
)
def test_the_longer_side_has_256_pixels_at_most(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = made(Image.new("RGB", size, "teal"), tmp_path)
    assert small.size == expected and small.format == "WEBP"


def test_it_stands_under_the_first_two_characters_of_its_id(tmp_path: Path) -> None:
    id = pixel_id(noise())
    assert make_thumbnail(noise(), id, tmp_path) == tmp_path / "thumbs" / id[:2] / f"{id}.webp"
    assert thumbnail_path(id, tmp_path).is_file()


def test_files_and_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = make_thumbnail(noise(), pixel_id(noise()), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_looks_like_the_picture(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ramp[None, :, None], (512, 512, 3)).copy())
    small = np.asarray(made(picture, tmp_path).convert("RGB"), int)
    assert np.abs(small[128, :, 0] - ramp[::2].astype(int)).max() < 16


def test_alpha_is_kept(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (400, 400), (200, 0, 0, 0))
    clear.paste((200, 0, 0, 255), (0, 0, 200, 400))
    small = made(clear, tmp_path)
    assert small.mode == "RGBA"
    assert small.getpixel((20, 128))[3] > 250 and small.getpixel((236, 128))[3] < 5


def test_nothing_of_the_files_metadata_goes_along() -> None:
    picture = noise(300, 300)
    picture.info = {
        "exif": b"secret",
        "xmp": b"secret",
        "icc_profile": b"secret",
        "comment": "secret",
    }
    assert b"secret" not in thumbnail_bytes(picture)


def test_the_same_pixels_give_the_same_bytes() -> None:
    assert thumbnail_bytes(noise(300, 300)) == thumbnail_bytes(noise(300, 300))


def test_one_that_stands_is_left_alone(tmp_path: Path) -> None:
    path = make_thumbnail(noise(), pixel_id(noise()), tmp_path)
    before = path.stat().st_mtime_ns
    make_thumbnail(noise(), pixel_id(noise()), tmp_path)
    assert path.stat().st_mtime_ns == before


def test_a_folder_that_refuses_is_said_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with nobody(), pytest.raises(LibraryReadOnly, match="Cannot write into"):
        make_thumbnail(noise(), pixel_id(noise()), closed)


class TestAtomicWriting:
    def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a"
        write_atomically(path, b"old", durable=True)
        with pytest.raises(TypeError):
            write_atomically(path, "no bytes")  # type: ignore[arg-type]
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_file_is_replaced_whole(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "a", b"a longer old file")
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_bytes() == b"new"


def test_no_flipped_bit_is_taken_for_what_was_written(tmp_path: Path) -> None:
    small = Image.new("RGB", (12, 12), "teal")
    id = pixel_id(small)
    path = make_thumbnail(small, id, tmp_path)
    data = path.read_bytes()
    assert read_thumbnail(id, tmp_path) == data
    for at in range(len(data)):
        for bit in range(8):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            assert read_thumbnail(id, tmp_path) is None, (at, bit)


def test_its_checksum_stands_where_exif_has_the_identifier_of_a_picture(tmp_path: Path) -> None:
    with Image.open(make_thumbnail(noise(), pixel_id(noise()), tmp_path)) as small:
        exif = small.getexif().get_ifd(ExifTags.IFD.Exif)
    assert set(exif) == {ExifTags.Base.ImageUniqueID}


def test_one_that_is_not_there_is_not_read(tmp_path: Path) -> None:
    assert read_thumbnail(pixel_id(noise()), tmp_path) is None
