from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from rgru_codec.models import default_model
from rgru_eval.__main__ import main
from rgru_eval.errors import EvalError, UnavailableError
from rgru_eval.judge.metrics import Judge
from rgru_eval.measure.builtin import close_codestream, close_jpeg
from rgru_eval.measure.codecs import BASELINE, Codec, CuttableCodec, Failure, Step
from rgru_eval.measure.external import layer_ends
from rgru_eval.measure.pictures import read_picture
from rgru_eval.measure.registry import BUILT_IN, make_codec, make_codecs

CLASSICAL = ("jpeg:optimize", "webp", "avif", "jxl", "jpeg2000")
PROGRESSIVE = "jpeg:progressive"
ANCHORS = ("cjxl-progressive", "avif-layered")
COPY = f"{sys.executable} -c 'import shutil,sys; shutil.copy(*sys.argv[1:3])' {{input}} {{output}}"


def available(spec: str) -> Codec:
    codec = make_codec(spec)
    try:
        codec.check()
    except UnavailableError as error:
        pytest.skip(str(error))
    return codec


def cuttable(spec: str) -> CuttableCodec:
    codec = available(spec)
    assert isinstance(codec, CuttableCodec)
    return codec


def steps_of(codec: Codec, photo: Image.Image, settings: Sequence[float]) -> list[Step]:
    steps = list(codec.steps(photo, settings))
    assert all(isinstance(step, Step) for step in steps), steps
    return [step for step in steps if isinstance(step, Step)]


def test_commas_separate_codecs_and_parameters() -> None:
    specs = "rgru,jpeg:subsampling=444,optimize,progressive,webp:method=6,q=10+20,avif"
    names = [c.identity() for c in make_codecs([specs, "jxl"])]
    assert names == [
        "rgru",
        "jpeg:subsampling=444,optimize,progressive",
        "webp:method=6,q=10+20",
        "avif:speed=6,subsampling=444",
        "avif:speed=4,subsampling=444",
        "jxl:effort=7",
    ]


def test_bare_jpeg_stands_for_four_variants_with_the_baseline_first() -> None:
    codecs = make_codecs(["jpeg"])
    assert len(codecs) == 4
    assert codecs[0].identity() == BASELINE
    assert codecs[0].label() == "JPEG 4:2:0 optimised"
    assert codecs[1].label() == "JPEG 4:2:0 default Huffman"


def test_two_spellings_are_one_codec() -> None:
    assert (
        len(make_codecs(["jpeg:optimize,jpeg:subsampling=420,optimize=yes,webp,webp:method=4"]))
        == 2
    )
    assert (
        make_codec("jpeg:progressive").identity()
        == make_codec("jpeg:progressive,optimize").identity()
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("jpg", "no codec 'jpg'; there are: rgru, jpeg"),
        ("", "no codec is named; there are: rgru, jpeg"),
        ("webp,optimize", "no codec 'optimize'"),
        ("jpeg:quality=3", "codec 'jpeg' has no parameter 'quality'; it has: subsampling"),
        ("webp:method=fast", "webp:method=fast: expected int"),
        ("jpeg:optimize=maybe", "expected bool"),
        ("jpeg:subsampling=411", "must be 420, 422 or 444"),
        ("jpeg:q=1+x", "expected numbers joined with"),
        ("jpeg:q=1+nan", "expected numbers joined with"),
    ],
)
def test_wrong_specs_are_explained(spec: str, words: Any) -> None:
    with pytest.raises(EvalError, match=words):
        make_codecs([spec])


