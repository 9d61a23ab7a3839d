"""Importing this module makes Pillow read and write .rgru files; see `rgru_codec.pillow`."""  # noqa: N999 (the name that Pillow's plugins have)

from rgru_codec.pillow import register

register()
