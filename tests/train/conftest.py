"""TensorFlow raises warnings of its own; none of them is about this project's code."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
pytest.importorskip("tensorflow", reason="training needs the extra [train]")
