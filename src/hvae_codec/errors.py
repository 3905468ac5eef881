"""Every error that this package raises of its own, and its one warning.

HvaeError
    ArgumentError           an argument; also a ValueError
    ImageError              an image that cannot be encoded
    BitstreamError          a file that cannot be decoded; a class below it for each cause
    ModelError              what computes
        WeightsError        a weight file that cannot be used
        TorchMissing, ...   a package that is not installed
    TargetError             no quality gives what was asked for
    PayloadTooShort         a prior that takes bits back finds too few
"""

from .bitstream.errors import (
    ArgumentError,
    BitstreamError,
    HeaderDamaged,
    HvaeError,
    ImageError,
    ImageTooLarge,
    IndexDamaged,
    InvalidField,
    InvalidTables,
    MapDamaged,
    MetadataDamaged,
    NotOurFile,
    StreamDamaged,
    SymbolOutOfRange,
    TileDamaged,
    TrailingData,
    Truncated,
    UnsupportedVersion,
    WrongWeights,
)
from .codec.errors import (
    BoundError,
    ConfigError,
    DataError,
    LeftOut,
    MetricMissing,
    ModelError,
    PayloadTooShort,
    TargetError,
    TorchMissing,
    VerificationFailed,
    WeightsError,
)

__all__ = [
    "ArgumentError",
    "BitstreamError",
    "BoundError",
    "ConfigError",
    "DataError",
    "HeaderDamaged",
    "HvaeError",
    "ImageError",
    "ImageTooLarge",
    "IndexDamaged",
    "InvalidField",
    "InvalidTables",
    "LeftOut",
    "MapDamaged",
    "MetadataDamaged",
    "MetricMissing",
    "ModelError",
    "NotOurFile",
    "PayloadTooShort",
    "StreamDamaged",
    "SymbolOutOfRange",
    "TargetError",
    "TileDamaged",
    "TorchMissing",
    "TrailingData",
    "Truncated",
    "UnsupportedVersion",
    "VerificationFailed",
    "WeightsError",
    "WrongWeights",
]
