"""Autoencoders that begin as a linear code, in place of noise.

An encoder in diffusers' form can compute the principal components of patches exactly: its strided
convolutions collect 2x2 positions into channels, and the last of them projects. Its residual blocks
begin as the identity. The norm and the activation before the last convolution are passed by

    silu(a) - silu(-a) = a,

with a and -a in two channels of one group, whose variance two large constants +-`_CONSTANT` decide.

A decoder of that form doubles a map by repeating positions, so it cannot write what it likes into a
patch. It begins as a least-squares fit from a code and its neighbours to pixels, which is more than
the principal components alone would give.

References:
    Zhang, Dauphin, Ma: Fixup Initialization, 2019, arXiv:1901.09321 (residual branches that begin
        at zero).
    Izenman: Reduced-rank regression for the multivariate linear model, 1975, J. Multivariate
        Analysis 5 (the features between a code and pixels).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import zeroed
from demist.networks.published.autoencoder_kl import AutoencoderKL, Half
from demist.networks.published.blocks import levels_of
from demist.networks.published.layers import Attention, Resnet
from demist.networks.published.vq_model import VQModel

_CONSTANT = 30.0
"""Beside it, what else is in a group changes the variance by less than one per cent."""
_LOG_VARIANCE = -6.0
"""Of a new code: it is drawn with a standard deviation of 0.05."""
_FEATURES = 24
"""The most numbers that a decoder's start passes from one size of its map to the next."""
_PIXELS = 200_000
"""Of images that a decoder is fitted to."""
_RIDGE = 1e-6
"""Added to a mean square of 1, so that an equation that says nothing does no harm."""


