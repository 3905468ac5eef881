"""What can be wrong with a model, its weights or its training data."""


class ModelError(ValueError):
    """Anything that the models refuse; the message says why in one line."""


class BoundError(ModelError):
    """A filter whose sums could leave the range in which floating point is exact."""


class WeightsError(ModelError):
    """A weight file or a configuration that cannot be used."""


class DataError(ModelError):
    """Training data that cannot be used."""
