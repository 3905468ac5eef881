"""Training for the eye sees the errors and the maps that encoding for the eye does."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hvae_codec.codec.images import Pixels
from hvae_codec.codec.rate_control.maps import eye_offsets
from hvae_codec.codec.rate_control.score import ssimulacra2
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.qualities import at_fine, at_latents, at_patches
from hvae_codec.models.training.eye import eye_map
from hvae_codec.models.training.losses import objective
from hvae_codec.models.training.ssimulacra2 import error


def tensor_of(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()


def score_of(errors: Tensor) -> Tensor:
    """Return the scores of errors: 100 is equal, 90 hardly told apart."""
    bent = 2.326765642916932 * errors - 0.020884521182843837 * errors**2
    bent = bent + 6.248496625763138e-05 * errors**3
    return 100 - 10 * bent.clamp_min(0) ** 0.6276336467831387


@pytest.mark.parametrize("size", [(192, 160), (131, 97)])
@pytest.mark.parametrize("quality", [10, 60, 95])
def test_the_error_is_that_of_the_metric(
    photograph: np.ndarray, size: tuple[int, int], quality: int
) -> None:
    pytest.importorskip("ssimulacra2")
    original = Image.fromarray(photograph[: size[1], : size[0]])
    file = BytesIO()
    original.save(file, "JPEG", quality=quality)
    decoded = Image.open(file).convert("RGB")
    found = score_of(error(tensor_of(original), tensor_of(decoded)))
    assert float(found) == pytest.approx(ssimulacra2(original, decoded), abs=0.01)


def test_an_equal_picture_has_no_error_and_a_finite_gradient(photograph: np.ndarray) -> None:
    pytest.importorskip("ssimulacra2")
    original = tensor_of(Image.fromarray(photograph[:64, :64]))
    decoded = original.clone().requires_grad_()
    found = error(original, decoded)
    found.sum().backward()
    assert found.item() == pytest.approx(0, abs=1e-2)
    assert decoded.grad is not None and decoded.grad.isfinite().all()


def test_mixed_precision_leaves_the_error_what_it_is(photograph: np.ndarray) -> None:
    pytest.importorskip("ssimulacra2")
    original = tensor_of(Image.fromarray(photograph[:64, :64]))
    found = []
    for is_mixed in (False, True):
        decoded = (original + 8 * torch.sin(original)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            errors = error(original, decoded)
        errors.sum().backward()
        found.append((errors.detach(), decoded.grad))
    torch.testing.assert_close(*found)


def test_the_map_is_the_encoders(photograph: np.ndarray) -> None:
    crop = np.ascontiguousarray(photograph[:128, :96])
    crop[:32, :32] = 200
    found = eye_map(tensor_of(Image.fromarray(crop)).byte(), torch.tensor([50.0]), (36, 61))
    wanted = (50 + eye_offsets(Pixels(crop))).clip(24, 66)
    assert len(np.unique(wanted)) > 2
    assert np.array_equal(at_patches(found)[0, 0].numpy(), wanted)
    assert at_latents(found).shape == (1, 1, 16, 12) and at_fine(found).shape == (1, 1, 32, 24)
    assert (at_fine(found)[0, 0, :8, :8] == wanted[0, 0]).all()


def test_a_step_for_the_eye_teaches_all_that_decides(
    tiny_model: DctVae, photograph: np.ndarray
) -> None:
    pytest.importorskip("ssimulacra2")
    crops = tensor_of(Image.fromarray(photograph[:64, :64])).to(torch.uint8)
    torch.manual_seed(0)
    loss, terms = objective(tiny_model, crops, crops[:0], (36, 61), eye=0.5)
    loss.backward()
    taught = {n for n, p in tiny_model.latents.named_parameters() if p.grad is not None}
    assert taught == {n for n, _ in tiny_model.latents.named_parameters()}
    torch.manual_seed(0)
    squared, _ = objective(tiny_model, crops, crops[:0], (36, 61))
    assert terms.bpp.isfinite().all() and squared.item() != loss.item()
