"""All options of a training run, once: flags, TOML files and the Python API read them from here.

A `TrainConfig` is plain frozen data in nine sections. Its values come from the defaults below, a
recipe, a TOML file (`load_toml`) and flags, later ones winning. Names are unique across sections,
so a flag needs no prefix (`--size 32 --lr 3e-4`) and `update(config, {"size": 32})` needs no path.

A component is named with its parameters after a colon: `"vp:beta_max=12"`,
`"lognormal:mean=-1,std=1.4"`. Its name is checked against the source, so that nothing is imported;
its parameters when it is made.
"""

import typing
from dataclasses import dataclass, fields
from typing import Literal

from demist.config.section import Section, option

CODEC_KINDS = ("kl", "vq", "tiny", "own")
"""Values of `codec` that are the kind of an autoencoder and not the place of one."""
CODEC_WORDS = (*CODEC_KINDS, "wave")
"""All values of `codec` that are no place: `wave` is a codec without networks."""


@dataclass(frozen=True)
class DataConfig(Section):
    """What to learn from."""

    path: str = "digits"
    """Folder, file or archive of data, or an embedded set: digits, scenes, scenes-long, loops,
    one-shots, moons, spiral, 25-gaussians, eight."""
    kind: str | None = option(None, part=("modalities", "Modality"))
    """Kind of data: images, points or sounds. None: shapes of arrays and endings of files say
    it."""
    size: int | str | None = option(None, kind="size")
    """Side of the square images, pixels, or height x width, as 48x64, to which images are brought
    (see fit). None: their own size if all are alike."""
    channels: int | None = option(None, 1, 4)
    """Colour channels: 1 grey, 3 RGB, 4 RGBA. None: 3 if an image is in colour, else 1."""
    background: str = "white"
    """Colour put behind transparent pixels: a name or #rrggbb."""
    fit: Literal["crop", "pad", "squash", "random"] = "crop"
    """How images of another shape are brought to the size: crop keeps the middle, random a part
    that lies anywhere (of each image one), pad all between margins of the background, squash all
    out of proportion."""
    buckets: str | None = option(None, kind="buckets")
    """How many shapes of about the area of size, or which, as 64x64,48x80: each image is brought to
    that of the nearest shape, and each batch is of one. None: all to size."""
    sizes: bool = False
    """Tell the network the size that an image had, where it was cut and its size now; they are
    hidden together with the prompt."""
    range: str | None = option(None, kind="range")
    """Numbers that become black and white, as 0:4095. None: 0:255 for bytes; else what holds all
    data of 0:255, 0:4095, 0:65535, or 0:1 and -1:1 with fractions."""
    rate: int | None = option(None, 2000, 96_000)
    """Sounds: samples a second to which they are brought. None: that of most files, at most
    16000."""
    seconds: float | None = option(None, 0.01, 60)
    """Sounds: how long each is; shorter ones are followed by silence, of longer ones a part is
    drawn anew in each epoch. None: as long as 95 of 100 files are, at most 4."""
    reduce: int = option(1, 1, 64)
    """Average blocks of so many pixels by as many, after the images are brought to the size: what a
    condition low-resolution shows of them, for the first stage of a cascade. 1: leave them."""
    limit: int | None = option(None, 1)
    """Use at most this many items. None: all."""
    max_bad: float = option(0.01, 0, 1)
    """Fraction of unreadable files to tolerate; more stops the run."""
    hold_out: float | None = option(None, 0, 0.5)
    """Share of every class that training never sees, for an honest evaluation, where the data has
    no test or valid part; 0 learns from all. None: a tenth, of 100 items with 10 of a class."""
    label_column: str | None = None
    """Column of the classes, in a file that lists images. None: label, class or target."""
    caption_column: str | None = None
    """Column of the captions. None: text, caption or prompt."""
    long_captions: str | None = None
    """Column of long captions, which take the place of 95 of 100 short ones, and of all in a part
    valid or test, as in DALL-E 3. None: there are none."""
    class_level: int | None = option(None, 1, 100)
    """Which of the folders below each other is the class of an image. None: the uppermost, 1."""
    flip: bool = False
    """Mirror images left-right half of the time. Not for digits or letters."""
    conditions: str | None = None
    """Columns of the data to condition on, such as digit,speaker; each is hidden by itself. None:
    class labels, and captions of images, which usual stands for among others: usual,masked."""
    labels: bool = True
    """Condition on class labels, if the data has them."""
    given: float | None = option(None, 0.01, 1)
    """Sounds: share of each batch that is shown a part of what it is to make, drawn anew in every
    step: its beginning, its end, or all but a gap. Then recordings can be continued and repaired.
    None: nothing is shown."""
    label_drop: float = option(0.1, 0, 1)
    """Probability of hiding a label or caption while training; above 0 it allows guidance."""
    captions: bool = True
    """Condition on captions, if the data has them."""
    require_captions: bool = False
    """Refuse data without captions, before anything is trained: for recipes that follow prompts."""
    text_length: int = option(64, 2, 1024)
    """Longest prompt in tokens; longer captions are cut, and their number is printed."""
    text_vocabulary: int = option(2000, 300, 100_000)
    """Words known, if the captions have no more; else the size of a vocabulary of byte pairs."""


