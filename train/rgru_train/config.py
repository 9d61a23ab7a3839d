"""A training run: one frozen description from one TOML file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

from rgru_format import InvalidInput
from rgru_train.nets.config import NetworkConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DISTORTIONS = ("l1", "ms_ssim")
OPTIMIZERS = ("adam", "muon")
PRODUCTS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The ``[training]`` table."""

    crop: int = 128
    """Side of a training crop, pixels; a multiple of the encoder's stride."""
    batch: int = 4
    """Crops a step (over all workers)."""
    branches: int = 1
    """Parts of a device's crops that are computed side by side, each with its share of the cores:
    a CPU divides one small product worse than it works on two. More branches, longer tracing."""
    products: str = "float32"
    """``bfloat16``: multiply so in the networks' convolutions and in Muon, in training steps only;
    faster where the processor knows it, slower where it does not."""
    steps: int = 100_000
    """Length of the run, which the schedule of the learning rate follows."""
    optimizer: str = "adam"
    """``adam``, or ``muon``: Muon for the networks' kernels, Adam for all else."""
    learning_rate: float = 1e-3
    """After the warm-up."""
    warmup: int = 200
    """Steps of linear rise."""
    decay: float = 0.3
    """Last share of the steps, over which the rate falls to near zero along a cosine."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    distortion: str = "ms_ssim"
    """``l1`` (the paper's) or ``ms_ssim``."""
    targets: tuple[float, ...] = ()
    """Cumulative bits per pixel wanted after each iteration; empty: no rate term (the paper)."""
    iteration_weights: tuple[float, ...] = ()
    """Weight of each iteration's distortion (``ms_ssim`` only); empty: 1 each. An iteration of a
    low weight is good for what follows rather than for itself."""
    colour_weight: tuple[float, float] = (1.0, 0.1)
    """Weight of the colour error at the start and after ``colour_steps`` (``ms_ssim`` only)."""
    colour_steps: int = 3000
    """Steps over which the weight of the colour error falls."""
    rate_steps: int = 0
    """Steps over which the price of rate rises to its full; the context model learns meanwhile."""
    context_only: bool = False
    """Train the context model alone, on codes of networks that stay as they are."""
    soft_steps: int = 0
    """Steps over which codes turn from continuous to binary."""
    curriculum: tuple[tuple[int, int], ...] = ()
    """Pairs (step, iterations): how many iterations are trained from a step on."""
    average: float = 0.999
    """Decay of the running mean of the weights, which is what is validated and exported."""
    seed: int = 1
    """Of starting weights and crops: the crops of a step depend on it and the step alone."""
    save_every: int = 500
    """Steps between checkpoints."""
    validate_every: int = 1000
    """Steps between validations."""
    validation_crop: tuple[int, int] = (384, 512)
    """Height and width that validation pictures are cut to (middle); 0, 0: whole pictures, at the
    price of tracing the network for each size anew."""
    log_every: int = 20
    """Steps between rows of the log; every fifth is printed."""
    memory: float = 4.0
    """Gigabytes of decoded photos kept; what does not fit is decoded when it is drawn."""

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        if self.distortion not in DISTORTIONS:
            raise InvalidInput(f"unknown distortion {self.distortion!r}; known: {DISTORTIONS}")
        if self.optimizer not in OPTIMIZERS:
            raise InvalidInput(f"unknown optimizer {self.optimizer!r}; known: {OPTIMIZERS}")
        if self.products not in PRODUCTS:
            raise InvalidInput(f"unknown products {self.products!r}; known: {PRODUCTS}")
        if self.branches < 1 or self.batch % self.branches:
            raise InvalidInput(f"{self.branches} branches cannot share {self.batch} crops evenly")

    @property
    def whole_pictures(self) -> bool:
        """Whether validation pictures are not cut to one size."""
        return not any(self.validation_crop)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, cosine to 1/1000."""
        begin = self.steps * (1.0 - self.decay)
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if step < begin:
            return self.learning_rate
        part = min((step - begin) / max(self.steps - begin, 1.0), 1.0)
        return self.learning_rate * (0.001 + 0.999 * 0.5 * (1.0 + math.cos(math.pi * part)))

    def colour_weight_at(self, step: int) -> float:
        """Weight of the colour error at a step, linear between its two ends."""
        first, last = self.colour_weight
        return first + (last - first) * min(step / max(self.colour_steps, 1), 1.0)

    def rate_share_at(self, step: int) -> float:
        """Share of the full price of rate at a step, 0 to 1."""
        return min(step / self.rate_steps, 1.0) if self.rate_steps else 1.0

    def hardness_at(self, step: int) -> float:
        """Share of the binary value in the codes of a step, 0 to 1."""
        return min(step / self.soft_steps, 1.0) if self.soft_steps else 1.0

    def iterations_at(self, step: int, most: int) -> int:
        """How many of ``most`` iterations step ``step`` trains."""
        current = [iterations for begin, iterations in self.curriculum if begin <= step]
        return min(current[-1], most) if current else most


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Network and training of one run."""

    network: NetworkConfig
    training: TrainingConfig

    @classmethod
    def from_toml(cls, path: Path) -> RunConfig:
        """Read a configuration.

        Raises:
            InvalidInput: the file cannot be read, or something in it does not fit.
        """
        try:
            tables = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise InvalidInput(f"{path}: {error}") from None
        return cls.from_tables(tables)

    @classmethod
    def from_tables(cls, tables: dict[str, Any]) -> RunConfig:
        """Build from parsed tables ``network`` and ``training``."""
        training = {key: _frozen(value) for key, value in tables.get("training", {}).items()}
        known = {field.name for field in dataclasses.fields(TrainingConfig)}
        unknown = sorted(set(training) - known)
        if unknown:
            raise InvalidInput(f"unknown keys in [training]: {', '.join(unknown)}")
        network = NetworkConfig.from_mapping(tables["network"])
        for key in ("targets", "iteration_weights"):
            if training.get(key) and len(training[key]) != network.iterations:
                raise InvalidInput(f"[training] {key} needs one entry for each iteration")
        return cls(network, TrainingConfig(**training))

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """Read what :meth:`as_json` wrote."""
        return cls.from_tables(json.loads(text))

    def as_json(self) -> str:
        """The whole description, in an order that does not change."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def differences(self, other: RunConfig) -> list[str]:
        """What ``other`` says differently, one line a key."""
        lines = []
        for table in ("network", "training"):
            mine, theirs = getattr(self, table), getattr(other, table)
            for field in dataclasses.fields(mine):
                old, new = getattr(mine, field.name), getattr(theirs, field.name)
                if old != new:
                    lines.append(f"[{table}] {field.name}: {old} -> {new}")
        return lines

    @property
    def iteration_weights(self) -> tuple[float, ...]:
        """Weight of the distortion of each iteration."""
        return self.training.iteration_weights or (1.0,) * self.network.iterations

    @property
    def digest(self) -> str:
        """First 8 hexadecimal digits of the sha-256 of the description."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:8]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
