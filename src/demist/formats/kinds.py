"""Kinds of models in a single file: told by the names and shapes of the network's tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demist.formats.parts import NETWORKS, Part, Shapes, count

SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
          "num_train_timesteps": 1000, "clip_sample": False, "set_alpha_to_one": False,
          "steps_offset": 1, "timestep_spacing": "leading"}  # fmt: skip
PLMS: Mapping[str, Any] = {
    "_class_name": "PNDMScheduler", **SCALED, "skip_prk_steps": True,
    "prediction_type": "epsilon",
}  # fmt: skip
"""The schedule of Stable Diffusion 1 and 2."""
EULER: Mapping[str, Any] = {
    "_class_name": "EulerDiscreteScheduler", **SCALED, "prediction_type": "epsilon",
}  # fmt: skip
"""That of XL."""
NOISED: Mapping[str, Any] = {
    "_class_name": "DDPMScheduler", "beta_start": 0.0001, "beta_end": 0.02,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "clip_sample": True,
}  # fmt: skip
"""How the upscaler's small image is noised."""
UPSCALER: Mapping[str, Any] = {
    "_class_name": "DDIMScheduler", "beta_start": 0.0001, "beta_end": 0.02,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "clip_sample": False,
    "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "v_prediction",
}  # fmt: skip


def flow(shift: float, **options: Any) -> Mapping[str, Any]:
    """A straight path, whose steps are shifted."""
    return {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000,
            "shift": shift, **options}  # fmt: skip


FLUX_SHIFT = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5,
              "max_shift": 1.15}  # fmt: skip


SD = {"scaling_factor": 0.18215}
XL = {"scaling_factor": 0.13025}


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        title: For people.
        pipeline: Its class in diffusers; "" where this version does not read it.
        scheduler: Its `scheduler_config.json`.
        latents: What the autoencoder's configuration says of the latents.
        encoders: Component -> "clip" or "t5", in the order of their tokens.
        projected: Those of them that give a projected vector.
        asks: Whether such a model may predict v or eps, and its names and shapes do not say.
        index: Further entries of the model's index.
    """

    title: str
    pipeline: str
    scheduler: Mapping[str, Any]
    latents: Mapping[str, Any]
    encoders: Mapping[str, str]
    projected: tuple[str, ...] = ()
    asks: bool = False
    index: Mapping[str, Any] = field(default_factory=dict)


ONE = {"text_encoder": "clip"}
TWO = {"text_encoder": "clip", "text_encoder_2": "clip"}
FORMS = {
    4: ("", "{}Pipeline"), 9: (", inpainting", "{}InpaintPipeline"),
    8: (", edited by instructions", "{}InstructPix2PixPipeline"),
    5: (", with depth", ""),
}  # fmt: skip
"""Channels that a U-Net takes in -> what that is for, and the class of the pipeline."""
UNKNOWN = ("", "")


def unet_kind(own: Mapping[str, tuple[int, ...]], refines: bool = False) -> Kind:
    """The kind of a U-Net, by its tensors without a prefix.

    Args:
        own: Their shapes.
        refines: Whether the text encoder beside it is where the refiner's is.

    Raises:
        KeyError: It has no attention to a prompt, as no kind that is known.
    """
    inputs = own["input_blocks.0.0.weight"][1]
    linear = not own["middle_block.1.proj_in.weight"][2:]
    if "label_emb.weight" in own:
        return Kind(
            "Stable Diffusion x4 upscaler", "StableDiffusionUpscalePipeline", UPSCALER,
            {"scaling_factor": 0.08333}, ONE, index={"low_res_scheduler": NOISED},
        )  # fmt: skip
    words, form = FORMS.get(inputs, UNKNOWN)
    if "label_emb.0.0.weight" in own:
        width = own["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1]
        if refines or width == 1280:
            return Kind(
                "Stable Diffusion XL refiner", "StableDiffusionXLImg2ImgPipeline", EULER, XL,
                {"text_encoder_2": "clip"}, ("text_encoder_2",),
                index={"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False},
            )  # fmt: skip
        return Kind(
            f"Stable Diffusion XL{words}", form.format("StableDiffusionXL"), EULER, XL, TWO,
            ("text_encoder_2",), index={"force_zeros_for_empty_prompt": True},
        )  # fmt: skip
    title = f"Stable Diffusion {2 if linear else 1}.x{words}"
    return Kind(title, form.format("StableDiffusion"), PLMS, SD, ONE, asks=linear and inputs == 4)


def sd3_kind(own: Mapping[str, tuple[int, ...]]) -> Kind:
    """The kind of a transformer of Stable Diffusion 3."""
    named = {(24, False, False): "3 medium", (38, True, False): "3.5 large",
             (24, True, True): "3.5 medium"}  # fmt: skip
    block = "joint_blocks.0.x_block"
    form = (
        count(own, "joint_blocks."),
        f"{block}.attn.ln_q.weight" in own,
        f"{block}.attn2.qkv.weight" in own,
    )
    return Kind(
        f"Stable Diffusion {named.get(form, '3')}", "StableDiffusion3Pipeline", flow(3.0),
        {"scaling_factor": 1.5305, "shift_factor": 0.0609},
        {**TWO, "text_encoder_3": "t5"}, ("text_encoder", "text_encoder_2"),
    )  # fmt: skip


def flux_kind(own: Mapping[str, tuple[int, ...]]) -> Kind:
    """The kind of a transformer of FLUX.1; others of its makers are not known."""
    told, inputs = "guidance_in.in_layer.weight" in own, own["img_in.weight"][1]
    foreign = any(name.startswith(("distilled_guidance", "single_stream_mod")) for name in own)
    known = not foreign and inputs == own["final_layer.linear.weight"][0]
    return Kind(
        f"FLUX.1 {'dev' if told else 'schnell'}" if known else "relative of FLUX.1",
        "FluxPipeline" if known else "",
        flow(3.0, use_dynamic_shifting=True, **FLUX_SHIFT) if told else flow(1.0),
        {"scaling_factor": 0.3611, "shift_factor": 0.1159},
        {"text_encoder": "clip", "text_encoder_2": "t5"},
    )


REFINER_TEXT = "conditioner.embedders.0.model."
"""What stands before the names of the refiner's text encoder: it is the first, and OpenCLIP's."""
COMPONENTS = {"unet": "unet", "sd3": "transformer", "flux": "transformer"}
"""Style of a network -> name of its component in diffusers."""


def kind_of(shapes: Shapes, parts: Sequence[Part]) -> tuple[Kind, Part] | None:
    """What kind of model a file holds, and its network; None: it has no network.

    Args:
        shapes: Of its tensors.
        parts: See `parts_of`.

    Raises:
        KeyError: The network lacks a tensor that all of its kind have.
    """
    found = [part for part in parts if part.style in NETWORKS]
    if not found:
        return None
    own = found[0].own(shapes)
    if found[0].style == "unet":
        return unet_kind(own, Part("openclip", REFINER_TEXT) in parts), found[0]
    return (sd3_kind if found[0].style == "sd3" else flux_kind)(own), found[0]
