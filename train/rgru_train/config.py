"""A training run: one frozen description from one TOML file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from rgru_format import POSITION, InvalidInput
from rgru_train.nets.config import Count, NetworkConfig, Positive, Share, Weight, Whole

_Cut: TypeAlias = Annotated[int, msgspec.Meta(ge=0, multiple_of=POSITION)]
_Part: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([EBLDPC]|log_gains)")]

CONFIGS = Path(__file__).parent / "configs"
"""Configurations that are installed, each NAME.toml."""


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ``[training]`` table."""

    crop: Annotated[int, msgspec.Meta(ge=POSITION, multiple_of=POSITION)] = 128
    """Side of a training crop, pixels; a multiple of the encoder's stride."""
    batch: Count = 4
    """Crops a step (over all workers)."""
    branches: Count = 1
    """Parts of a device's crops that are computed side by side, each with its share of the cores:
    a CPU divides one small product worse than it works on two. More branches, longer tracing."""
    products: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16``: multiply so in the networks' kernels and in Muon, in training steps only;
    faster where the processor knows it, slower where it does not."""
    steps: Count = 100_000
    """Length of the run, which the schedule of the learning rate follows."""
    optimizer: Literal["adam", "muon"] = "adam"
    """``adam``, or ``muon``: Muon for the networks' matrices, Adam for all else."""
    learning_rate: Positive = 1e-3
    """After the warm-up."""
    warmup: Whole = 200
    """Steps of linear rise."""
    decay: Share = 0.3
    """Last share of the steps, over which the learning rate falls to near zero along a cosine."""
    clip: Positive = 1.0
    """Largest global norm of the gradient."""
    distortion: Literal["l1", "ms_ssim"] = "ms_ssim"
    """``l1`` (the paper's) or ``ms_ssim``."""
    luma: Share = 0.5
    """Share of luma in MS-SSIM; R, G and B share the rest."""
    targets: tuple[Positive, ...] = ()
    """Cumulative bits per pixel wanted after each iteration; empty: no rate term (the paper)."""
    iteration_weights: tuple[Weight, ...] = ()
    """Weight of each iteration's MS-SSIM; empty: 1 each. An iteration of a low weight is good for
    what follows rather than for itself. Colours have their full weight in each."""
    squared_error: tuple[Weight, ...] = ()
    """Weight of the logarithm of each iteration's mean squared error beside MS-SSIM; empty: 0
    each. Upper layers go on by it where MS-SSIM has no more to say."""
    ssimulacra2: tuple[Weight, ...] = ()
    """Weight of the logarithm of each iteration's sum of errors as SSIMULACRA2 has it, beside
    MS-SSIM; empty: 0 each."""
    colour_weight: tuple[Weight, Weight] = (1.0, 0.1)
    """Weight of the colour error at the start and after ``colour_steps`` (``ms_ssim`` only)."""
    tint: tuple[Weight, ...] = ()
    """Weight of the error of the mean colours of squares of 8x8 pixels in each iteration
    (``ms_ssim`` only); empty: .15 each."""
    colour_steps: Whole = 3000
    """Steps over which the weight of the colour error falls."""
    rate_steps: Whole = 0
    """Steps over which the price of rate rises to its full; the context model learns meanwhile."""
    only: tuple[_Part, ...] = ()
    """Parts that are trained, by the first letters of their weights' names: E encoder,
    B binarizer, L linear path, D decoder, P head or painter, C context model, log_gains; empty:
    all."""
    curriculum: tuple[tuple[Whole, Count], ...] = ()
    """Pairs (step, iterations): how many iterations are trained from a step on."""
    average: Share = 0.999
    """Decay of the running mean of the weights, which is what is validated and exported."""
    seed: Whole = 1
    """Of starting weights and crops: the crops of a step depend on it and the step alone."""
    made: Share = 0.05
    """Share of crops that are made: flat and saturated grounds, exchanged colours, text and lines
    over photos, near-grey pictures."""
    save_minutes: Weight = 5.0
    """Minutes between checkpoints."""
    validate_every: Count = 1000
    """Steps between validations."""
    validation_crop: tuple[_Cut, _Cut] = (384, 512)
    """Height and width that validation pictures are cut to (middle); 0, 0: whole pictures, at the
    price of tracing the network for each size anew."""
    log_every: Count = 20
    """Steps between rows of the log; every fifth is printed."""
    memory: Weight = 4.0
    """Gigabytes of decoded photos kept; what does not fit is decoded when it is drawn."""

    def __post_init__(self) -> None:
        """Check what the types do not."""
        if self.batch % self.branches:
            raise ValueError(f"{self.branches} branches cannot share {self.batch} crops evenly")
        begins = [step for step, _ in self.curriculum]
        for key, values in (("targets", list(self.targets)), ("curriculum", begins)):
            if values != sorted(set(values)):
                raise ValueError(f"each entry of {key} is above the one before")
        if any(self.validation_crop) and not all(self.validation_crop):
            raise ValueError("validation_crop is two sides, or 0, 0")


