"""A toy layered codec with the interface of rgru_codec, and as a file for --define.

A file is a 21-byte header and layers of bit planes, each behind its length: cut at the end of a
layer it is the file with fewer layers.
"""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
from PIL import Image

from rgru_eval.rgru import Rgru

HEAD = struct.Struct("<4sHHB8x4s")
MODEL = bytes.fromhex("0badcafe")
LAYERS = 6


def compress(image, *, layers=None, threads=1):
    if layers and layers > LAYERS:
        raise ValueError(f"layers={layers}: the model has {LAYERS}")
    samples = np.asarray(image)
    out = HEAD.pack(b"TOY!", image.width, image.height, image.mode == "L", MODEL)
    for plane in range(layers or LAYERS):
        body = zlib.compress(np.packbits(samples >> (7 - plane) & 1).tobytes())
        out += struct.pack("<I", len(body)) + body
    return out


def _parse(data):
    magic, width, height, grey, model = HEAD.unpack(data[: HEAD.size])
    assert magic == b"TOY!"
    shape = (height, width) if grey else (height, width, 3)
    layers, place = [], HEAD.size
    while place + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, place)
        if place + 4 + size > len(data):
            break
        layers.append(
            SimpleNamespace(end=place + 4 + size, body=data[place + 4 : place + 4 + size])
        )
        place += 4 + size
    return shape, layers, model


def info(data):
    _, layers, model = _parse(data)
    return SimpleNamespace(layers=layers, header=SimpleNamespace(model_id=model))


def decompress(data, *, threads=1):
    shape, layers, _ = _parse(data)
    samples = np.zeros(shape, np.uint8)
    for plane, layer in enumerate(layers):
        bits = np.unpackbits(np.frombuffer(zlib.decompress(layer.body), np.uint8))
        samples |= bits[: samples.size].reshape(shape) << (7 - plane)
    half = 128 >> len(layers)  # the middle of what is not known yet
    return Image.fromarray(np.clip(samples.astype(int) + half, 0, 255).astype(np.uint8))


class Decoder:
    def __init__(self, threads=1):
        self.data = b""

    def feed(self, data):
        self.data += data
        return []

    def picture(self):
        return decompress(self.data)


class Layered(Rgru):
    def _api(self):
        return SimpleNamespace(compress=compress, decompress=decompress, info=info, Decoder=Decoder)

    def label(self):
        return "toy layers"


CODECS = {"layered": Layered}
