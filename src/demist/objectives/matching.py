"""Distribution matching: a model of few steps learns from a model of many.

A student turns pure noise into data in one or two evaluations. Two denoisers look at what it makes,
after noise has been added: the teacher, which knows the data, and a critic, which is trained all
the while on what the student makes (each evaluation has one of its own; here they are one model).
Where samples of the student are too frequent, the critic expects them more than the teacher does,
and the difference of the two points the way out, since

    d KL(student || teacher) / d x_t = score_critic - score_teacher
                                     = (alpha / sigma^2) (x0_critic - x0_teacher).

The teacher's own sampling is never run.

References:
    Yin et al. 2023, "One-step Diffusion with Distribution Matching Distillation",
        arXiv:2311.18828, section 3.2.
    Yin et al. 2024, "Improved Distribution Matching Distillation", arXiv:2405.14867, sections 4.2
        (the critic learns faster than the student), 4.4 and 4.5 (several steps, simulated in
        training).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core import Gaussian, Model, Noise, left, solvable, solvable_grid
from demist.objectives.denoising import weighted_error
from demist.objectives.weights import VelocityWeight, Weight

NEAREST, FARTHEST = 0.02, 0.98
"""Times between which student and teacher are compared: nearer to the ends there is little to see,
and what is divided by is rounding."""


def matching_loss(
    student: Model,
    critic: Model,
    teacher: Model,
    like: Float[Tensor, "B ..."],
    t: Float[Tensor, " B"],
    evaluations: Sequence[float] = (1.0,),
    weight: Weight = VelocityWeight(),
    noise: Noise | None = None,
    **cond: Any,
) -> Float[Tensor, " B"]:
    """The critic's denoising loss, whose gradient also moves the student towards the teacher.

    For a sample x0 of the student, seen as x_t, the gradient that reaches x0 is

        (x0_critic(x_t) - x0_teacher(x_t)) / mean |x0 - x0_teacher(x_t)|,

    divided by the number of components, and the student adds nothing to the value.

    Args:
        student: Asked for clean data at the times `evaluations`.
        critic: Learns to denoise the student's samples, of which sample i is one after `1 + i % K`
            evaluations. On the student's schedule.
        teacher: The model to equal, guided or not; no gradient reaches it.
        like: Anything of the data's shape, dtype and device.
        t: One time in (0, 1] per sample, at which the three are compared.
        evaluations: Times, decreasing from 1, at which the student is asked.
        weight: Of the critic's loss; a function of the log-SNR.
        noise: Default `Gaussian()`.
        cond: Conditions, given to all three.

    Returns:
        One loss per sample.
    """
    noise = Gaussian() if noise is None else noise
    x0 = few_steps(student, like, evaluations, noise, **cond)
    made = x0.detach()
    t = t.clamp(NEAREST, FARTHEST)
    alpha, sigma = student.schedule(t)
    eps = noise(made)
    x = left(alpha, made) * made + left(sigma, made) * eps
    seen = critic(x, t, **cond)
    with torch.no_grad():
        wanted = teacher(x, t, **cond).x0
        scale = (made - wanted).abs().flatten(1).mean(1).clamp(min=1e-3)
        pull = (seen.x0 - wanted) / left(scale, made)
    error = weighted_error(seen, made, eps, student.schedule.log_snr(t), weight)
    pulled: Tensor = (pull * (x0 - made)).flatten(1).mean(1)
    return error + pulled


def few_steps(
    student: Model,
    like: Float[Tensor, "B ..."],
    evaluations: Sequence[float],
    noise: Noise,
    **cond: Any,
) -> Float[Tensor, "B ..."]:
    """Samples of the student on its way from noise to data.

    Sample i has been through the first `1 + i % K` of the K evaluations; between two of them noise
    is added to the predicted data. Only the last has a gradient, so each learns to go on from what
    those before it really make.

    Args:
        student: The model.
        like: Anything of the data's shape, dtype and device.
        evaluations: K times, decreasing from 1.
        noise: A draw for the start and one for each further evaluation.
        cond: Conditions.
    """
    times = torch.tensor(evaluations, dtype=torch.float64, device=like.device)
    times = solvable_grid(student, times) if len(times) > 1 else solvable(student, times)
    last = torch.arange(len(like), device=like.device) % len(times)
    x = left(student.schedule(times[0])[1], like) * noise(like)
    with torch.no_grad():
        for k, (t, after) in enumerate(pairwise(times)):
            on = (last > k).nonzero()[:, 0]
            their = {name: value[on] for name, value in cond.items()}
            made = student(x[on], t.expand(len(on)), **their).x0
            alpha, sigma = student.schedule(after.expand(len(on)))
            x[on] = left(alpha, made) * made + left(sigma, made) * noise(like)[on]
    last_made: Tensor = student(x, times[last], **cond).x0
    return last_made
