"""What goes wrong in the evaluator and a user can mend."""

from __future__ import annotations


class EvalError(Exception):
    """Something the user can mend: the message says what, where and how."""


class UnavailableError(EvalError):
    """A codec or program that is not installed; the message says what to install."""


class InterruptedRunError(EvalError):
    """Ctrl-C: what was measured is in the results file."""
