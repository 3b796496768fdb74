"""Conditions: from what a user says to what the network is given.

Each condition knows its null, its drop rate and its route, so training dropout and guidance cannot
disagree. Each makes itself from a column of data, and encodes values to a small mapping of tensors
whose first axis is the batch.
"""

from demist.conditions import clip_words
from demist.conditions.clip_text import ClipText
from demist.conditions.condition import (
    HALF,
    ROUTES,
    Column,
    Condition,
    Draw,
    Encoded,
    ReadImage,
    Reading,
)
from demist.conditions.conditioner import Conditioner, flat, nested, plain_numbers
from demist.conditions.control import Control, ControlImage, typed_control
from demist.conditions.embedded_guidance import EmbeddedGuidance
from demist.conditions.given_part import GivenPart
from demist.conditions.image import ImageRoute, LowResolution, Masked, Picture, images, telling
from demist.conditions.image_prompt import ImageEncoder, ImagePrompt, prepared
from demist.conditions.image_vector import ImageVector, vectors_told
from demist.conditions.in_latents import InLatents, ToLatents, as_stored
from demist.conditions.label import Label, Value, class_index, translated
from demist.conditions.labels import Labels
from demist.conditions.make import CONDITIONS
from demist.conditions.noisy_image import NoisyImage
from demist.conditions.numbers import Numbers
from demist.conditions.prompt_states import PromptStates
from demist.conditions.prompts import (
    Chunk,
    chunks_of,
    tell_brackets,
    weighted_text,
    without_breaks,
)
from demist.conditions.readers import OfTransformers, OwnClip, Reader, is_own, opened
from demist.conditions.rewriting import REWRITINGS, require_rewriting
from demist.conditions.score import Score
from demist.conditions.sizes import Sizes
from demist.conditions.states import FrozenText, States, TokenRoute, transformers_for
from demist.conditions.text import (
    Text,
    learn_tokenizer,
    library,
    prompts_for,
    split_weights,
)
from demist.conditions.text_encoder import TextEncoder
from demist.conditions.text_vector import TextVector

__all__ = [
    "CONDITIONS",
    "HALF",
    "REWRITINGS",
    "ROUTES",
    "Chunk",
    "ClipText",
    "Column",
    "Condition",
    "Conditioner",
    "Control",
    "ControlImage",
    "Draw",
    "EmbeddedGuidance",
    "Encoded",
    "FrozenText",
    "GivenPart",
    "ImageEncoder",
    "ImagePrompt",
    "ImageRoute",
    "ImageVector",
    "InLatents",
    "Label",
    "Labels",
    "LowResolution",
    "Masked",
    "NoisyImage",
    "Numbers",
    "OfTransformers",
    "OwnClip",
    "Picture",
    "PromptStates",
    "ReadImage",
    "Reader",
    "Reading",
    "Score",
    "Sizes",
    "States",
    "Text",
    "TextEncoder",
    "TextVector",
    "ToLatents",
    "TokenRoute",
    "Value",
    "as_stored",
    "chunks_of",
    "class_index",
    "clip_words",
    "flat",
    "given_part",
    "holes",
    "images",
    "is_own",
    "learn_tokenizer",
    "library",
    "nested",
    "opened",
    "plain_numbers",
    "prepared",
    "prompts_for",
    "require_rewriting",
    "split_weights",
    "tell_brackets",
    "telling",
    "text_encoder",
    "transformers_for",
    "translated",
    "typed_control",
    "vectors_told",
    "weighted_text",
    "without_breaks",
]
