"""The networks of SPEC section 11: the reference in numpy, LiteRT, and both against plain loops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rgru_codec
from rgru_codec.models import Model, default_model
from rgru_codec.packages import compare, networks_of, random_inputs, run
from rgru_codec.runtime import engine
from rgru_codec.runtime.channels import in_squares
from rgru_codec.runtime.folding import folded, on_squares
from rgru_codec.runtime.layers import KINDS, Conv, Picture, Stack, parse_layers
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.reference import NumpyOps, Reference
from rgru_format.conformance import VECTORS
from rgru_format.limits import POSITION
from tools import tiny_model as made

Array = NDArray[np.float32]
OPS = NumpyOps()
SPEC = VECTORS.parent / "SPEC.md"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return made.write(tmp_path_factory.mktemp("models"))


def test_a_narrow_encoder_gives_the_first_channels_of_a_wide_one() -> None:
    """Layers of few codes need no more of the encoder than that."""
    encoding = default_model().encoder()
    narrow, wide = encoding.network(64), encoding.network(448)
    assert narrow.outputs["codes"].channels < wide.outputs["codes"].channels
    window = Rect(0, 80, 0, 96)
    inputs = random_inputs(wide, window)
    found, expected = (run(Reference(n, 1), inputs, window)["codes"] for n in (narrow, wide))
    np.testing.assert_allclose(found, expected[..., : found.shape[3]], atol=1e-4)


def test_a_narrow_painter_paints_what_a_wide_one_paints_of_a_few_coefficients() -> None:
    narrow, wide = (default_model().half.painter(count) for count in (64, 448))
    few = narrow.inputs["coefficients"].channels
    window = Rect(0, 80, 0, 96)
    inputs = random_inputs(wide, window)
    inputs["coefficients"][..., few:] = 0.0
    expected = run(Reference(wide, 1), inputs, window)["picture"]
    inputs["coefficients"] = inputs["coefficients"][..., :few]
    found = run(Reference(narrow, 1), inputs, window)["picture"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_networks_for_the_first_layer_give_what_others_give_of_states_that_are_zero(
    model: Model,
) -> None:
    """Large pictures take them: half of the arithmetic is on states."""
    window = Rect(0, 80, 0, 96)
    for one in (default_model(), model):
        for made_for in (one.half.decoder, one.encoder().network):
            usual, first = made_for(one.codes[0]), made_for(one.codes[0], first_layer=True)
            inputs = random_inputs(usual, window)
            for name in inputs.keys() - first.inputs.keys():
                inputs[name][...] = 0.0
            expected = run(Reference(usual, 1), inputs, window)
            for maker in (Reference, engine.best_engine()):
                found = run(maker(first, 1), {n: inputs[n] for n in first.inputs}, window)
                assert found.keys() == expected.keys()
                for name, values in found.items():
                    np.testing.assert_allclose(values, expected[name], atol=1e-4)


def test_a_folded_painter_paints_what_the_layers_of_its_table_paint() -> None:
    """Two products that follow each other are one: less arithmetic, the same picture."""
    half = default_model().half
    stack, arrays = folded(half.P, half.arrays)
    assert len(stack.layers) == len(half.P.layers) - 1
    x, coefficients = numbers(1, 5, 6, half.P.entering), numbers(1, 5, 6, half.pairs, seed=1)

    def picture(side: int) -> Array:
        product = OPS.product(coefficients, in_squares(half.arrays["L/synthesis"], side))
        return OPS.depth_to_space(product, POSITION // side)

    expected, _ = half.P.run(OPS, half.arrays, x, {}, picture)
    found, _ = stack.run(OPS, arrays, x, {}, picture)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_painter_with_nothing_to_fold_stays_as_it_is(model: Model) -> None:
    rows = [layer for layer in model.half.P.layers if not isinstance(layer, Picture)]
    painter = Stack("P", rows, model.half.P.entering, POSITION)
    arrays = {name: numbers(*shape) for name, shape in painter.arrays.items()}
    stack, same = folded(painter, arrays)
    assert stack.layers == painter.layers
    assert same.keys() == arrays.keys()
    assert all(same[name] is arrays[name] for name in arrays)


def test_an_encoder_on_squares_gives_what_the_layers_of_its_table_give() -> None:
    """A picture comes as squares of pixels: what were sums over a window is a product."""
    encoding = default_model().encoder()
    plain = encoding.table.E
    stack, arrays = on_squares(plain, encoding.arrays)
    side = int(plain.layers[0].scale)
    assert stack.entering == 3 * side**2 > 3
    x = numbers(1, 32, 48, 3)
    spacing, depth = plain.states[name := next(iter(plain.states))]
    states = {name: numbers(1, 32 // spacing, 48 // spacing, depth, seed=1)}
    expected, _ = plain.run(OPS, encoding.arrays, x, states)
    found, _ = stack.run(OPS, arrays, OPS.space_to_depth(x, side), states)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_an_encoder_whose_windows_overlap_takes_the_picture_as_it_is() -> None:
    plain = Stack("E", [Conv(8, kernel=3, stride=2), Conv(8, kernel=8, stride=8)], 3, 1)
    arrays = {name: numbers(*shape) for name, shape in plain.arrays.items()}
    assert on_squares(plain, arrays) == (plain, arrays)


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def plain_conv(x: Array, kernel: Array, stride: int) -> Array:
    """A convolution as SPEC section 11.3 says it, place by place and tap by tap."""
    side, _, _, depth = kernel.shape
    before = max(side - stride, 0) // 2
    rows, columns = x.shape[1] // stride, x.shape[2] // stride
    y = np.zeros((1, rows, columns, depth), np.float64)
    for row in range(rows):
        for column in range(columns):
            for dy in range(side):
                for dx in range(side):
                    down, across = row * stride + dy - before, column * stride + dx - before
                    if 0 <= down < x.shape[1] and 0 <= across < x.shape[2]:
                        y[0, row, column] += x[0, down, across] @ kernel[dy, dx].astype(float)
    return y.astype(np.float32)


CASES = [(1, 1), (2, 1), (3, 1), (5, 1), (3, 2), (4, 2), (8, 8), (1, 2), (17, 16)]


@pytest.mark.parametrize(("side", "stride"), CASES)
def test_convolutions_are_those_of_the_document(side: int, stride: int) -> None:
    x, kernel = numbers(1, 32, 16, 3), numbers(side, side, 3, 5, seed=1)
    expected = plain_conv(x, kernel, stride)
    np.testing.assert_allclose(OPS.conv(x, kernel, None, stride, False), expected, atol=1e-3)
    of_each = numbers(side, side, 3, seed=2)
    dense = np.zeros((side, side, 3, 3), np.float32)
    dense[..., range(3), range(3)] = of_each
    expected = plain_conv(x, dense, stride)
    np.testing.assert_allclose(OPS.depthwise(x, of_each, stride), expected, atol=1e-3)


def test_channels_become_places_in_the_order_of_the_document() -> None:
    x = np.arange(2 * 3 * 8, dtype=np.float32).reshape(1, 2, 3, 8)
    y = OPS.depth_to_space(x, 2)
    for row, column, dy, dx, channel in np.ndindex(2, 3, 2, 2, 2):
        wanted = x[0, row, column, (dy * 2 + dx) * 2 + channel]
        assert y[0, row * 2 + dy, column * 2 + dx, channel] == wanted
    np.testing.assert_array_equal(OPS.space_to_depth(y, 2), x)


def test_every_kind_of_layer_is_in_the_made_model() -> None:
    rows = [*made.TABLE["decoder"], *made.TABLE["painter"], *made.ENCODER["encoder"]]
    assert {row["kind"] for row in rows + made.SMALLER["encoder"]} == set(KINDS)


@pytest.mark.skipif(not SPEC.is_file(), reason="SPEC is part of a checkout")
def test_the_largest_numbers_of_a_table_are_those_of_spec() -> None:
    (sentence,) = re.findall(r"and at most these: (.*?)\.", SPEC.read_text("utf-8"), re.DOTALL)
    largest = {name: int(number) for name, number in re.findall(r"`(\w+)`\s(\d+)", sentence)}
    row: dict[str, Any]
    for row in (
        {"kind": "residual", "kernel": 1, "inner": 1},
        {"kind": "rnn", "depth": 1, "kernel": 1, "stride": 1, "hidden": 1},
        {"kind": "depth_to_space", "factor": 1},
    ):
        for name in row.keys() - {"kind"}:
            most = largest[name]
            parse_layers([row | {name: most}], "layers")
            with pytest.raises(rgru_codec.InvalidInput, match=f"{name} = {most + 1} does not fit"):
                parse_layers([row | {name: most + 1}], "layers")


@pytest.mark.skipif(not SPEC.is_file(), reason="SPEC is part of a checkout")
def test_spec_names_every_array_of_a_layer() -> None:
    """Who decodes with SPEC alone has to find the weights of each kind of layer by name."""
    text = SPEC.read_text("utf-8").split("### 11.3 ")[1].split("### 11.4 ")[0]
    for kind, maker in KINDS.items():
        fields = {"depth": 8} if kind in ("conv", "separable", "rnn") else {}
        fields |= {"factor": 2} if "factor" in maker.__dataclass_fields__ else {}
        for name in maker(**fields).arrays(8):
            *place, last = name.split("/")
            parts = [f"`{part}/`" for part in place] + [f"`{last}`"]
            assert f"`{name}`" in text or all(part in text for part in parts), name


def test_litert_computes_what_the_reference_computes(model: Model) -> None:
    litert = pytest.importorskip("rgru_codec.runtime.litert")
    for network in networks_of(model):
        assert compare(network, litert.LiteRT) < 1e-5, network.name


def test_engines_follow_a_change_of_size(model: Model) -> None:
    for maker in (engine.best_engine(), Reference):
        one = maker(model.half.painter(448), 1)
        for height, width in ((16, 16), (48, 80), (16, 16), (160, 32)):
            window = Rect(0, height, 0, width)
            found = run(one, random_inputs(model.half.painter(448), window), window)
            assert found["picture"].shape == (1, height, width, 3)


def test_nothing_depends_on_what_is_out_of_reach(model: Model) -> None:
    """The reach that windows rely on: noise beyond it changes nothing within."""
    for network in networks_of(model):
        border = -(-network.reach // 16) * 16
        whole = Rect(0, 16, 0, 2 * border + 32)
        inputs = random_inputs(network, whole)
        before = run(Reference(network, 1), inputs, whole)
        for name, port in network.inputs.items():
            inputs[name][:, :, (border + 16) // port.spacing :] *= -2.0
        after = run(Reference(network, 1), inputs, whole)
        for name, port in network.outputs.items():
            kept = slice(None, 16 // port.spacing)
            np.testing.assert_array_equal(before[name][:, :, kept], after[name][:, :, kept])
            assert (before[name] != after[name]).any()


def test_a_gru_is_that_of_the_paper(model: Model) -> None:
    """D's first layer by its equations, one place, without a kernel's help."""
    arrays, network = model.half.arrays, model.half.decoder(24)
    window = Rect(0, 16, 0, 16)
    inputs = random_inputs(network, window)
    found = run(Reference(network, 1), inputs, window)
    x, h = inputs["codes"][0, 0, 0], inputs["D/rnn0"][0, 0, 0]
    w = {n.removeprefix("D/rnn0/"): a for n, a in arrays.items() if n.startswith("D/rnn0/")}

    def sigmoid(y: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-y))

    def separable(y: Any, name: str) -> Any:
        return (y * w[f"{name}/depthwise"][1, 1]) @ w[f"{name}/pointwise"]

    w_z, w_r, w_g = np.split(x @ w["W/pointwise"] + w["W/bias"], 3)
    u_z, u_r = np.split(separable(h, "U_gates"), 2)
    z, r = sigmoid(w_z + u_z), sigmoid(w_r + u_r)
    g = np.tanh(w_g + separable(r * h, "U"))
    new = (1 - z) * h + z * g + 0.1 * h @ w["W_h/pointwise"]
    np.testing.assert_allclose(found["D/rnn0"][0, 0, 0], new, atol=1e-5)
    steps = h @ arrays["L/steps/kernel"] + arrays["L/steps/bias"]
    c = (x[0::2] - x[1::2]) / 2 * np.exp(2 * np.tanh(steps / 2))
    np.testing.assert_allclose(found["coefficients"][0, 0, 0], c, atol=1e-5)


def test_numpy_serves_where_litert_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rgru_codec.runtime.litert", None)
    engine.best_engine.cache_clear()
    try:
        assert engine.best_engine() is Reference
    finally:
        engine.best_engine.cache_clear()


def test_memory_that_runs_out_inside_an_engine_is_a_limit(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    litert = pytest.importorskip("rgru_codec.runtime.litert")

    def refuse(*args: object, **options: object) -> None:
        raise RuntimeError("tensorflow/lite/kernels/kernel_util.cc: failed to allocate")

    class Interpreter:
        def __init__(self, **options: object) -> None:
            self.resize_tensor_input, self.allocate_tensors = refuse, refuse

    monkeypatch.setattr(engine, "_idle", {})
    monkeypatch.setattr(litert, "Interpreter", Interpreter)
    monkeypatch.setattr(NumpyOps, "product", lambda *args: np.empty(2**50))
    for maker in (litert.LiteRT, Reference):
        with engine.using(maker), pytest.raises(rgru_codec.LimitExceeded, match="not enough mem"):
            rgru_codec.compress(np.zeros((16, 16, 3), np.uint8), model=model)


def test_an_engine_that_failed_is_not_used_again(model: Model) -> None:
    def broken(window: Rect, out: Array) -> None:
        raise ValueError("no")

    key = object()
    for _ in range(2):
        with (
            pytest.raises(ValueError, match="no"),
            engine.Engines(1, together=True).borrow(model.half.painter(448), key) as one,
            one.step(dict.fromkeys(one.network.inputs, broken), Rect(0, 16, 0, 16)),
        ):
            pass
    assert not any(key in name for name in engine._idle if isinstance(name, tuple))
