"""The fuzzer of the format: what it does with inputs, the first of them, and atheris."""
