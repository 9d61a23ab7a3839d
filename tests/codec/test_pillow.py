"""The plugin of Pillow, and imageio through it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import rgru_codec
import rgru_codec.pillow

from .conftest import photo, profile


@pytest.fixture(autouse=True)
def registered() -> None:
    rgru_codec.pillow.register()


@pytest.fixture
def path(data: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "a.rgru"
    path.write_bytes(data)
    return path


def test_open_reads_the_header_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(rgru_codec.pillow, "Decoder", fail)
    with Image.open(path) as image:
        assert (image.format, image.size, image.mode) == ("RGRU", (40, 48), "RGB")
        assert image.get_format_mimetype() == "image/x-rgru"


def test_load_decodes(path: Path, data: bytes) -> None:
    with Image.open(path, formats=["RGRU"]) as image:
        assert image.tobytes() == rgru_codec.decompress(data).tobytes()
        assert image.info["layers"] == rgru_codec.default_model().iterations


def test_metadata_is_there_at_open(alpha_data: bytes) -> None:
    image = Image.open(io.BytesIO(alpha_data))
    assert image.mode == "RGBA"
    assert image.info == {"icc_profile": profile(), "xmp": b"<x/>"}
    assert image.tobytes() == rgru_codec.decompress(alpha_data).tobytes()


def test_large_metadata() -> None:
    data = rgru_codec.compress(photo(16, 16), layers=1, icc_profile=profile(50_000))
    assert len(Image.open(io.BytesIO(data)).info["icc_profile"]) == 50_000


def test_draft_takes_fewer_layers(path: Path, data: bytes) -> None:
    with Image.open(path) as image:
        assert image.draft(None, (8, 8)) == ("RGB", (0, 0, 40, 48))
        asked = image.info["layers"]
        image.load()
        assert image.info["layers"] == asked < rgru_codec.default_model().iterations
        assert image.tobytes() == rgru_codec.decompress(data, asked).tobytes()
        assert image.draft(None, (8, 8)) is None, "too late"
    with Image.open(path) as image:
        image.thumbnail((8, 8))
        assert image.size == (7, 8)


def test_use_layers(path: Path, data: bytes) -> None:
    with Image.open(path) as image:
        assert isinstance(image, rgru_codec.pillow.RgruImageFile)
        image.use_layers(2)
        assert image.tobytes() == rgru_codec.decompress(data, 2).tobytes()


def test_save_options(pixels: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = profile()
    path = tmp_path / "a.rgru"
    image.save(path, layers=2)
    assert path.read_bytes() == rgru_codec.compress(pixels, layers=2, icc_profile=profile())
    image.save(path, target_size=300, icc_profile=None)
    assert path.read_bytes() == rgru_codec.compress(pixels, target_size=300)
    image.save(path, bpp=2, strip=True)
    assert path.read_bytes() == rgru_codec.compress(pixels, bpp=2)
    image.save(path, quality=1, icc_profile=profile(text=b"other"), xmp=b"<x/>")
    with Image.open(path) as found:
        assert found.info == {"icc_profile": profile(text=b"other"), "xmp": b"<x/>"}


def test_save_exif(pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Cam"
    for value in (exif, exif.tobytes()):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "RGRU", layers=1, exif=value)
        assert Image.open(file).getexif()[0x010F] == "Cam"


def test_save_says_what_is_wrong(pixels: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(pixels)
    with pytest.raises(ValueError, match=r"quality must be 1\.\.100, got 500"):
        image.save(tmp_path / "a.rgru", quality=500)
    assert not (tmp_path / "a.rgru").exists()
    with pytest.raises(ValueError, match="more than 8 bits"):
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "b.rgru")


def test_cut_files_are_normal(data: bytes) -> None:
    half = data[: len(data) // 2]
    assert Image.open(io.BytesIO(half)).tobytes() == rgru_codec.decompress(half).tobytes()


def test_damaged_files(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = bytearray(data)
    broken[-1] ^= 1
    with pytest.raises(OSError, match="checksum"):
        Image.open(io.BytesIO(broken)).load()
    with pytest.raises(OSError, match="checksum"):
        Image.open(io.BytesIO(broken)).verify()
    Image.open(io.BytesIO(data)).verify()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.open(io.BytesIO(broken)).load()


def test_other_files() -> None:
    with pytest.raises(OSError, match="ends inside the header, after 8 bytes"):
        Image.open(io.BytesIO(b"\x89RGRU\r\n\x1a"))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"rubbish" * 9))


def test_a_missing_model(data: bytes) -> None:
    from rgru_format import Header

    image = Image.open(io.BytesIO(Header(8, 8, b"none").pack()))
    assert image.size == (8, 8)
    with pytest.raises(OSError, match="needs model 6e6f6e65"):
        image.load()


def test_no_model_at_all(data: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rgru_codec.pillow, "WEIGHTS", tmp_path)
    with (
        pytest.warns(UserWarning, match="no model is installed"),
        pytest.raises(UnidentifiedImageError),
    ):
        Image.open(io.BytesIO(data))


def test_pillows_limit_holds(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))


def test_parser(data: bytes) -> None:
    parser = ImageFile.Parser()
    for at in range(0, len(data), 100):
        parser.feed(data[at : at + 100])
    assert parser.close().tobytes() == rgru_codec.decompress(data).tobytes()


def test_pickle_and_copy(path: Path, data: bytes) -> None:
    with Image.open(path) as image:
        assert pickle.loads(pickle.dumps(image)).tobytes() == image.copy().tobytes()


def test_registering_on_import() -> None:
    import rgru_codec.RgruImagePlugin

    assert rgru_codec.RgruImagePlugin.__doc__
    assert Image.registered_extensions()[".rgru"] == "RGRU"


def test_imageio(path: Path, data: bytes, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    expected = np.asarray(rgru_codec.decompress(data))
    assert np.array_equal(imageio.imread(path), expected)
    imageio.imwrite(tmp_path / "b.rgru", expected, layers=1)
    assert (tmp_path / "b.rgru").read_bytes() == rgru_codec.compress(expected, layers=1)
    assert imageio.improps(path).shape == (48, 40, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_frame_that_is_shown_is_saved(kind: str, tmp_path: Path) -> None:
    """It was refused in words of the command line; other formats save it."""
    frames = [Image.new("RGB", (24, 16), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a") as image:
        for number in (0, 1, 2):  # Pillow cannot go back in some files
            image.seek(number)
            image.save(tmp_path / "a.rgru", layers=1)
            assert image.tell() == number
            expected = rgru_codec.compress(image, frame=number, layers=1)
            assert (tmp_path / "a.rgru").read_bytes() == expected
        image.save(tmp_path / "b.rgru", layers=1, frame=1)
        assert (tmp_path / "b.rgru").read_bytes() != expected
        with pytest.raises(ValueError, match="hold one picture"):
            image.save(tmp_path / "b.rgru", save_all=True)


def test_all_frames_are_saved_if_there_is_one(pixels: np.ndarray, tmp_path: Path) -> None:
    """``save_all`` ended in ``KeyError: 'RGRU'``."""
    image, path = Image.fromarray(pixels), tmp_path / "a.rgru"
    image.save(path, save_all=True, layers=1)
    assert path.read_bytes() == rgru_codec.compress(pixels, layers=1)
    path.unlink()
    for options in ({"append_images": [image]}, {"save_all": True, "append_images": [image]}):
        with pytest.raises(ValueError, match="hold one picture"):
            image.save(path, **options)
        assert not path.exists()