@dataclass(frozen=True)
class NetworkConfig(Section):
    """The shape of the network."""

    network: str = option(
        "auto", part=("networks", "Network"), words=("auto", "autoencoder", "clip", "prior")
    )
    """Kind of network: unet or dit (a transformer) for images, mlp for points, unet1d for waves, or
    another of `demist list networks`; auto: unet, mlp or unet1d. Options may follow, as in
    unet:channels=(32,64), and those below fill what is left open. Or autoencoder: no samples but a
    codec, for --codec. Or clip: images and captions become vectors of one space, for --text-encoder
    and --clip. Or prior: an mlp that makes the vectors that the CLIP of image_encoder makes of
    images, by their captions, for --feeds."""
    channels_per_level: tuple[int, ...] = option((32, 64), 4, 4096)
    """U-Net, autoencoder, CLIP: channels at each resolution, finest first; the form tiny
    takes the largest for all."""
    blocks_per_level: int = option(1, 1, 16)
    """U-Net, autoencoder, CLIP: residual blocks at each resolution."""
    attention_levels: tuple[int, ...] = option((), 0, 16)
    """U-Net: levels with self-attention; 0 is the finest."""
    mid_attention: bool = True
    """U-Net: self-attention at the coarsest resolution, between the two halves."""
    mid_positions: int | None = option(4096, 1)
    """U-Net: no such self-attention where that has more positions than this, 64 x 64, since its
    time grows with their square. none: always."""
    head_dim: int = option(32, 1, 4096)
    """U-Net, DiT: channels per attention head."""
    norm_groups: int | None = option(None, 1, 4096)
    """U-Net: groups of every normalisation; must divide all channels. None: groups of 16 channels,
    which a CPU computes fastest."""
    scale_shift: bool = True
    """U-Net: time and class scale and shift the features instead of being added."""
    qk_norm: bool = False
    """U-Net, DiT: normalise queries and keys of attention."""
    patch: int | None = option(None, 1, 4)
    """U-Net, DiT, autoencoder: side of the patches in which pixels enter: 1, 2 or 4. 1 sees finer,
    2 is about 4 times as fast. None: 2; in the latents of a codec 1."""
    dropout: float = option(0.0, 0, 0.95)
    """Dropout probability in residual blocks."""
    width: int = option(128, 1, 65536)
    """MLP, DiT: units per layer. CLIP: numbers in the vector of an image or a text."""
    depth: int = option(4, 1, 256)
    """MLP: hidden layers; DiT: blocks."""
    cross_levels: tuple[int, ...] | None = option(None, 0, 16)
    """U-Net: levels whose pixels attend to the words of a prompt. None: all."""
    text_width: int = option(128, 32, 4096)
    """Width of the transformer that reads prompts, a multiple of 32."""
    text_depth: int = option(2, 1, 64)
    """Its layers."""
    text_encoder: str | None = None
    """Folder of a pretrained encoder (CLIP, T5, ...; needs demist[encoders]) that reads prompts
    instead, or run or folder of --recipe clip; it stays as it is."""
    image_encoder: str | None = None
    """Run or folder of --recipe clip, which says of each image what it shows: a condition."""
    start_from: str | None = None
    """Run or model, also a folder of another maker, whose learning is gone on with, on this data:
    its network, latents, schedule, parameterization and clock are kept, and its conditions.
    Conditions of this run that it has not are added, and change nothing before they are learned.
    None: start from nothing."""
    text_tower: Literal["own", "clip", "clip+own"] = "own"
    """Form of the transformer that reads prompts: own, or that of CLIP's text encoder, with which
    a model exports as Stable Diffusion. clip+own: two that read the same words, side by side."""


