"""Wind and power at sites of a wind farm, from a model's output or an analysis: ``atmorep site``."""
