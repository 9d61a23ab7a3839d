"""What goes wrong in the evaluator and a user can mend."""

from __future__ import annotations


class EvalError(Exception):
    """Something the user can mend: the message says what, where and how."""


def in_words(error: BaseException) -> str:
    """Return what went wrong; errors of others are told with their kind."""
    return str(error) if isinstance(error, EvalError) else f"{type(error).__name__}: {error}"


class UnavailableError(EvalError):
    """A codec or program that is not installed; the message says what to install."""


class InterruptedRunError(EvalError):
    """Ctrl-C: what was measured is in the results file."""
