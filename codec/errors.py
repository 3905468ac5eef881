"""What can go wrong beside a damaged file (`bitstream.errors`)."""

from ..bitstream import BitstreamError


class ImageError(ValueError):
    """An image that cannot be encoded; the message says why in one line."""


class LeftOut(UserWarning):
    """An image file holds something that its coded file does not.

    Attributes:
        names: what, as a person names it.
    """

    def __init__(self, source: str, names: tuple[str, ...]):
        super().__init__(f"{source or 'the image'} is encoded without {', '.join(names)}")
        self.names = names


class VerificationFailed(BitstreamError):
    """A file that was just written does not decode to what was coded."""


class TargetError(ValueError):
    """No quality reaches the size or the PSNR that was asked for; the message says what would."""


class PayloadTooShort(ValueError):
    """A bits-back prior finds too few bits to borrow; the message says why in one line."""


class ModelError(ValueError):
    """Anything that the models refuse; the message says why in one line."""


class BoundError(ModelError):
    """A filter whose sums could leave the range in which floating point is exact."""


class WeightsError(ModelError):
    """A weight file or a configuration that cannot be used."""


class DataError(ModelError):
    """Training data that cannot be used."""


class TorchMissing(ModelError):
    """Something needs PyTorch, which is not installed; the message names the command."""