@pytest.mark.parametrize("spec", CLASSICAL)
def test_ladder_gives_larger_and_better_files(spec: str, photo: Image.Image) -> None:
    codec = available(spec)
    judge = Judge(photo)
    ladder = [codec.settings[2], codec.settings[len(codec.settings) // 2], codec.settings[-1]]
    steps = steps_of(codec, photo, ladder)
    sizes = [len(s.data) for s in steps]
    quality = [judge.msssim(s.picture) for s in steps]
    assert sizes == sorted(sizes)
    assert quality == sorted(quality)
    assert quality[-1] > 0.97
    assert all(s.encode_s and s.decode_s for s in steps)
    assert codec.versions()["pillow"]


@pytest.mark.parametrize("spec", CLASSICAL)
@pytest.mark.parametrize(("mode", "size"), [("L", (40, 33)), ("RGB", (1, 1)), ("L", (3, 1))])
def test_grey_and_tiny_pictures(spec: str, mode: str, size: Any) -> None:
    codec = available(spec)
    image = Image.new("L", size, 100).convert(mode)
    for step in codec.steps(image, codec.settings[-1:]):
        assert isinstance(step, Step), step
        assert step.picture.size == size
        samples = np.asarray(step.picture.convert("L"))
        assert 88 < samples.min() <= samples.max() < 112


def test_optimised_tables_make_jpeg_smaller(photo: Image.Image) -> None:
    small, plain = make_codec(BASELINE), make_codec("jpeg:subsampling=420")
    assert len(small.encode(photo, 10)) < 0.9 * len(plain.encode(photo, 10))


@pytest.mark.parametrize("spec", [PROGRESSIVE, "jpeg2000", "rgru", *ANCHORS])
def test_cut_files_show_more_with_every_cut(spec: str, photo: Image.Image) -> None:
    codec = cuttable(spec)
    if spec in ANCHORS:
        photo = photo.resize((600, 550))  # JPEG XL shows parts of pictures above 256 pixels only
    judge = Judge(photo)
    (_, data), *_ = codec.cut_files(photo)
    cuts = [5, len(data) // 8, len(data) * 2 // 3, len(data)]
    first, *pictures = codec.decode_prefixes(data, cuts)
    assert first is None
    quality = [judge.msssim(p) for p in pictures if p is not None]
    assert len(quality) == 3 or (spec in ANCHORS and len(quality) > 1)  # they begin later
    assert quality == sorted(quality)
    assert quality[0] < quality[-1]


def test_every_cut_of_a_jpeg2000_codestream_is_decodable_or_empty(photo: Image.Image) -> None:
    codec = cuttable("jpeg2000")
    (_, data), *_ = codec.cut_files(photo)
    for cut in range(0, len(data), 97):
        picture = codec.decode_prefix(data[:cut])
        assert picture is None or picture.size == photo.size
    assert close_codestream(b"") is None


def test_a_progressive_jpeg_cut_anywhere_never_falls_back(photo: Image.Image) -> None:
    codec = cuttable(PROGRESSIVE)
    judge = Judge(photo)
    (_, data), *_ = codec.cut_files(photo)
    assert close_jpeg(data) == data
    best = 0.0
    for cut in range(0, len(data), 41):
        picture = codec.decode_prefix(data[:cut])
        if picture is not None:
            quality = judge.msssim(picture)
            assert quality > best - 0.08  # libjpeg smooths blocks until the next scan begins
            best = max(best, quality)
    assert close_jpeg(b"") is close_jpeg(data[:100]) is None


def test_sequential_jpeg_is_not_cut(photo: Image.Image) -> None:
    assert list(cuttable(BASELINE).cut_files(photo)) == []


def test_layers_are_made_in_one_go(photo: Image.Image) -> None:
    codec = make_codec("rgru")
    steps = steps_of(codec, photo, ())
    assert [s.setting for s in steps] == list(range(1, len(steps) + 1))
    whole = steps[-1].data
    for step in steps[:2]:
        assert step.data == whole[: len(step.data)] == codec.encode(photo, step.setting)
        assert step.picture.tobytes() == codec.decode(step.data).tobytes()
    assert [s.encode_s is None for s in steps] == [True] * (len(steps) - 1) + [False]
    assert codec.versions()["model"] == default_model().id.hex()


def test_layers_can_be_chosen(photo: Image.Image) -> None:
    codec = make_codec("rgru:q=2+99")
    second, first = codec.steps(photo, codec.settings)
    assert isinstance(first, Step)
    assert first.setting == 2
    assert isinstance(second, Failure)
    assert second.reason.startswith("the model has layers 1 to ")
    for bad in (0, -2, 99):
        (step,) = codec.steps(photo, [bad])
        assert isinstance(step, Failure)


def test_a_model_is_named_without_its_place(tmp_path: Path, photo: Image.Image) -> None:
    package = tmp_path / "secret" / default_model().id.hex()
    package.parent.mkdir()
    shutil.copytree(weights_folder(), package)
    codec = make_codec(f"rgru:model={package},q=1")
    assert codec.identity() == f"rgru:model={package.name},q=1"
    again = make_codec(codec.spec())  # what a worker process makes of it
    assert again.encode(photo, 1) == make_codec("rgru").encode(photo, 1)


def weights_folder() -> Path:
    import rgru_codec

    return Path(rgru_codec.__file__).parent / "weights" / default_model().id.hex()


def with_metadata(photo: Image.Image, path: Path) -> Path:
    """Save a photo with a profile, Exif, XMP and a density."""
    exif = Image.Exif()
    exif[0x010E] = "a description " * 200
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.save(path, icc_profile=profile, exif=exif, dpi=(300, 300))
    return path


@pytest.mark.parametrize("spec", [*CLASSICAL, "rgru", "cjxl", "cwebp"])
def test_no_codec_carries_metadata(spec: str, photo: Image.Image, tmp_path: Path) -> None:
    codec = available(spec)
    photo.save(tmp_path / "plain.png")
    rich = read_picture(with_metadata(photo, tmp_path / "rich.png"))
    plain = read_picture(tmp_path / "plain.png")
    setting = codec.settings[0] if codec.settings else 1
    assert codec.encode(rich.image, setting) == codec.encode(plain.image, setting)


def test_a_program_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("avifenc", "avifdec"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'Options: --speed S'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UnavailableError, match="this avifenc has no --layered; install a newer"):
        make_codec("avif-layered").check()


def test_layers_of_an_avif_file_are_found() -> None:
    sizes = b"".join(size.to_bytes(2, "big") for size in (100, 50, 0))
    head = b"....a1lx\0" + sizes + (8 + 180).to_bytes(4, "big") + b"mdat"
    whole = head + bytes(180)
    assert (
        layer_ends(whole) == layer_ends(whole[:30]) == [len(head) + end for end in (100, 150, 180)]
    )
    assert layer_ends(head[:12]) == []


def test_missing_programs_and_modules_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match="program 'cjxl' not found on the PATH"):
        make_codec("cjxl").check()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install pillow-jxl-plugin"):
        make_codec("jxl").check()


def test_settings_of_a_program_have_the_unit_of_its_definition() -> None:
    units = [make_codec(name).UNIT for name in ("cjxl", "avif-layered", "cwebp", "webp")]
    assert units == ["distance", "quantizer", "quality", "quality"]


@pytest.mark.parametrize("name", ["cjxl", "cwebp", "cjxl-progressive"])
def test_programs_when_installed(name: str, photo: Image.Image) -> None:
    codec = available(name)
    (step,) = steps_of(codec, photo, codec.settings[-1:])
    assert Judge(photo).msssim(step.picture) > 0.97
    assert codec.versions()["command"].startswith(name.partition("-")[0])


def test_any_command_line_can_be_a_codec(tmp_path: Path, photo: Image.Image) -> None:
    definition = {"copy": {"encode": COPY, "decode": COPY, "settings": [1], "suffix": ".png"}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(definition))
    codec = make_codec("copy", [str(path)])
    codec.check()
    (step,) = steps_of(codec, photo, codec.settings)
    assert step.picture.tobytes() == photo.tobytes()


def test_failing_commands_say_so(tmp_path: Path, photo: Image.Image) -> None:
    fail = f"{sys.executable} -c 'import sys; sys.exit(\"no such luck\")' {{input}} {{output}}"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"bad": {"encode": fail, "decode": COPY, "settings": [1]}}))
    (step,) = make_codec("bad", [str(path)]).steps(photo, [1])
    assert isinstance(step, Failure)
    assert "ended with 1: no such luck" in step.reason


