"""Text-to-image systems in small, one function each: same data, same budget, one idea apart.

Most learn in latents: the autoencoder is a stage of the run, for a quarter of the budget.
"""

from dataclasses import replace

from demist.config import (
    CascadeConfig,
    DataConfig,
    DiffusionConfig,
    LatentsConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    Stage,
    Stages,
    TrainConfig,
    flat,
    update,
)
from demist.config.stages import REFERENCE, SHARED, codec_first, part
from demist.parts import with_option
from demist.recipes.editing import ENLARGING
from demist.recipes.images import clip
from demist.recipes.recipe import recipe

FACTOR, BASE, BASE_SHARE = 4, "base", 0.5
"""How many times smaller the images of the first stage of a cascade are; its name, its share of the
time."""
REFINER, REFINER_SHARE, REFINE_FROM = "refiner", 0.2, 0.2
"""Name of the stage that learns to refine, its share of the time that the codec leaves, and when it
takes over, as in SDXL."""
CLIP, PRIOR = "clip", "prior"
"""Names of the stages of DALL-E 2 before its decoder."""
CLIP_SHARE, PRIOR_SHARE = 0.2, 0.1
"""Of the time that the codec leaves, for them."""


@recipe("latent")
def latent() -> TrainConfig:
    """An autoencoder, then a model in its latents; 64 by 64 pixels; give the data: `train PATH`."""
    return TrainConfig(
        data=DataConfig(size=64, channels=3),
        network=NetworkConfig(
            channels_per_level=(32, 64, 128), attention_levels=(1,), cross_levels=(1, 2), patch=1
        ),
        latents=LatentsConfig(codec="kl", latent_channels=4, downsample=4),
        optimization=OptimizationConfig(lr=1e-3, batch_size=64),
        limits=LimitsConfig(budget="40m"),
        output=OutputConfig(sample_guidance=3.0, sample_every="3m"),
    )


@recipe("scenes64")
def scenes64() -> TrainConfig:
    """Coloured digits in scenes described in words, 64 by 64 pixels, in latents; made by code."""
    return replace(
        latent.config(),
        data=DataConfig(path="scenes", size=64, text_length=40, require_captions=True),
        # What is where is decided in strong noise, and words are learned from nothing else.
        diffusion=DiffusionConfig(times="logit-normal:mean=0.5,std=1.2"),
    )


@recipe("emoji")
def emoji() -> TrainConfig:
    """Emoji by their names, 64 by 64 pixels, in latents; give the data: `train PATH`."""
    return update(
        latent.config(),
        {
            "labels": False,
            "text_length": 24,
            "require_captions": True,
            "times": "logit-normal:mean=0.7,std=1.2",
        },
    )


@recipe("pixel")
def pixel() -> TrainConfig:
    """The control of all systems: scenes of 64 by 64 pixels without latents, in the same time."""
    return update(scenes64.config(), {"codec": None, "patch": None})


@recipe("sd")
def sd() -> TrainConfig:
    """Latent diffusion as Stable Diffusion has it: words by cross-attention, eps; on scenes."""
    return update(
        scenes64.config(),
        {
            "network": "sd",
            "text_tower": "clip",
            "schedule": "ddpm-scaled-linear",
            "parameterization": "eps",
            "clock": "index",
            "times": "uniform",
            "weight": "simple",
        },
    )


@recipe("dalle3")
def dalle3() -> TrainConfig:
    """As scenes64, but 95 of 100 captions say all there is, in one wording, as DALL-E 3 has it."""
    return update(scenes64.config(), {"path": "scenes-long"})


def and_refiner(config: TrainConfig) -> Stages:
    """The codec, a refiner that learns little noise alone, then the model that hands over to it.

    A refiner that is named by something else than a stage is not trained.
    """
    if config.cascade.refiner != REFERENCE + REFINER:
        return codec_first(config)
    start, first = config.cascade.refine_from, codec_first(replace(config, cascade=CascadeConfig()))
    last = first.last
    refiner = update(
        replace(last, limits=part(last.limits, REFINER_SHARE)),
        {
            "times": with_option(config.diffusion.times, "high", f"{start:g}"),
            "text_tower": "clip",  # as in SDXL, one encoder reads for its refiner
            "sample_count": 0,  # alone it cannot begin with noise
            "name": REFINER,
        },
    )
    rest = part(last.limits, 1 - REFINER_SHARE)
    said = (
        f"the stage refiner learns from time {start:g} down to the data alone, for "
        f"{REFINER_SHARE:.0%} of the time that the codec leaves; the model, for the rest, learns "
        f"all times and hands over to it there"
    )
    base = replace(last, limits=rest, cascade=config.cascade)
    return Stages((*first.earlier, Stage(REFINER, refiner)), base, (*first.said, said))


@recipe("sdxl", stages=and_refiner)
def sdxl() -> TrainConfig:
    """The form of SDXL: two text towers, sizes and crops told with the prompt, and a refiner."""
    return update(
        sd.config(),
        {
            "sizes": True,
            "text_tower": "clip+own",
            "refiner": REFERENCE + REFINER,
            "refine_from": REFINE_FROM,
        },
    )


@recipe("sd3")
def sd3() -> TrainConfig:
    """The form of Stable Diffusion 3: words and patches in two streams, shifted rectified flow."""
    return update(
        scenes64.config(),
        {
            "network": "mmdit",
            "width": 128,
            "depth": 6,
            "patch": 2,
            "schedule": "linear:shift=2",
            "parameterization": "velocity",
            "clock": "flow",
            "times": "logit-normal",
        },
    )


