"""ICC profiles: made where a file tells its colours by other means, and checked against pixels.

Code points are those of ITU-T H.273, which PNG (cICP), AVIF and HEIC (nclx) share. A made profile
also holds them in its tag `cicp` (ICC.1:2022, 9.2.17).
"""

from __future__ import annotations

import struct

import numpy as np

from ...bitstream import Color

SRGB_CODES = bytes([1, 13])
"""Primaries and transfer of sRGB."""

_UNSPECIFIED = 2
_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_CHROMATICITIES = {
    1: (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (_DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""White, red, green and blue (x, y) of the primaries."""

# Parametric curves of ICC: (a X + b)**g from X = d on, c X below.
_REC709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_PARAMETERS = {
    1: _REC709,
    4: (2.2,),
    5: (2.8,),
    6: _REC709,
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0912),
    8: (1.0,),
    13: (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    14: _REC709,
    15: _REC709,
}
_PQ, _HLG = 16, 18

_ADOBE_GAMMA = 563 / 256
_ADOBE = (_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])


class UnknownColors(ValueError):
    """Colours that no profile here stands for; the message names them."""


def profile_of_codes(primaries: int, transfer: int, grey: bool) -> bytes:
    """Return the profile of code points; empty for sRGB and for what is not specified.

    Raises:
        UnknownColors: there is no such profile here.
    """
    named = (
        1 if primaries == _UNSPECIFIED else primaries,
        13 if transfer == _UNSPECIFIED else transfer,
    )
    if named == tuple(SRGB_CODES):
        return b""
    if named[0] not in _CHROMATICITIES or named[1] not in (*_PARAMETERS, _PQ, _HLG):
        raise UnknownColors(f"colour of primaries {primaries} and transfer {transfer}")
    curve = _table(named[1]) if named[1] in (_PQ, _HLG) else _parametric(_PARAMETERS[named[1]])
    return _profile(_CHROMATICITIES[named[0]], curve, grey, bytes([*named, 0, 1]))


def profile_of_gamma(
    gamma: float | None, chromaticities: tuple[float, ...] | None, grey: bool
) -> bytes:
    """Return the profile of a PNG's gAMA and cHRM; empty where they tell of sRGB.

    Args:
        gamma: the exponent of encoding, 0.45455 for sRGB; None where it is not told.
        chromaticities: x and y of white, red, green and blue; None where they are not told.
        grey: whether the pixels have luma alone.

    Raises:
        UnknownColors: the numbers stand for no colours.
    """
    points = _CHROMATICITIES[1]
    if chromaticities and not grey:
        points = tuple(zip(chromaticities[::2], chromaticities[1::2], strict=True))
    plain = np.allclose(points, _CHROMATICITIES[1], atol=1e-3)
    usual = gamma is None or abs(gamma - 0.45455) < 1e-3  # which stands for sRGB's own curve
    if plain and usual:
        return b""
    try:
        curve = _PARAMETERS[13] if gamma is None or usual else (1 / gamma,)
        return _profile(points, _parametric(curve), grey)
    except (ArithmeticError, ValueError, struct.error, np.linalg.LinAlgError) as error:
        raise UnknownColors("gAMA and cHRM that stand for no colours") from error


def adobe_rgb() -> bytes:
    """Return a profile of Adobe RGB (1998), which cameras name by EXIF's interoperability R03."""
    return _profile(_ADOBE, _parametric((_ADOBE_GAMMA,)), grey=False)


def misfit(profile: bytes, color: Color) -> str | None:
    """Say of what colours a profile is that does not describe the pixels; None where it does.

    One of RGB describes grey as well: equal amounts.
    """
    space = profile[16:20]
    fits = (b"RGB ", b"GRAY") if color.is_grey else (b"RGB ",)
    known = (b"GRAY", b"CMYK", b"Lab ", b"XYZ ", b"YCbr", b"HSV ", b"CMY ", *fits)
    return None if space in fits or space not in known else space.decode().strip()


def codes_of(profile: bytes) -> bytes | None:
    """Return the four bytes of PNG's chunk cICP that a profile's tag `cicp` holds."""
    count = struct.unpack_from(">I", profile, 128)[0] if len(profile) >= 132 else 0
    for at in range(132, min(132 + 12 * count, len(profile) - 11), 12):
        tag, offset, size = struct.unpack_from(">4sII", profile, at)
        if tag == b"cicp" and size >= 12 and offset + 12 <= len(profile):
            return profile[offset + 8 : offset + 12]
    return None


def _profile(
    points: tuple[tuple[float, float], ...], curve: bytes, grey: bool, codes: bytes = b""
) -> bytes:
    """Lay out a display profile of primaries and a curve that all channels share."""
    white = _xyz(points[0])
    adapt = _adaptation(white)
    tags = {b"desc": _text("made from the file's colours"), b"cprt": _text("no copyright")}
    tags |= {b"wtpt": _tristimulus(_D50), b"chad": _matrix(adapt)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        columns = np.stack([_xyz(point) for point in points[1:]], axis=1)
        columns = adapt @ (columns * np.linalg.solve(columns, white))
        for name, column in zip("rgb", columns.T, strict=True):
            tags |= {f"{name}XYZ".encode(): _tristimulus(column), f"{name}TRC".encode(): curve}
    if codes:
        tags[b"cicp"] = b"cicp" + bytes(4) + codes
    return _laid_out(tags, b"GRAY" if grey else b"RGB ")


def _laid_out(tags: dict[bytes, bytes], space: bytes) -> bytes:
    begin = 128 + 4 + 12 * len(tags)
    table, body, places = struct.pack(">I", len(tags)), b"", {}
    for name, payload in tags.items():
        if payload not in places:  # curves are shared
            places[payload] = begin + len(body)
            body += payload + bytes(-len(payload) % 4)
        table += struct.pack(">4sII", name, places[payload], len(payload))
    header = struct.pack(
        ">I4sI4s4s4s12s4s28s12s48x",
        begin + len(body), b"", 0x04400000, b"mntr", space, b"XYZ ",
        struct.pack(">6H", 2000, 1, 1, 0, 0, 0), b"acsp", b"", _numbers(_D50),
    )  # fmt: skip
    return header + table + body


def _xyz(point: tuple[float, float]) -> np.ndarray:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(white: np.ndarray) -> np.ndarray:
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.solve(_BRADFORD, np.diag(gains) @ _BRADFORD)


def _numbers(values: np.ndarray | tuple[float, ...]) -> bytes:
    """Pack as s15.16."""
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _tristimulus(xyz: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _numbers(xyz)


def _matrix(rows: np.ndarray) -> bytes:
    return b"sf32" + bytes(4) + _numbers(rows.ravel())


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", len(coded), 28) + coded


def _parametric(parameters: tuple[float, ...]) -> bytes:
    kind = 0 if len(parameters) == 1 else 3
    return b"para" + struct.pack(">4xHxx", kind) + _numbers(parameters)


def _table(transfer: int) -> bytes:
    signal = np.linspace(0, 1, 1024)
    if transfer == _PQ:  # SMPTE ST 2084; 1 is 10 000 cd/m2
        power = signal ** (32 / 2523)
        linear = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            8192 / 1305
        )
    else:  # ARIB STD-B67
        high = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        linear = np.where(signal <= 0.5, signal**2 / 3, high)
    levels = np.round(linear.clip(0, 1) * 65535).astype(">u2")
    return b"curv" + struct.pack(">4xI", len(levels)) + levels.tobytes()
