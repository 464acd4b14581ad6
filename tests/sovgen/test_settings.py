"""Settings: which of several places a value comes from, and what a bad file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sovgen.errors import BadSettings
from sovgen.settings import KEYS, Settings, config_file, read_settings


@pytest.fixture
def written(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "config.toml"
    file.write_text('library = "from-file"\nmodel = "~/m"\ndevice = "cpu"\n')
    return {"SOVGEN_CONFIG": str(file)}


def test_option_comes_before_variable_before_file_before_default(
    written: dict[str, str], tmp_path: Path
) -> None:
    variable = {"SOVGEN_LIBRARY": str(tmp_path / "from-variable")}
    assert read_settings(tmp_path / "option", written | variable).library == tmp_path / "option"
    assert read_settings(None, written | variable).library == tmp_path / "from-variable"
    assert read_settings(None, written | {"SOVGEN_LIBRARY": ""}).library == tmp_path / "from-file"
    nothing = tmp_path / "empty.toml"
    nothing.touch()
    default = read_settings(None, {"SOVGEN_CONFIG": str(nothing)}).library
    assert default.is_absolute() and default.parts[-2:] == ("sovgen", "library")


def test_values_of_the_file_are_kept_and_home_is_expanded(written: dict[str, str]) -> None:
    settings = read_settings(None, written)
    assert settings == Settings(settings.library, model=str(Path.home() / "m"), device="cpu")


def test_a_relative_library_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert read_settings(Path("x/../y"), {"SOVGEN_CONFIG": str(empty)}).library == tmp_path / "y"


def test_without_the_variable_the_file_is_the_platforms_and_need_not_exist() -> None:
    assert config_file({}).name == "config.toml"


@pytest.mark.parametrize(
    "text,line,word",
    [
        ('device = "cpu"\n\ncolour = "red"\n', "line 3", "'colour' is unknown"),
        ("[library]\npath = 'x'\n", "line 1", "'library' must be text"),
        ("# note\ndevice = 5\n", "line 2", "'device' must be text"),
        ('model = ""\n', "line 1", "'model' must be text"),
        ('"dtype" = 1\n', "line 1", "'dtype' must be text"),
        ("device = \n", "line 1", "not TOML"),
        ('device = "cpu"\ndevice = "cpu"\n', "line 2", "not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: str, word: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(BadSettings) as refused:
        read_settings(None, {"SOVGEN_CONFIG": str(file)})
    assert line in refused.value.message and word in refused.value.message
    assert str(file) in refused.value.message
    assert refused.value.hint


def test_unknown_keys_are_told_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("a.b = 1\n")
    with pytest.raises(BadSettings) as refused:
        read_settings(None, {"SOVGEN_CONFIG": str(file)})
    assert all(key in refused.value.hint for key in KEYS)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_named_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadSettings, match=r"config\.toml"):
        read_settings(None, {"SOVGEN_CONFIG": str(file)})
