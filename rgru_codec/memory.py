"""How much memory work on a picture takes: what ``Limits(max_memory)`` is compared with.

The figures are sums over everything that is alive at once at the worst moment, from the shapes in
the model package; programs, libraries and weights come on top (about 150 MB). A test holds them
against the peak of a real process.
"""

from __future__ import annotations

from collections.abc import Iterable

from rgru_codec.iterations import frame_for, takes_turns
from rgru_codec.models import Model
from rgru_codec.runtime.footprint import footprint
from rgru_codec.runtime.networks import Network, Painter, Port
from rgru_codec.runtime.rect import Rect
from rgru_codec.runtime.windows import border_of, grid, is_large
from rgru_format.codes import kept_bytes, working_bytes
from rgru_format.limits import POSITION, grid_size

_ENGINE = 1.5
"""Memory inside an engine, as a multiple of the values that are alive at once."""


def decoding_bytes(model: Model, height: int, width: int, area: Rect | None = None) -> int:
    """About how many bytes decoding a picture, or an area of it, takes at most."""
    wanted = area or Rect(0, height, 0, width)
    frame = frame_for(model, height, width, wanted)
    pixels = wanted.height * wanted.width
    rows, columns = grid_size(height, width)
    context = model.context()
    networks = _networks(model)
    return int(
        _kept(networks, frame)
        + _kept(networks[-1:], frame)  # once more for a preview
        + _at_work(networks, frame)
        + kept_bytes(context, rows, columns)
        + sum(model.codes) / 8 * rows * columns
        + pixels * 3  # 8-bit planes
        + max(
            working_bytes(context, rows, columns) - kept_bytes(context, rows, columns),
            3 * max(model.codes) * rows * columns,  # unpacking a layer of codes
            pixels * 4 + height * width,  # Pillow's picture, an alpha plane
        )
    )


def encoding_bytes(model: Model, height: int, width: int) -> int:
    """About how many bytes encoding a picture takes at most; an alpha plane comes on top."""
    rows, columns = grid_size(height, width)
    frame = Rect(0, height, 0, width).aligned(POSITION)
    pixels = frame.height * frame.width
    context = model.context()
    layer = max(model.codes) * rows * columns
    networks = [*_networks(model), model.encoder().network(max(model.codes))]
    between = max(
        working_bytes(context, rows, columns) - kept_bytes(context, rows, columns) + layer,
        pixels * (3 + 1.3),  # what is shown; MS-SSIM: smaller planes of both in 16 bits
        pixels * 4,  # at the start: Pillow's picture
    )
    engines = _at_work(networks, frame)  # which take turns hold no memory between layers
    work = max(between, layer + engines) if takes_turns(frame) else max(between, layer) + engines
    return int(
        _kept(networks, frame)
        + pixels * 3 * _value_bytes(frame)  # the picture that is subtracted
        + kept_bytes(context, rows, columns)
        + pixels * 6  # its levels, and the file that they come from if that is not compressed
        + work
    )


def _networks(model: Model) -> list[Network]:
    most = max(model.codes)
    return [model.half.decoder(most), model.half.painter(most)]


def _kept(networks: Iterable[Network], frame: Rect) -> float:
    """States, and what the painter reads, over the whole picture."""
    ports = [network.inputs[name] for network in networks for name in network.states]
    for network in networks:
        if isinstance(network, Painter):
            ports += network.inputs.values()
    return _value_bytes(frame) * sum(map(_values, ports)) * frame.height * frame.width


def _at_work(networks: Iterable[Network], frame: Rect) -> float:
    """All networks, or, where they take turns, the largest."""
    sizes = [_working(network, frame) for network in networks]
    return max(sizes) if takes_turns(frame) else sum(sizes)


def _working(network: Network, frame: Rect) -> float:
    """A network's windows: states that wait to replace others, and the engine's memory."""
    plan = grid(frame, frame, border_of(network.reach))
    _, read = plan.windows[0]
    size = read.height * read.width
    waiting = min(frame.height * frame.width, (plan.lag + 1) * size)
    states = sum(_values(network.inputs[name]) for name in network.states)
    return (
        _value_bytes(frame) * states * waiting + 4 * _ENGINE * float(footprint(network).most) * size
    )


def _values(port: Port) -> float:
    """Values a pixel."""
    return port.channels / port.spacing**2


def _value_bytes(frame: Rect) -> int:
    return 2 if is_large(frame) else 4
