"""From a trained network to a model package (``rgru_codec.packages``), and back to its weights.

A package holds the weights under the names that they have in training, rounded to float16, and the
context model as integers (SPEC section 11).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rgru_codec.iterations import encode
from rgru_codec.models import Model as Package
from rgru_codec.models import read_part
from rgru_codec.packages import write_package
from rgru_codec.runtime.weights import unpack_arrays
from rgru_format import InvalidInput
from rgru_train.integers import floats, integers
from rgru_train.nets import config
from rgru_train.nets.config import AnyLayer, NetworkConfig
from rgru_train.nets.linear import UNIT
from rgru_train.objective import Model
from rgru_train.state import Arrays

_WRITABLE = {"reconstruction": "paint", "kernels": "separable", "cell": "residual_gru"}
"""What a network must have to be held in a package."""
_BITS = 7
"""Most significant bits of a weight in a package; float16 would have room for 11."""
_FINENESS = 64
"""Steps of the weights of a kernel in their root mean square, about: small ones need no finer."""
_OF_ENCODER = ("E/", "B/", "L/analysis", "L/fineness/", "L/thresholds/")
"""How the names of arrays begin that only an encoder needs."""
_ONE_BY_ONE = ("B/kernel", "L/fineness/kernel", "L/thresholds/kernel", "L/steps/kernel")
"""Kernels that a package holds as matrices."""


def export(model: Model, name: str, home: Path) -> Package:
    """Write the package of a model under ``home``.

    The model's kernels are rounded to what the package holds of them.

    Raises:
        InvalidInput: The network has parts that a package cannot hold, sums of the context model
            could leave the exact range, or the package paints another picture than the model.
    """
    network = model.config.network
    for key, wanted in _WRITABLE.items():
        if (found := getattr(network, key)) != wanted:
            raise InvalidInput(f"a package holds {key} = {wanted!r} only, not {found!r}")
    _round_kernels(model)
    arrays = _arrays(model)
    encoder = {name: array for name, array in arrays.items() if name.startswith(_OF_ENCODER)}
    decoder = {name: array for name, array in arrays.items() if name not in encoder}
    own = {"default": (encoder_table(network), encoder)}
    table = decoder_table(network, name)
    package = write_package(home, table, decoder, integers(model.context), own)
    check(model, package)
    return package


def decoder_table(network: NetworkConfig, name: str) -> dict[str, Any]:
    """Return what ``model.json`` says (SPEC 11.2)."""
    return {
        "name": name,
        "codes": list(network.codes),
        "decoder": [_layer(layer) for layer in network.decoder],
        "painter": [_layer(layer) for layer in network.painter],
    }


def encoder_table(network: NetworkConfig) -> dict[str, Any]:
    """Return what an encoder's file says of it (SPEC 11.3)."""
    assert network.linear is not None
    return {
        "encoder": [_layer(layer) for layer in network.encoder],
        "digits": [list(digits) for digits in network.linear.mean_digits],
        "threshold": network.linear.threshold,
    }


def _layer(layer: AnyLayer) -> dict[str, Any]:
    table: dict[str, Any] = msgspec.to_builtins(layer)
    biased = isinstance(layer, config.Conv | config.Separable | config.Rnn)
    row = {key: value for key, value in table.items() if not key.startswith("init")}
    return row | ({"bias": True} if biased else {})


def _arrays(model: Model) -> Arrays:
    """The networks' arrays as a package holds them."""
    arrays: Arrays = {}
    for name, variable in model.named.items():
        value = variable.numpy()
        if name.startswith("C"):
            continue
        if name in _ONE_BY_ONE:
            value = value.reshape(value.shape[-2:])
        if name in ("L/analysis", "L/synthesis"):
            value = value * np.float32(UNIT)
        arrays[name] = value.astype(np.float16)
    arrays.pop("log_gains", None)
    arrays["gains"] = np.exp(model.codec.log_gains.numpy()).astype(np.float32)
    return arrays


def weights_of(package: Package) -> Arrays:
    """Return a package's weights under the names and in the shapes that they have in training.

    Raises:
        InvalidInput: It has no encoder, or a file cannot be read.
    """
    weights: Arrays = {}
    for half in ("decoder", "encoder"):
        path = package.folder / f"{half}.safetensors"
        arrays, _ = unpack_arrays(read_part(path), str(path))
        weights |= arrays
    weights["log_gains"] = np.log(weights.pop("gains"))
    for name in _ONE_BY_ONE:
        weights[name] = weights[name][None, None]
    for name in ("L/analysis", "L/synthesis"):
        weights[name] = weights[name] / np.float32(UNIT)
    return weights | floats(package.context())


def _round_kernels(model: Model) -> None:
    """Round the weights of each kernel: packages deflate better."""
    for variable in model.codec.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rounded(variable.numpy()))


def rounded(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``_BITS`` significant bits of each weight, in steps no finer than ``_FINENESS`` asks.

    Noise of one size for all weights takes the least room. Steps are powers of two, so that what
    is rounded is the same in float16.
    """
    _, exponents = np.frexp(kernel)
    size = float(np.sqrt(np.mean(np.square(kernel, dtype=np.float64))))
    least = round(np.log2(size / _FINENESS)) if size else 0
    steps = np.ldexp(np.float32(1.0), np.maximum(exponents - _BITS, least))
    coarse: NDArray[np.float32] = np.round(kernel / steps) * steps
    return coarse


def check(model: Model, package: Package, tolerance: float = 1.0) -> float:
    """Return how far the package's first picture of random pixels is from the model's, in levels.

    The median of all pixels: a code near zero may fall to the other side.

    Raises:
        InvalidInput: It is further than ``tolerance``.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (80, 112, 3), dtype=np.uint8)
    expected, _, _ = model.forward(tf.constant(pixels[None]), 1, training=False)
    _, painter = next(iter(encode(package, pixels)))
    wanted = np.clip(expected[0, 0].numpy(), 0, 255)
    difference = float(np.median(np.abs(painter.show() - wanted)))
    if not difference <= tolerance:
        raise InvalidInput(
            f"model {package.id.hex()}: {difference:.3g} levels from what was trained"
        )
    return difference
