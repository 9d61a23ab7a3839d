"""The closed set of errors of this project; nothing else leaves the library for bad input.

"More bytes are needed" is not an error: see ``rgru_format.reader.NeedMoreData``. The
names say what is wrong; a suffix "Error" would say nothing more.
"""

from __future__ import annotations


class RgruError(Exception):
    """Base of every error that this project raises on purpose."""


class NotRgru(RgruError):  # noqa: N818
    """The data does not begin with the signature of a .rgru file (SPEC section 3)."""


class UnsupportedVersion(RgruError):  # noqa: N818
    """The file is sound but asks for something that this decoder does not know."""


class Damaged(RgruError):  # noqa: N818
    """The data breaks a rule of SPEC, or a checksum fails.

    Args:
        message: what is wrong, in words.
        layer: the layer (1-based) that the faulty element belongs to or, of a box, stands before,
            as the elements before it count (SPEC section 10); None for the header or a model file.
        offset: where the faulty structure begins, in bytes from the start of the file.
    """

    def __init__(self, message: str, layer: int | None = None, offset: int | None = None) -> None:
        super().__init__(message, layer, offset)
        self.message = message
        self.layer = layer
        self.offset = offset

    def __str__(self) -> str:
        places = []
        if self.layer is not None:
            places.append(f"layer {self.layer}")
        if self.offset is not None:
            places.append(f"byte {self.offset}")
        return f"{self.message} ({', '.join(places)})" if places else self.message


class LimitExceeded(RgruError):  # noqa: N818
    """The data asks for more than a limit allows.

    Args:
        name: the limit, a field of ``rgru_format.limits.Limits``.
        value: what the data asks for.
        limit: what is allowed.
        how: how to raise the limit, in words; a default is made from the name.
        about: what is over it, where the name alone does not tell: ``thin``, a picture that counts
            as more pixels than it has; ``file``, a picture's file, which is not all it takes.
    """

    def __init__(self, name: str, value: int, limit: int, how: str = "", about: str = "") -> None:
        super().__init__(name, value, limit, how, about)
        self.name = name
        self.value = value
        self.limit = limit
        self.how = how or f"pass Limits({name}=...) to allow more"
        self.about = about

    def __str__(self) -> str:
        return f"{self.name}: {self.value} is over the limit of {self.limit}; {self.how}"


class OutOfMemory(LimitExceeded):
    """The machine has not the memory that the work takes.

    Args:
        what: it takes it for, in words.
    """

    def __init__(self, what: str) -> None:
        super().__init__("memory", 0, 0)
        self.args = (what,)
        self.what = what

    def __str__(self) -> str:
        return f"not enough memory for {self.what}; close other programs or use fewer processes"


class ModelMissing(RgruError):  # noqa: N818
    """The file was written with a model that is not at hand.

    Args:
        model_id: the four bytes that name the model in the header.
        how: the command that installs it, if known.
    """

    def __init__(self, model_id: bytes, how: str = "") -> None:
        super().__init__(model_id, how)
        self.model_id = model_id
        self.how = how

    def __str__(self) -> str:
        text = f"the file needs model {self.model_id.hex()}, which is not installed"
        return f"{text}; install it with: {self.how}" if self.how else text


class InvalidInput(RgruError):  # noqa: N818
    """An argument of the caller (picture, codes, model, option) cannot be represented."""


class Unreadable(InvalidInput):
    """A picture of another format cannot be read: no known format, damaged, or cut short."""