@torch.no_grad()
def start_linear(net: AutoencoderKL | VQModel, x: Float[Tensor, "n c h w"]) -> None:
    """Give an autoencoder weights with which it computes a linear code, in place.

    The code has mean 0 and variance 1 in each channel; its log-variance, if the network has one, is
    `_LOG_VARIANCE` everywhere.

    Args:
        net: The autoencoder, just made.
        x: Images in [-1, 1] to which the code is fitted, some hundreds.

    Raises:
        UsageError: The networks have too few channels.
    """
    for module in net.modules():
        _quieten(module)
    for conv in (net.quant_conv, net.post_quant_conv):
        if conv is not None:
            nn.init.dirac_(conv.weight)
    x = x.to(next(net.parameters()).device)
    z = _start_encoder(net.encoder, x, net.decoder.conv_in.in_channels)
    count = max(1, _PIXELS // x[0, 0].numel())
    _start_decoder(net.decoder, z[:count], x[:count])


def _quieten(module: nn.Module) -> None:
    """Let a residual branch add nothing, and a layer pass its first channels as they are."""
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
    elif isinstance(module, Resnet):
        zeroed(module.conv2)
        if module.conv_shortcut is not None:
            nn.init.dirac_(module.conv_shortcut.weight)
    elif isinstance(module, Attention) and isinstance(module.to_out[0], nn.Linear):
        zeroed(module.to_out[0])


def _changes(half: Half) -> list[nn.Conv2d]:
    """The convolutions by which signals pass: the first one, and those that change the size."""
    found = [half.conv_in]
    for level in levels_of(half.get_submodule(half.levels)):
        if level.sampler in level._modules:
            found.append(level.get_submodule(f"{level.sampler}.0.conv"))  # type: ignore[arg-type]
    return found


def _start_encoder(half: Half, x: Tensor, codes: int) -> Tensor:
    """Fit it to images, and return their code."""
    convs, y = _changes(half), x
    for i, conv in enumerate(convs):
        last = i == len(convs) - 1
        if i:
            y = F.pixel_unshuffle(y, 2)
        wanted = codes if last else min(y.shape[1], conv.out_channels)
        if wanted > y.shape[1]:
            raise _narrow(conv.out_channels, codes)
        weight, bias = _principal(y, wanted, last)
        y = torch.einsum("nchw,kc->nkhw", y, weight) + bias[:, None, None]
        side, at = (2, 0) if i else (1, 1)  # a convolution that halves is padded behind alone
        taps = weight.new_zeros(wanted, weight.shape[1] // side**2, 3, 3)
        taps[:, :, at : at + side, at : at + side] = weight.unflatten(1, (-1, side, side))
        _write(half, conv, taps, bias, last)
    return y


def _principal(y: Tensor, count: int, whiten: bool) -> tuple[Tensor, Tensor]:
    """Weight (count, c) and bias of the principal components of (n, c, h, w), the largest first."""
    rows = y.double().transpose(0, 1).flatten(1)
    if count == len(rows) and not whiten:  # nothing is left out
        return torch.eye(count).to(y), y.new_zeros(count)
    mean = rows.mean(1, keepdim=True)
    variance, axes = torch.linalg.eigh((rows - mean) @ (rows - mean).T / rows.shape[1])
    weight = axes[:, -count:].flip(1).T
    if whiten:
        weight = weight / variance[-count:].flip(0).clamp(min=1e-12).sqrt()[:, None]
    return weight.to(y), -(weight @ mean)[:, 0].to(y) if whiten else y.new_zeros(count)


def _start_decoder(half: Half, z: Tensor, x: Tensor) -> None:
    """Fit it to images and their code."""
    convs, y = _changes(half), z
    for i, conv in enumerate(convs):
        last = i == len(convs) - 1
        target, up = _unshuffled(x, x.shape[-1] // (z.shape[-1] * 2**i)), i > 0
        if last:
            count = x.shape[1]
        else:
            target = _neighbourhood(target)
            room = min(conv.out_channels, convs[i + 1].in_channels)
            count = min(room, 9 * y.shape[1], _FEATURES, target.shape[1])
        weight = _regressed(y, target, count, up)
        kept, bias = weight[:, :-1].reshape(count, y.shape[1], 3, 3), weight[:, -1]
        y = F.conv2d(_doubled(y) if up else y, kept, bias, padding=1)
        _write(half, conv, kept, bias, last)


def _unshuffled(x: Tensor, side: int) -> Tensor:
    return F.pixel_unshuffle(x, side) if side > 1 else x


def _doubled(y: Tensor) -> Tensor:
    return F.interpolate(y, scale_factor=2.0, mode="nearest")


def _neighbourhood(y: Tensor) -> Tensor:
    """Each position with those around it: (n, 9 c, h, w)."""
    around: Tensor = F.unfold(y, 3, padding=1).unflatten(2, y.shape[2:])
    return around


def _regressed(y: Tensor, target: Tensor, count: int, up: bool) -> Tensor:
    """The best prediction of `target` from `y` (doubled if `up`) by a convolution of rank `count`.

    Returns:
        `(count, 9 c + 1)`: weights of the features that predict best, and last their bias; if
        `count` is the number of targets, those of the targets themselves.
    """
    gram, cross = _moments(y, target, up)
    size = len(gram)
    gram = gram + _RIDGE * gram.trace() / size * torch.eye(size).to(gram)
    weight = torch.linalg.solve(gram, cross)
    if count < target.shape[1]:
        axes = torch.linalg.eigh(weight.T @ gram @ weight)[1]
        weight = weight @ axes[:, -count:]
    result: Tensor = weight.T.to(y)
    return result


def _moments(y: Tensor, target: Tensor, up: bool) -> tuple[Tensor, Tensor]:
    """Sums of products of all taps and 1 with themselves and with the target, image by image."""
    grams, crosses = [], []
    for one, wanted in zip(y.split(1), target.split(1), strict=True):
        taps = F.unfold(_doubled(one) if up else one, 3, padding=1)[0]
        taps = torch.cat([taps, taps.new_ones(1, taps.shape[1])])
        grams.append((taps @ taps.T).double())
        crosses.append((taps @ wanted[0].flatten(1).T).double())
    return torch.stack(grams).sum(0), torch.stack(crosses).sum(0)


def _write(half: Half, conv: nn.Conv2d, taps: Tensor, bias: Tensor, last: bool) -> None:
    """Put weights into the first rows of a convolution; the last one's signals pass the norm."""
    assert conv.bias is not None
    if not last:
        conv.weight[: len(taps)] = 0
        conv.weight[: len(taps), : taps.shape[1]] = taps
        conv.bias[: len(taps)] = bias
        return
    places = _pairs(half, conv)
    if len(places) < len(taps):
        raise _narrow(conv.out_channels, len(taps))
    used = set(places) | {place + 1 for place in places}
    for row in set(range(conv.out_channels)) - used:
        conv.weight[row] = 0
    for i, place in enumerate(places):  # what is no signal is random, and its mean 0 all the same
        if i < len(taps):
            conv.weight[place] = 0
            conv.weight[place, : taps.shape[1]], conv.bias[place] = taps[i], bias[i]
        conv.weight[place + 1], conv.bias[place + 1] = -conv.weight[place], -conv.bias[place]
    _open(half, places[: len(taps)])


def _pairs(half: Half, conv: nn.Conv2d) -> list[int]:
    """Channels that a signal may take from `conv` on, each with the next one as its negative."""
    norm = half.conv_norm_out
    size = norm.num_channels // norm.num_groups
    return [
        group + i
        for group in range(0, norm.num_channels, size)
        for i in range(0, size - 3, 2)  # the last two are constants
        if group + i + 1 < conv.out_channels
    ]


def _open(half: Half, places: list[int]) -> None:
    """Let the signals in these places through the norm and the activation, to the result."""
    norm, out = half.conv_norm_out, zeroed(half.conv_out)
    size = norm.num_channels // norm.num_groups
    block = list(levels_of(half.get_submodule(half.levels)))[-1] if half.decodes else half.mid_block
    (*_, resnet) = block.resnets
    assert isinstance(resnet, Resnet)
    assert resnet.conv2.bias is not None
    assert out.bias is not None
    resnet.conv2.bias[size - 2 :: size] = _CONSTANT
    resnet.conv2.bias[size - 1 :: size] = -_CONSTANT
    nn.init.constant_(norm.weight, _CONSTANT * math.sqrt(2 / size))
    for row, place in enumerate(places):
        out.weight[row, place, 1, 1], out.weight[row, place + 1, 1, 1] = 1, -1
    out.bias[len(places) :] = _LOG_VARIANCE


def _narrow(channels: int, signals: int) -> UsageError:
    return UsageError(
        f"{channels} channels are too few for an autoencoder that begins as a linear code of "
        f"{signals} numbers; give wider --channels-per-level, fewer --norm-groups, or "
        f"--no-linear-start"
    )
