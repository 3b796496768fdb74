"""CLIP's text tower under the names of transformers' `CLIPTextModelWithProjection`.

A transformer with causal attention: a token sees those before it, so the state at the end mark has
seen the whole prompt, and becomes the vector of the prompt. All tokens count, padding included.

Legend: b batch, m tokens, c width, d width of the common space of images and texts.

References:
    Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021,
        arXiv:2103.00020, section 2.4.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import heads, joined

HEAD = 32
"""Numbers per head of attention."""
ACTIVATION = "gelu"


class ClipAttention(nn.Module):
    """Attention of each token to itself and those before it."""

    def __init__(self, width: int):
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b m c"]) -> Float[Tensor, "b m c"]:
        q, k, v = (heads(part(x), HEAD) for part in (self.q_proj, self.k_proj, self.v_proj))
        y: Tensor = self.out_proj(joined(F.scaled_dot_product_attention(q, k, v, is_causal=True)))
        return y


class ClipMLP(nn.Module):
    """A hidden layer of four times the width."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b m c"]) -> Float[Tensor, "b m c"]:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class ClipLayer(nn.Module):
    """Attention and a hidden layer, each added to its input."""

    attends = True

    def __init__(self, width: int):
        super().__init__()
        self.self_attn = ClipAttention(width)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = ClipMLP(width)

    def forward(self, x: Float[Tensor, "b m c"]) -> Float[Tensor, "b m c"]:
        x = x + self.self_attn(self.layer_norm1(x))
        y: Tensor = x + self.mlp(self.layer_norm2(x))
        return y


class ClipEmbeddings(nn.Module):
    """A row for each token and one for each position, added."""

    def __init__(self, vocabulary: int, length: int, width: int):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(length, width)

    def forward(self, tokens: Int[Tensor, "b m"]) -> Float[Tensor, "b m c"]:
        positions = self.position_embedding.weight[: tokens.shape[1]]
        y: Tensor = self.token_embedding(tokens) + positions
        return y


class ClipEncoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(width) for _ in range(depth))

    def forward(self, x: Float[Tensor, "b m c"]) -> Float[Tensor, "b m c"]:
        for layer in self.layers:
            x = layer(x)
        return x


class ClipTextTransformer(nn.Module):
    """Token numbers to states; see the module."""

    def __init__(self, vocabulary: int, length: int, width: int, depth: int):
        super().__init__()
        self.embeddings = ClipEmbeddings(vocabulary, length, width)
        self.encoder = ClipEncoder(width, depth)
        self.final_layer_norm = nn.LayerNorm(width)
        self.end = vocabulary - 1

    def forward(self, tokens: Int[Tensor, "b m"]) -> Float[Tensor, "b m c"]:
        y: Tensor = self.final_layer_norm(self.encoder(self.embeddings(tokens)))
        return y

    def pooled(
        self, states: Float[Tensor, "b m c"], tokens: Int[Tensor, "b m"]
    ) -> Float[Tensor, "b c"]:
        """The states at the first end mark of each prompt."""
        at = (tokens == self.end).int().argmax(1)
        return states[torch.arange(len(states), device=states.device), at]


class ClipText(nn.Module):
    """CLIP's text tower: `(b, m)` token numbers to states and a vector.

    The last two token numbers are the marks of begin and end, and the end mark is the padding.

    Args:
        vocabulary: Number of tokens.
        length: Longest prompt, marks included.
        width: c, a multiple of 32.
        depth: Layers.
        outputs: d; 0: the vector is the state at the end mark itself.
    """

    def __init__(self, vocabulary: int, length: int, width: int, depth: int, outputs: int = 0):
        super().__init__()
        if width % HEAD:
            raise UsageError(f"text_width = {width}: choose a multiple of {HEAD}")
        self.text_model = ClipTextTransformer(vocabulary, length, width, depth)
        self.text_projection = nn.Linear(width, outputs, bias=False) if outputs else None
        _initialise(self, width, depth)

    def forward(self, tokens: Int[Tensor, "b m"]) -> tuple[Tensor, Tensor]:
        """States `(b, m, c)` and vectors `(b, d)`."""
        states = self.text_model(tokens)
        vector = self.text_model.pooled(states, tokens)
        return states, vector if self.text_projection is None else self.text_projection(vector)

    def read(self, tokens: Int[Tensor, "b m"], weights: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`; weights of tokens are for those who attend to the states."""
        return self.forward(tokens)


def transformers_config(net: ClipText) -> dict[str, Any]:
    """What stands in `config.json` where transformers is to open the tower."""
    embeddings = net.text_model.embeddings
    vocabulary, width = embeddings.token_embedding.weight.shape
    projection = net.text_projection
    name = "CLIPTextModel" if projection is None else "CLIPTextModelWithProjection"
    return {
        "architectures": [name],
        "model_type": "clip_text_model",
        "vocab_size": vocabulary,
        "max_position_embeddings": len(embeddings.position_embedding.weight),
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": len(net.text_model.encoder.layers),
        "num_attention_heads": width // HEAD,
        "hidden_act": ACTIVATION,
        "layer_norm_eps": 1e-5,
        "projection_dim": width if projection is None else projection.out_features,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
        "torch_dtype": "float32",
    }


@torch.no_grad()
def _initialise(net: ClipText, width: int, depth: int) -> None:
    """Sizes of weights as CLIP's code has them, but for embeddings, which begin larger.

    Attention to tokens that all look alike learns slowly; see `networks.text`.
    """
    embeddings = net.text_model.embeddings
    nn.init.normal_(embeddings.token_embedding.weight, std=0.1)
    nn.init.normal_(embeddings.position_embedding.weight, std=0.1)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "self_attn" in name or "fc" in name:
            branch = (2 * depth) ** -0.5 if "out_proj" in name or "fc2" in name else 1.0
            wide = 2 * width if "fc1" in name else width
            nn.init.normal_(parameter, std=branch * wide**-0.5)
    if net.text_projection is not None:
        nn.init.normal_(net.text_projection.weight, std=width**-0.5)
