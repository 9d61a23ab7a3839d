"""Running the exported networks. The only door to an inference engine, opened lazily."""