DEFINED = '{"%s": {"encode": "x {input} {output}", "decode": "y {input} {output}", %s}}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Input data was truncated"),
        ("[" * 200000, "recursion|Expected `object`"),
        ("[]", "Expected `object`, got `array`"),
        (
            DEFINED % ("x", '"settings": ["x"]'),
            r"Expected `float`, got `str` - at `\$\[\.\.\.\]\.settings\[0\]`",
        ),
        (DEFINED % ("x", '"settings": []'), "Expected `array` of length >= 1"),
        (DEFINED % ("x", '"settings": [1], "cut": [NaN]'), "malformed"),
        (DEFINED % ("x", '"settings": [1], "version": "\'"'), "is no command"),
        (DEFINED % ("x", '"settings": [1], "decode_prefix": "x"'), "'decode_prefix' must contain"),
        (DEFINED % ("x:y", '"settings": [1]'), "codec 'x:y': a name has no commas or colons"),
        ('{"a": {"encode": "x"}}', "missing required field `decode`"),
        ('{"a": {"encode": "x", "decode": "y", "settings": [1]}}', "must contain {input}"),
        (
            '{"a": {"encode": "x", "decode": "y", "settings": 1}}',
            "Expected `array`, got `int`",
        ),
        ('{"a": {"encode": "x", "decode": "y", "settings": [1], "z": 1}}', "unknown field `z`"),
    ],
)
def test_wrong_definitions_are_explained(tmp_path: Path, content: str, words: Any) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(EvalError, match=words):
        make_codec("a", [str(path)])


def test_python_definitions_need_codecs(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    with pytest.raises(EvalError, match="no such Python file"):
        make_codec("a", [str(path)])
    for text, words in (
        ("x = 1", "has no dictionary CODECS"),
        ("x = (", "cannot be run: SyntaxError"),
        ("import nonesuch", "cannot be run: ModuleNotFoundError"),
        ("raise SystemExit", "cannot be run: SystemExit"),
        ("CODECS = {'a': 5}", "a: cannot be made: TypeError: 'int' object is not callable"),
    ):
        path.write_text(text)
        with pytest.raises(EvalError, match=words):
            make_codec("a", [str(path)])


def test_a_class_that_fails_leaves_the_other_codecs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_memory_probe: None
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from rgru_eval.measure.builtin import Webp\n"
        "class Bad(Webp):\n"
        "    def versions(self): raise RuntimeError('which?')\n"
        "CODECS = {'bad': Bad}\n"
    )
    assert main(["codecs", "--define", str(path)]) == 0
    assert "NOT AVAILABLE (RuntimeError: which?)" in capsys.readouterr().out
    words = ["run", "--set", str(folder), "--define", str(path), "--codecs", "bad,webp:q=10"]
    assert main([*words, "-j", "1", "--out", str(tmp_path / "r.json")]) == 0
    assert "skipped codec bad:method=4: RuntimeError: which?" in capsys.readouterr().err


def test_every_built_in_codec_describes_itself() -> None:
    for name, factory in BUILT_IN.items():
        codec = factory(name, {})
        assert codec.identity().startswith(name.partition("-")[0])
        assert codec.label()
