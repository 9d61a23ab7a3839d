"""The training step under JAX, for a machine with an accelerator: many steps as one program.

The networks, the losses and the optimizer are those of ``rgru_train.trainer``. Here the whole state
of a run is one dictionary of arrays, with the names of a checkpoint, which a step turns into the
next: crops are cut on the device, and prices follow rates there. Needs ``KERAS_BACKEND=jax``.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from rgru_format import InvalidInput
from rgru_train import schedule
from rgru_train.config import RunConfig
from rgru_train.nets.module import Tensor
from rgru_train.objective import Model, followed, loss_of, mean_after, wanted_rates
from rgru_train.optimizer import clipped, make_optimizer
from rgru_train.state import Arrays, part, shaped

State = dict[str, Any]

_PLAIN = ("log_prices", "mean_rates", "mean_distortion")


class Accelerated:
    """Steps of a run as functions of its state.

    Attributes:
        state: ``step``, ``weights``, ``averages``, ``optimizer``, and what rate control knows.

    Args:
        config: of the run.
        arrays: a checkpoint, or what ``rgru-train pack`` wrote.

    Raises:
        InvalidInput: the arrays are of another network, or lack what rate control knows.
    """

    def __init__(self, config: RunConfig, arrays: Arrays) -> None:
        self.config = config
        with keras.StatelessScope(initialize_variables=False):
            self.model = Model(config)
        self.optimizer = make_optimizer(config.training, self.model.named, self.model.codec)
        self.wanted = wanted_rates(config.training.targets)
        self.state = self._state(arrays)

    def _state(self, arrays: Arrays) -> State:
        """The state that a checkpoint holds; the optimizer may begin with nothing remembered."""
        averages = part(arrays, "averages")
        weights = part(arrays, "weights") or averages
        shapes = {name: variable.shape for name, variable in self.model.named.items()}
        missing = [name for name in ("step", *_PLAIN) if name not in arrays]
        if missing:
            raise InvalidInput(f"a start without {', '.join(missing)}: pack a run with a rate term")
        slots = {n: np.zeros(shape) for n, shape in self.optimizer.slots.items()}
        state: State = {
            "step": shaped(arrays, "step", ()),
            "steps": np.array(arrays.get("optimizer/steps", 0)),
            "weights": {name: shaped(weights, name, shape) for name, shape in shapes.items()},
            "averages": {name: shaped(averages, name, shape) for name, shape in shapes.items()},
            "optimizer": slots | {n: a for n, a in part(arrays, "optimizer").items() if n in slots},
            **{name: shaped(arrays, name, (self.config.network.iterations,)) for name in _PLAIN},
        }
        return jax.tree.map(lambda a: jnp.asarray(a, _type(a)), state)

    def arrays(self) -> Arrays:
        """Return the state under the names of a checkpoint (see ``rgru_train.state``)."""
        state = jax.tree.map(np.asarray, self.state)
        arrays: Arrays = {"step": state["step"], "optimizer/steps": state["steps"]}
        arrays |= {name: state[name] for name in _PLAIN}
        for group in ("weights", "averages", "optimizer"):
            arrays |= {f"{group}/{name}": value for name, value in state[group].items()}
        return arrays

    def step(self, state: State, crops: Tensor, rate: Tensor) -> tuple[State, dict[str, Tensor]]:
        """Return the state after a step on (B, side, side, 3) uint8 crops, and a row of the log.

        ``rate``: the learning rate.
        """
        training = self.config.training
        colour = schedule.colour_weight_at(training, training.steps)
        prices, means = jnp.exp(state["log_prices"]), state["mean_distortion"]
        iterations = self.config.network.iterations

        def loss(weights: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            named = self.model.named
            with keras.StatelessScope(state_mapping=[(named[n], w) for n, w in weights.items()]):
                value, *parts = loss_of(self.model, crops, colour, prices, means, iterations)
            return value, tuple(parts)

        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (distortion, rates)), gradients = gradient(state["weights"])
        gradients, norm = clipped(gradients, training.clip)
        steps = state["steps"] + 1
        before = state["weights"], state["optimizer"]
        weights, slots = self.optimizer.step(*before, gradients, rate, steps)
        count = state["step"] + 1
        keep = schedule.averaged_at(training, count, minimum=jnp.minimum)
        averages = jax.tree.map(lambda a, w: w + keep * (a - w), state["averages"], weights)
        log_prices, mean_rates = followed(
            state["log_prices"], state["mean_rates"], self.wanted, rates
        )
        after = {
            "step": count,
            "steps": steps,
            "weights": weights,
            "averages": averages,
            "optimizer": slots,
            "log_prices": log_prices,
            "mean_rates": mean_rates,
            "mean_distortion": mean_after(means, distortion),
        }
        row = {"loss": value, "distortion": distortion, "bpp": jnp.cumsum(rates), "norm": norm}
        return after, row

    @functools.partial(jax.jit, static_argnums=(0, 5), donate_argnums=1)
    def steps(
        self, state: State, tiles: Tiles, key: Tensor, rate: Tensor, count: int
    ) -> tuple[State, dict[str, Tensor]]:
        """Take so many steps on random crops of tiles; return the state and the last row."""

        def one(state: State, key: Tensor) -> tuple[State, dict[str, Tensor]]:
            training = self.config.training
            crops = draw(tiles, key, training.batch, training.crop)
            return self.step(state, crops, rate)

        state, rows = jax.lax.scan(one, state, jax.random.split(key, count))
        return state, jax.tree.map(lambda values: values.mean(axis=0), rows)


def _type(array: NDArray[Any]) -> Any:
    return np.int32 if array.dtype.kind in "iu" else np.float32


Tiles = dict[str, Tensor]
"""``pixels`` (N, side, side, 3) uint8, and ``shares`` (N,): cumulated, how often each is drawn."""


def draw(tiles: Tiles, key: Tensor, batch: int, side: int) -> Tensor:
    """Return random crops (B, side, side, 3), flipped and turned at random.

    As ``rgru_train.crops`` does: the more detailed of two, three times out of four.
    """

    def crop(key: Tensor) -> Tensor:
        keys = jax.random.split(key, 6)
        chosen = jnp.searchsorted(tiles["shares"], jax.random.uniform(keys[0]))
        chosen = jnp.minimum(chosen, len(tiles["shares"]) - 1)
        room = tiles["pixels"].shape[1] - side + 1

        def cut(key: Tensor) -> Tensor:
            y, x = jax.random.randint(key, (2,), 0, room)
            start = (chosen, y, x, 0)
            return jax.lax.dynamic_slice(tiles["pixels"], start, (1, side, side, 3))[0]

        first, second = cut(keys[1]), cut(keys[2])
        busier = jnp.where(_detail(first) >= _detail(second), first, second)
        one = jnp.where(jax.random.uniform(keys[3]) < 0.75, busier, first)
        one = jnp.where(jax.random.uniform(keys[4]) < 0.5, one[:, ::-1], one)
        return jnp.where(jax.random.uniform(keys[5]) < 0.5, one.transpose(1, 0, 2), one)

    return jax.vmap(crop)(jax.random.split(key, batch))


def _detail(crop: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, on a quarter of the pixels."""
    luma = crop[::2, ::2, 1].astype(jnp.float32)
    return jnp.abs(jnp.diff(luma, axis=0)).mean() + jnp.abs(jnp.diff(luma, axis=1)).mean()