_UNSAID = {"iteration_weights": 1.0, "squared_error": 0.0, "ssimulacra2": 0.0, "tint": 0.15}
"""Weights of the iterations, and the weight that an empty one of them stands for."""


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Network and training of one run."""

    network: NetworkConfig
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        """Check that the two fit together."""
        for key in ("targets", *_UNSAID):
            values = getattr(self.training, key)
            if values and len(values) != self.network.iterations:
                raise ValueError(f"[training] {key} needs one entry for each iteration")
        most = self.network.iterations
        if any(iterations > most for _, iterations in self.training.curriculum):
            raise ValueError(f"[training] curriculum has more than the network's {most} iterations")

    @classmethod
    def from_toml(cls, source: Path) -> RunConfig:
        """Read a configuration.

        Args:
            source: a TOML file, or the name of an installed configuration.

        Raises:
            InvalidInput: the file cannot be read, or something in it does not fit.
        """
        path = source
        if not source.exists() and source.name == str(source):
            path = CONFIGS / f"{source}.toml"
        try:
            return msgspec.toml.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.toml")))
            raise InvalidInput(f"{source}: no such file, nor one of {known}") from None
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise InvalidInput(f"{path}: {error}") from None

    @classmethod
    def of_run(cls, run: Path) -> RunConfig:
        """Read what a run's folder says.

        Raises:
            InvalidInput: it holds no run, or one of another version.
        """
        path = run / "config.json"
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except OSError as error:
            raise InvalidInput(f"{run} holds no run: {error.strerror}") from None

    @classmethod
    def from_json(cls, text: str | bytes, place: str = "a run") -> RunConfig:
        """Read what ``as_json`` wrote, found at a ``place``.

        Raises:
            InvalidInput: it is not of this version.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (ValueError, msgspec.DecodeError) as error:
            raise InvalidInput(f"{place}: not a configuration of this version: {error}") from None

    def as_json(self) -> str:
        """Return the whole description, in an order that does not change."""
        return msgspec.json.encode(self, order="deterministic").decode()

    def differences(self, other: RunConfig) -> list[str]:
        """Return what ``other`` says differently, one line a key."""
        lines = []
        for table in ("network", "training"):
            mine, theirs = (msgspec.to_builtins(getattr(run, table)) for run in (self, other))
            changed = (key for key in mine if mine[key] != theirs[key])
            lines += [f"[{table}] {key}: {mine[key]} -> {theirs[key]}" for key in changed]
        return lines

    def weights(self, key: str) -> tuple[float, ...]:
        """Return what a key of ``[training]`` says of each iteration, or what stands for nothing.

        Args:
            key: ``iteration_weights``, ``squared_error``, ``ssimulacra2`` or ``tint``.
        """
        return getattr(self.training, key) or (_UNSAID[key],) * self.network.iterations

    @property
    def digest(self) -> str:
        """First 8 hexadecimal digits of the sha-256 of the description."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:8]
