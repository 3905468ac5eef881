"""What can go wrong between an image and its file, beside a damaged file (`bitstream.errors`)."""

from ..bitstream import BitstreamError


class ImageError(ValueError):
    """An image that cannot be encoded; the message says why in one line."""


class VerificationFailed(BitstreamError):
    """A file that was just written does not decode to what was coded."""


class TargetError(ValueError):
    """No quality reaches the size or the PSNR that was asked for; the message says what would."""


class PayloadTooShort(ValueError):
    """A prior that takes bits back finds too few; the message says why in one line."""
