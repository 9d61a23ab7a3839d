"""The .rgru file format: bytes, codes and integers (normative text: format/SPEC.md)."""