def enlarged(config: TrainConfig) -> Stages:
    """A cascade: first a model of images `FACTOR` times smaller, then one that makes them large.

    What is not said here is the same in both, such as the data and the text encoder. A base that is
    named by something else than a stage is not trained.
    """
    if REFERENCE + BASE not in (config.cascade.feeds or ""):
        return Stages((), config, ())
    limits = config.limits
    base = update(
        replace(config, limits=part(limits, BASE_SHARE), cascade=CascadeConfig()),
        {
            "reduce": FACTOR * config.data.reduce,
            "conditions": None,
            "channels_per_level": (32, 64, 128),
            "attention_levels": (1,),
            "cross_levels": (1, 2),
            "times": "logit-normal:mean=0.7,std=1.2",
            "batch_size": 64,
            "sample_guidance": 3.0,
            "sample_condition_noise": 0.0,
            "name": BASE,
        },
    )
    last = replace(config, limits=part(limits, 1 - BASE_SHARE))
    said = (
        f"first the stage {BASE}: images {FACTOR} times smaller, for {BASE_SHARE:.0%} of the "
        f"budget; then the model that makes them large"
    )
    return Stages((Stage(BASE, base),), last, (said,))


@recipe("imagen", stages=enlarged)
def imagen() -> TrainConfig:
    """Imagen: 16, then 64 pixels, noise of a told level between, dynamic thresholding; scenes."""
    return update(
        pixel.config(),
        {
            "conditions": f"text,(low-resolution:factor={FACTOR},noise=0.5)",
            "feeds": f"low_resolution={REFERENCE}{BASE}",
            **ENLARGING,
            "patch": 1,
            "cross_levels": (2,),
            "sample_guidance": 1.5,
            "sample_rule": "threshold:model=cfg",
            "sample_condition_noise": 0.1,
        },
    )


@recipe("glide", stages=enlarged)
def glide() -> TrainConfig:
    """GLIDE: a text tower trained along, 16 pixels, then 64 without noise between; scenes."""
    return update(
        imagen.config(),
        {
            "conditions": f"text,(low-resolution:factor={FACTOR},noise=0)",
            "sample_rule": "cfg",
            "sample_condition_noise": 0.0,
        },
    )


def unclip(config: TrainConfig) -> Stages:
    """The codec, a CLIP, a prior of its image vectors, then the decoder, which is told these.

    A CLIP or a prior that is named by something else than a stage is not trained.
    """
    encoder = config.network.image_encoder
    first = codec_first(update(config, {"image_encoder": None}))
    limits, given = first.last.limits, flat(config)
    same = {name: given[name] for name in (*SHARED, "seed")} | {"sample_count": 0, "flip": False}
    stages, said = list[Stage](), list[str]()
    left = 1.0

    def add(name: str, base: TrainConfig, share: float, what: str, **options: object) -> None:
        nonlocal left
        own = replace(base, data=config.data, limits=part(limits, share))
        stages.append(Stage(name, update(own, {**same, **options, "name": name})))
        said.append(f"the stage {name}, {what}, for {share:.0%}")
        left -= share

    if encoder == REFERENCE + CLIP:
        add(CLIP, clip.config(), CLIP_SHARE, "a small CLIP", patch=4)
    if REFERENCE + PRIOR in (config.cascade.feeds or ""):
        guidance = prior.config().output.sample_guidance
        add(
            PRIOR, prior.config(), PRIOR_SHARE, "which makes its vectors of images from prompts",
            image_encoder=encoder, conditions=None, sample_guidance=guidance, sample_rule="cfg",
        )  # fmt: skip
    last = replace(update(first.last, {"image_encoder": encoder}), limits=part(limits, left))
    before = f"before the decoder {' and '.join(said)} of the time that the codec leaves"
    return Stages((*first.earlier, *stages), last, (*first.said, before) if said else first.said)


@recipe("prior")
def prior() -> TrainConfig:
    """A prior as of DALL-E 2: from a prompt to an image vector; give --image-encoder CLIPRUN."""
    return TrainConfig(
        data=DataConfig(labels=False),
        network=NetworkConfig(network="prior", width=384, depth=6, dropout=0.1),
        # It predicts the vector itself, as the paper's does.
        diffusion=DiffusionConfig(
            schedule="cosine", parameterization="x0", times="uniform", weight="x0"
        ),
        # On so small a batch of vectors a step of Muon costs several times what the gradient does.
        optimization=OptimizationConfig(optimizer="adamw", lr=1e-3, batch_size=256),
        limits=LimitsConfig(budget="5m"),
        output=OutputConfig(name="prior", sample_guidance=1.5, sample_count=0),
    )


@recipe("dalle2", stages=unclip)
def dalle2() -> TrainConfig:
    """DALL-E 2: a prior makes the CLIP vector of an image from a prompt, a decoder the image."""
    return update(
        scenes64.config(),
        {
            # Each is hidden by itself, as in the paper: so the decoder also varies an image.
            "conditions": "text:drop=0.3,image-vector:drop=0.15",
            "image_encoder": REFERENCE + CLIP,
            "feeds": f"image_vector={REFERENCE}{PRIOR}",
        },
    )
