"""`hvae-codec sample`: pictures from noise."""

import click

from . import console, files, images, options


@click.command()
@click.option("-o", "--output", required=True, help="The picture; its suffix names the format.")
@click.option("--size", type=options.Patches(), default="8x12", show_default=True,
              help="Rows x columns of patches of 32x32 pixels.")  # fmt: skip
@click.option("-q", "--quality", type=options.Whole(0, 100), default=60, show_default=True,
              help="How such a picture would have been coded.")  # fmt: skip
@click.option("--temperature", type=options.PositiveNumber(or_zero=True), default=1.0,
              show_default=True,
              help="Below 1 the likely is drawn more often; 0 takes nothing else.")  # fmt: skip
@options.seed_option
@options.prior_option
@options.device_option
def sample(
    output: str,
    size: tuple[int, int],
    quality: int,
    temperature: float,
    seed: int,
    prior: str,
    device: str,
) -> None:
    """Draw a picture from the model.

    The context is drawn from its prior, and the latents from the trunk.
    """
    images.image_format(output)  # a suffix of no format is refused before the work

    from ..codec import api
    from ..codec.images import Pixels
    from ..codec.symbols.stack import Sampling

    with console.blame(output):
        files.check_target(output, replaces=True)
        sampling = Sampling(seed, temperature)
        picture = api.sample(size, quality, prior=prior, sampling=sampling, device=device)
        images.write_image(output, api.Decoded(Pixels(picture, "RGB"), {}, (), 0))
    console.note(f"{console.shown(output)}  {picture.width}x{picture.height}")