@dataclass(frozen=True)
class LatentsConfig(Section):
    """Learning in the latents of an autoencoder, and the autoencoder itself."""

    codec: str | None = None
    """Learn in the latents of an autoencoder: its run or folder, or that of a model that has one;
    it is copied and stays as it is. Or kl, vq, tiny, own: train one first, in a stage of this run.
    Or wave: sounds as they are. None: learn in pixels; sounds as spectrograms."""
    codec_budget: str | None = option(None, kind="part")
    """For a codec that is trained first: how much of the budget it gets, as a duration, a share
    such as 25%, or 2000steps. None: a quarter; 5m where the run has no budget."""
    latent_scale: Literal["centred", "channel", "one"] = "centred"
    """How latents come to mean 0 and variance 1, measured on the data. centred: the mean of each
    channel, the variance of all together; channel: both of each; one: both of all together."""
    latent_draw: Literal["mean", "sampled"] = "mean"
    """Learn the mean of the codec's distribution of latents, or a draw from it in every step."""
    linear_start: bool = True
    """Autoencoder kl, vq: begin as a linear code, fitted to the data, and not as noise."""
    latent_channels: int = option(4, 1, 256)
    """Autoencoder: channels of the latents."""
    downsample: int = option(4, 1, 64)
    """Autoencoder: how many times smaller the sides of the latents are; patch times a power of two.
    Levels beyond those of channels_per_level are as wide as its last."""
    kl_weight: float = option(1e-4, 0, 1e6)
    """Autoencoder: weight of the mean KL divergence of a latent number, beside the mean error of a
    pixel in [-1, 1]. 0: the latents are as they please."""
    reconstruction: Literal["l1", "l2"] = "l2"
    """Autoencoder: error of a pixel, absolute or squared."""
    codebook: int = option(512, 2, 2**20)
    """Codec vq: codes in its codebook."""
    codebook_decay: float = option(0.99, 0, 0.9999)
    """Codec vq: memory of the moving averages that codes are; shorter in the first steps."""
    commitment: float = option(0.25, 0, 1e6)
    """Codec vq: weight of the mean squared distance of latents to their codes."""
    perceptual: float = option(0.0, 0, 1e6)
    """Autoencoder: weight of the distance of images in the features of a frozen network."""
    perceptual_features: str | None = None
    """Which: judge, the classifier of this data that evaluate has, too; or a safetensors file of
    torchvision's VGG16 and LPIPS's weights lin0 to lin4. None: there is no such distance."""
    adversarial: float = option(0.0, 0, 1e6)
    """Autoencoder: weight of the loss of not fooling a critic that is trained along, in units in
    which it asks as much of the decoder's last layer as the reconstruction."""
    adversarial_start: float = option(0.5, 0, 1)
    """Autoencoder: share of the run after which the critic begins."""


