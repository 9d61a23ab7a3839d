import pytest
from PIL import Image

from rgru_eval.demo import DemoOrder, busiest_square, make_demo
from rgru_eval.match import Matcher, Target
from rgru_eval.metrics import Judge
from rgru_eval.pictures import EvalError
from rgru_eval.registry import make_codec


def order(tmp_path, photo, layered, **changes):
    path = tmp_path / "photo.png"
    photo.save(path)
    values = {
        "photo": path,
        "output": tmp_path / "demo.png",
        "codecs": ("jpeg:optimize,layered",),
        "definitions": (layered,),
    }
    return DemoOrder(**(values | changes))


def test_two_codecs_meet_at_one_quality(tmp_path, photo, layered, capsys):
    jpeg, toy = make_demo(order(tmp_path, photo, layered, msssim=0.97))
    assert toy.setting in (1, 2, 3, 4, 5, 6)
    assert jpeg.msssim == pytest.approx(toy.msssim, abs=0.005)
    with Image.open(tmp_path / "demo.png") as sheet:
        assert sheet.width > 3 * 640
    messages = capsys.readouterr().err
    assert f"{len(jpeg.data):,} bytes" in messages
    assert f"{len(toy.data):,} bytes" in messages


def test_large_photos_are_scaled_and_it_is_said(tmp_path, photo, layered, capsys):
    make_demo(order(tmp_path, photo, layered, max_pixels=10_000, codecs=("jpeg:optimize,webp",)))
    assert "photo scaled from 192x176 to 104x96 first" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(30, 400), (17, 9)])
def test_odd_photos(tmp_path, photo, layered, size):
    make_demo(order(tmp_path, photo.resize(size).convert("L"), layered))
    assert (tmp_path / "demo.png").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codecs": ("webp",)}, "compares two or three codecs, not 1"),
        ({"msssim": 1.5}, "must lie between 0 and 1"),
        ({"detail": "1,2"}, "expected three numbers, X,Y,SIZE"),
        ({"detail": "100,100,100"}, "not inside the 192x176 picture"),
    ],
)
def test_wrong_wishes_are_explained(tmp_path, photo, layered, changes, words):
    with pytest.raises(EvalError, match=words):
        make_demo(order(tmp_path, photo, layered, **changes))


def test_the_detail_is_where_the_detail_is():
    image = Image.new("L", (400, 400), 128)
    image.paste(Image.effect_noise((96, 96), 80), (200, 100))
    left, top, right, bottom = busiest_square(image)
    assert abs(left - 200) < 50
    assert abs(top - 100) < 50
    assert right - left == bottom - top == 100


@pytest.mark.parametrize("target", [Target("msssim", 0.95), Target("bytes", 1500)])
def test_the_search_comes_nearer_than_the_ladder(photo, target):
    codec = make_codec("jpeg:optimize")
    matcher = Matcher(codec, photo, Judge(photo, ("msssim",)))
    shot = matcher.find(target)
    ladder = [matcher._at(s) for s in codec.settings]
    assert target.distance(shot) <= min(target.distance(s) for s in ladder)


def test_targets_out_of_reach_give_the_end(photo):
    matcher = Matcher(make_codec("jpeg:optimize"), photo, Judge(photo, ("msssim",)))
    assert matcher.find(Target("bytes", 1)).setting == 1
    assert matcher.find(Target("msssim", 0.999999)).setting == 95
