"""What the tests of the format share: small models and files, and ways to read them."""

from __future__ import annotations

import pytest
from hypothesis import settings

from rgru_format import ContextModel
from tools.random_files import random_file, random_model

MODEL_ID = b"tiny"

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session")
def model() -> ContextModel:
    return random_model(1, codes=(3, 4, 5), groups=(1, 2, 3), phases=(2, 4, 5))


@pytest.fixture(scope="session")
def files(model: ContextModel) -> list[bytes]:
    """Valid files of random sizes, layer counts and boxes."""
    return [random_file(seed, model, MODEL_ID) for seed in range(12)]