@dataclass(frozen=True)
class DiffusionConfig(Section):
    """What noise means, what the network predicts and how the loss is weighted."""

    schedule: str = option("linear", part=("core", "Schedule"))
    """Signal and noise over time: linear, vp, ve, cosine, sigmoid, ddpm-linear, ddpm-scaled-linear,
    ddpm-cosine, ddpm-sigmoid; parameters as in vp:beta_max=12, and for any of them shift=2 (more
    noise, for large images) and zero_terminal=1."""
    parameterization: str = option("velocity", part=("core", "Parameterization"))
    """What the network's output means: x0, eps, v, velocity, score, karras."""
    clock: str = option("angle", part=("core", "Clock"))
    """How the network sees the noise: angle, which is atan(sigma / alpha); log-snr, finer at
    little noise, for ve; index and flow, which networks and flow models of diffusers see; or
    time."""
    times: str = option("logit-normal", part=("objectives", "Times"))
    """Noise levels seen in training: uniform, lognormal:mean=-1.2,std=1.2 or
    logit-normal:mean=0,std=1; of any of them a part alone: uniform:low=0,high=0.3."""
    weight: str = option("velocity", part=("objectives", "Weight"))
    """Weight of the squared x0 error over noise levels: simple (the eps error), v, x0, velocity,
    edm, min-snr:gamma=5, sigmoid:bias=-1."""
    stable_targets: int | None = option(None, 0, 65536)
    """Learn the mean of what a noisy sample may have been among so many examples of its class,
    instead of the one that it was: the same optimum, less variance. 0: do not. None: 1024 for
    points of up to 64 numbers, at least 500 of each class, that know no more than it; else 0."""
    bounded: bool = True
    """Clamp predictions of pixels to the range of pixels, in training as in sampling."""
    variance_steps: int | None = option(None, 1, 100_000)
    """Learn the variance of ancestral sampling too, with Improved DDPM's hybrid loss over so many
    even steps; sample with ddpm:variance=learned. None: do not."""


@dataclass(frozen=True)
class DistillationConfig(Section):
    """A trained model teaches another to need one or two evaluations."""

    teacher: str | None = None
    """Run, folder of a model, or digits: learn to do in few evaluations what it does in many.
    Network, schedule and conditions are then the teacher's. None: learn from the data."""
    evaluations: tuple[float, ...] = option((1.0, 0.6), kind="evaluations")
    """Times at which the student is asked: 1 alone, or 1 and one between 0 and 1."""
    teacher_guidance: float = option(1.0, 0, 100)
    """Guidance scale of the teacher, which the student learns with the rest; 1 is none."""
    matching_times: str = option("logit-normal:mean=1.2", part=("objectives", "Times"))
    """Noise levels at which student and teacher are compared: uniform, lognormal:mean=0,std=1.2 or
    logit-normal:mean=1.2,std=1. At less noise it learns details, and to leave out what is rare."""
    student_rate: float = option(0.05, 0, 10)
    """Learning rate of the student in units of lr, which is that of the critic: it must keep up."""


