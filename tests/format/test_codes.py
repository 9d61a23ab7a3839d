"""Layers of codes to bytes and back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgru_format import (
    CodesDecoder,
    CodesEncoder,
    ContextModel,
    Damaged,
    GroupRead,
    InvalidInput,
    codes_digest,
)
from tools.random_files import random_codes, random_model

from .definition import DefinedEvaluator


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.data())
def test_codes_come_back(
    seed: int, rows: int, columns: int, extreme: bool, data: st.DataObject
) -> None:
    counts = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    groups = [data.draw(st.integers(1, count)) for count in counts]
    phases = [data.draw(st.sampled_from([2, 4, 5])) for _ in counts]
    model = random_model(seed, counts, groups, extreme=extreme, phases=phases)
    layers = random_codes(seed, model, rows, columns)
    encoder = CodesEncoder(model, rows, columns)
    plain_encoder = CodesEncoder(model, rows, columns, evaluator=DefinedEvaluator)
    decoder = CodesDecoder(model, rows, columns)
    plain_decoder = CodesDecoder(model, rows, columns, evaluator=DefinedEvaluator)
    for number, codes in enumerate(layers, start=1):
        payloads = encoder.encode_layer(codes)
        assert plain_encoder.encode_layer(codes) == payloads
        assert len(payloads) == groups[number - 1]
        for payload in payloads:
            decoder.decode_group(payload)
            plain_decoder.decode_group(payload)
        assert decoder.layer == plain_decoder.layer == number
        assert decoder.last is not None
        assert plain_decoder.last is not None
        np.testing.assert_array_equal(decoder.last, codes)
        np.testing.assert_array_equal(plain_decoder.last, codes)


def test_the_model_learns_the_picture() -> None:
    """Random logits predict nothing of codes that are nearly all -1: that is quickly learned."""
    model = random_model(3, (6,), (2,), phases=(4,))
    rare = np.random.default_rng(0).random((60, 70, 6)) < 0.02
    codes = np.where(rare, 1, -1).astype(np.int8)
    sizes = []
    for adapt in (False, True):
        payloads = CodesEncoder(model, 60, 70, adapt=adapt).encode_layer(codes)
        sizes.append(sum(map(len, payloads)))
    decoder = CodesDecoder(model, 60, 70)
    for payload in payloads:
        decoder.decode_group(payload)
    assert decoder.last is not None
    np.testing.assert_array_equal(decoder.last, codes)
    entropy = -(0.02 * np.log2(0.02) + 0.98 * np.log2(0.98)) * codes.size / 8
    assert sizes[0] > 3 * entropy
    assert sizes[1] < sizes[0] / 2


def test_size_is_close_to_the_ideal_length(model: ContextModel) -> None:
    encoder = CodesEncoder(model, 20, 30)
    for codes in random_codes(0, model, 20, 30):
        payloads = encoder.encode_layer(codes)
        assert len(payloads) == len(encoder.group_bits)
        for payload, ideal in zip(payloads, encoder.group_bits, strict=True):
            assert 8 * len(payload) <= ideal * 1.001 + 32
            assert 8 * len(payload) >= ideal - 1


def test_expectation_knows_what_has_arrived(model: ContextModel) -> None:
    first, second, _ = random_codes(3, model, 4, 5)
    encoder = CodesEncoder(model, 4, 5)
    decoder = CodesDecoder(model, 4, 5)
    plain = CodesDecoder(model, 4, 5, evaluator=DefinedEvaluator)
    for codes in (first, second):
        for group, payload in enumerate(encoder.encode_layer(codes)):
            expected = decoder.expectation()
            assert expected.dtype == np.float32
            assert expected.shape == codes.shape
            start, _ = model.layers[decoder.layer].bounds[group]
            np.testing.assert_array_equal(expected[..., :start], codes[..., :start])
            assert (np.abs(expected[..., start:]) < 1).all()
            np.testing.assert_array_equal(expected, plain.expectation())
            decoder.decode_group(payload)
            plain.decode_group(payload)
    assert decoder.current is None


def test_expectation_is_exact_in_float32(model: ContextModel) -> None:
    scaled = CodesDecoder(model, 6, 7).expectation().astype(np.float64) * 32768
    assert (scaled == np.rint(scaled)).all()


def test_expectation_does_not_disturb_decoding(model: ContextModel) -> None:
    layers = random_codes(3, model, 4, 5)
    encoder = CodesEncoder(model, 4, 5)
    decoder = CodesDecoder(model, 4, 5)
    for codes in layers:
        for payload in encoder.encode_layer(codes):
            decoder.expectation()
            decoder.decode_group(payload)
        assert decoder.last is not None
        assert codes_digest(decoder.last) == codes_digest(codes)
    with pytest.raises(InvalidInput, match="complete"):
        decoder.expectation()
    with pytest.raises(Damaged, match=r"3 layers only \(layer 4\)"):
        decoder.decode_group(b"")


def test_unknown_codes_are_zero(model: ContextModel) -> None:
    layers = random_codes(3, model, 4, 5)
    encoder = CodesEncoder(model, 4, 5)
    decoder = CodesDecoder(model, 4, 5)
    decoder.decode_group(encoder.encode_layer(layers[0])[0])
    decoder.decode_group(encoder.encode_layer(layers[1])[0])
    assert (decoder.layer, decoder.group) == (1, 1)
    assert decoder.current is not None
    start, _ = model.layers[1].bounds[1]
    np.testing.assert_array_equal(decoder.current[..., :start], layers[1][..., :start])
    assert not decoder.current[..., start:].any()
    assert decoder.last is not None
    np.testing.assert_array_equal(decoder.last, layers[0])


@pytest.mark.parametrize(
    ("layer", "group", "word"),
    [(1, 1, "group 1 of layer 1"), (2, 0, "group 0 of layer 2"), (3, 0, "does not follow")],
)
def test_groups_out_of_order_are_damage(
    model: ContextModel, layer: int, group: int, word: str
) -> None:
    decoder = CodesDecoder(model, 2, 2)
    with pytest.raises(Damaged, match=word) as caught:
        decoder.decode(GroupRead(layer, group, b"", 21, 24))
    assert (caught.value.layer, caught.value.offset) == (layer, 21)


def test_more_groups_than_the_model_has_are_damage(model: ContextModel) -> None:
    decoder = CodesDecoder(model, 2, 2)
    decoder.decode(GroupRead(1, 0, b"", 21, 24))
    with pytest.raises(Damaged, match="group 1 of layer 1 does not follow"):
        decoder.decode(GroupRead(1, 1, b"", 24, 27))


def test_a_payload_longer_than_its_codes_is_damage(model: ContextModel) -> None:
    with pytest.raises(Damaged, match=r"longer than .*\(layer 1, byte 21\)"):
        CodesDecoder(model, 1, 1).decode_group(bytes(2 * 3 + 9), offset=21)


def test_a_refused_stream_leaves_what_was_decoded(model: ContextModel) -> None:
    """Bytes of 255 lie outside every interval of the coder (SPEC section 8.3)."""
    layers = random_codes(3, model, 4, 5)
    encoder = CodesEncoder(model, 4, 5)
    decoder = CodesDecoder(model, 4, 5)
    decoder.decode_group(encoder.encode_layer(layers[0])[0])
    with pytest.raises(Damaged, match=r"refuses.*layer 2, byte 99"):
        decoder.decode_group(b"\xff" * 20, offset=99)
    assert decoder.layer == 1
    assert decoder.last is not None
    np.testing.assert_array_equal(decoder.last, layers[0])


@pytest.mark.parametrize(
    ("shape", "kind", "value"),
    [
        ((2, 3, 3), np.int8, 0),
        ((2, 3, 3), np.int8, -128),
        ((2, 3, 3), np.int16, 1),
        ((3, 2, 3), np.int8, 1),
    ],
)
def test_codes_that_cannot_be_coded_are_refused(
    model: ContextModel, shape: tuple[int, ...], kind: type[np.int8], value: int
) -> None:
    with pytest.raises(InvalidInput, match="codes"):
        CodesEncoder(model, 2, 3).encode_layer(np.full(shape, value, kind))


def test_a_model_has_so_many_layers_only(model: ContextModel) -> None:
    encoder = CodesEncoder(model, 2, 3)
    layers = random_codes(0, model, 2, 3)
    for codes in layers:
        encoder.encode_layer(codes)
    with pytest.raises(InvalidInput, match="3 layers only"):
        encoder.encode_layer(layers[-1])
    with pytest.raises(InvalidInput, match="grid"):
        CodesEncoder(model, 0, 3)


def test_the_caller_may_use_its_array_again(model: ContextModel) -> None:
    layers = random_codes(0, model, 3, 3)
    kept, reused = CodesEncoder(model, 3, 3), CodesEncoder(model, 3, 3)
    first = layers[0].copy()
    assert kept.encode_layer(layers[0]) == reused.encode_layer(first)
    first[:] = 1
    assert kept.encode_layer(layers[1]) == reused.encode_layer(layers[1])


def test_decoders_share_nothing(model: ContextModel) -> None:
    layers = random_codes(5, model, 9, 8)
    encoder = CodesEncoder(model, 9, 8)
    payloads = [payload for codes in layers for payload in encoder.encode_layer(codes)]
    results: list[str] = []

    def run() -> None:
        decoder = CodesDecoder(model, 9, 8)
        for payload in payloads:
            decoder.decode_group(payload)
        assert decoder.last is not None
        results.append(codes_digest(decoder.last))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [codes_digest(layers[-1])] * 4


def test_a_group_in_part_keeps_some_codes_and_costs_less(model: ContextModel) -> None:
    layers = random_codes(5, model, 9, 7, 2)
    kept = np.zeros((9, 7), np.bool_)
    kept[:, :3] = True
    encoder, decoder = CodesEncoder(model, 9, 7), CodesDecoder(model, 9, 7)
    for payload in encoder.encode_layer(layers[0]):
        decoder.decode_group(payload)
    first, second, *_ = encoder.encode_layer(layers[1])
    decoder.decode_group(first)
    part = encoder.encode_in_part(1, kept)
    assert len(part) < len(second)
    assert encoder.encode_in_part(1, np.ones_like(kept)) == second  # as often as one likes
    decoder.decode_group(part)
    found = decoder.last if decoder.current is None else decoder.current
    assert found is not None
    start, stop = model.layers[1].bounds[1]
    assert np.array_equal(found[:, :3, start:stop], layers[1][:, :3, start:stop])
    assert (np.abs(found[..., start:stop]) == 1).all()