@dataclass(frozen=True)
class OptimizationConfig(Section):
    """How the weights are found."""

    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: Muon moves the hidden matrices, AdamW the rest; adamw: AdamW moves all."""
    lr: float = option(2e-3, 0, 10)
    """Peak learning rate."""
    muon_ratio: float = option(5.0, 0, 1000)
    """Muon: its learning rate in units of lr, which is AdamW's."""
    batch_size: int = option(128, 1)
    """Items per step, over all processes together."""
    warmup: int = option(100, 0)
    """Steps over which the learning rate rises from zero; at most a tenth of the run."""
    decay: Literal["cosine", "linear", "constant"] = "linear"
    """Shape of the learning rate after that, down to zero when the first limit is reached."""
    beta1: float = option(0.9, 0, 0.9999)
    """AdamW: memory of the gradient's mean."""
    beta2: float = option(0.99, 0, 0.99999)
    """AdamW: memory of the gradient's square."""
    weight_decay: float = option(0.0, 0, 10)
    """Decoupled weight decay."""
    clip: float = option(1.0, 0)
    """Largest gradient norm; longer gradients are scaled down. 0: no clipping."""
    ema: float = option(0.999, 0, 0.999999)
    """Memory of the averaged weights that are sampled from; shorter in the first steps."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the network. auto: bf16 where the machine computes faster in it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    threads: int | None = option(None, 1, 4096)
    """Processor threads; on a busy machine fewer are faster. None: one per core."""
    micro_batches: int | None = option(None, 1, 4096)
    """Compute each batch in so many parts, over all processes together, added in a fixed order:
    less memory, and the same weights, bit for bit, on 1, 2, 4, ... processes. A power of two. None:
    one part per process."""
    exact_sums: bool = True
    """Where a CPU computes in bf16, add up the gradients of weights in fp32, so that another number
    of processes changes no more than rounding. Runs made before go on without."""
    auto_microbatch: bool = False
    """When memory runs out, compute each batch in twice as many parts and go on."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What each of several processes holds: ddp, a copy of everything; fsdp, a share of weights,
    average and optimizer state, for models that are too large for one device."""
    compile: bool = False
    """Compile the network with torch.compile: a minute at the start, then faster steps. Checkpoints
    are the same with and without; weights agree to rounding."""
    seed: int = option(0, 0, 2**63 - 1)
    """Fixes initial weights, data order, noise and dropout."""


@dataclass(frozen=True)
class LimitsConfig(Section):
    """When to stop: at the first limit reached. With none given, after 10 minutes."""

    steps: int | None = option(None, 1)
    """Optimizer steps."""
    images: int | None = option(None, 1)
    """Items seen, repeats included."""
    budget: str | None = option(None, kind="duration")
    """Wall-clock time of training: 90s, 5m, 1h30m; of a resumed run in all, not on top."""
    patience: str = option("30m", kind="duration")
    """Give up, with exit code 75, when a step and what is drawn after it take longer."""


@dataclass(frozen=True)
class OutputConfig(Section):
    """What is written, where and how often: every 500 (steps) or every 60s."""

    runs: str = "runs"
    """Folder in which run folders are made."""
    name: str = ""
    """Short name of the run. Empty: the data's name."""
    log_every: str = option("20", kind="cadence")
    """How often a line is added to metrics.jsonl."""
    log: str | None = option(None, part=("training.trackers", "Tracker"), many=True)
    """Trackers that get metrics and sample images too, separated by commas: tensorboard, wandb,
    trackio, mlflow; options as in wandb:project=faces,mode=offline. Each is an extra of demist."""
    save_every: str = option("60s", kind="cadence")
    """How often a checkpoint is written; one is always written at the end."""
    keep: int = option(2, 2)
    """Checkpoints kept."""
    sample_every: str = option("60s", kind="cadence")
    """How often an image of samples is drawn, from the same noise each time."""
    sample_count: int | None = option(None, 0, 4096)
    """Samples in such an image. None: 40 images or 1000 points; 0: no images."""
    sample_steps: int = option(20, 1, 10000)
    """Sampling steps for such an image."""
    sample_solver: str = "auto"
    """Solver for such an image: auto (bayes for points, else adams), adams, ddim, heun, dpmpp-2m,
    ...; parameters as in ddim:eta=1."""
    sample_guidance: float | None = option(None, 0, 100)
    """Guidance scale for such an image, if the model is conditional; 1 is none. None: 1.5 for
    images, 1 for points."""
    sample_rule: str = "cfg"
    """Guidance rule for such an image: cfg, apg, (threshold:model=cfg), ..."""
    sample_condition_noise: float = option(0.0, 0, 1)
    """Noise on the small image that a condition low-resolution is given when sampling, as a share
    of its noise; the network is told."""


@dataclass(frozen=True)
class CascadeConfig(Section):
    """Other models that the model is sampled with, and that are saved in it."""

    feeds: str | None = None
    """Models that make conditions of this one when it is sampled, as low_resolution=stage:base: a
    stage of this run, another run, or a saved model. None: whoever samples gives them."""
    refiner: str | None = None
    """Model that takes the last steps of sampling: stage:refiner, another run, or a saved model."""
    refine_from: float = option(0.2, 0, 1)
    """Time from which on it takes them, between 0 (data) and 1 (noise)."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run."""

    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    latents: LatentsConfig = LatentsConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    distillation: DistillationConfig = DistillationConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    limits: LimitsConfig = LimitsConfig()
    output: OutputConfig = OutputConfig()
    cascade: CascadeConfig = CascadeConfig()


SECTIONS: dict[str, type[Section]] = {
    f.name: typing.cast(type[Section], f.type) for f in fields(TrainConfig)
}
SECTION_OF: dict[str, str] = {
    f.name: section
    for section, cls in SECTIONS.items()
    for f in fields(cls)  # type: ignore[arg-type]
}
"""Name of an option -> name of its section; complete, because names are unique."""
