"""Break the code on purpose, one formula at a time, and see that the tests notice.

    python scripts/mutants.py [NAME ...]

Works on a copy of `src` and `tests`; prints one line per mutant and exits 1 if any survives.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# name: (file below src/demist, text, replacement, tests to run: a path or a test in it)
MUTANTS = {
    "matching-flees-the-teacher": (
        "objectives/matching.py",
        "pull = (seen.x0 - wanted)",
        "pull = (wanted - seen.x0)",
        "tests/objectives/test_matching.py",
    ),
    "matching-forgets-the-scale": (
        "objectives/matching.py",
        ".clamp(min=1e-3)",
        ".clamp(min=1e-3) ** 0",
        "tests/objectives/test_matching.py",
    ),
    "few-steps-are-one": (
        "objectives/matching.py",
        "last = torch.arange(len(like), device=like.device)",
        "last = 0 * torch.arange(len(like), device=like.device)",
        "tests/objectives/test_matching.py",
    ),
    "second-evaluation-sees-other-noise": (
        "objectives/matching.py",
        "left(sigma, made) * noise(like)[on]",
        "left(alpha, made) * noise(like)[on]",
        "tests/objectives/test_matching.py",
    ),
    "student-as-fast-by-adamw": (
        "training/optimizer.py",
        'lr * group.get("rate", 1.0)',
        "lr",
        "tests/training/test_training_distil.py",
    ),
    "student-as-fast-by-muon": (
        "training/optimizer.py",
        "self._options.muon_ratio * lr * rate",
        "self._options.muon_ratio * lr",
        "tests/training/test_training_distil.py",
    ),
    "one-critic-of-all": (
        "training/distil.py",
        "said[k::count] = net(x[k::count]",
        "said[k::count] = self.critics[0](x[k::count]",
        "tests/training/test_training_distil.py",
    ),
    "matching-at-times-of-training": (
        "training/build.py",
        'levels = "times" if teacher is None else "matching_times"',
        'levels = "times"',
        "tests/training/test_training_distil.py",
    ),
    "teacher-may-change": (
        "training/run.py",
        'if facts.get("teacher", teacher) != teacher:',
        "if False:",
        "tests/training/test_training_distil.py",
    ),
    "words-look-alike": (
        "networks/text.py",
        "zeroed(nn.Linear(width, width))",
        "nn.Linear(width, width)",
        "tests/conditions/test_text.py",
    ),
    "bounded-training-is-stuck-outside": (
        "core/denoiser.py",
        "inside = x0 + (inside - x0).detach()",
        "pass",
        "tests/core/test_denoiser.py",
    ),
    "bounded-eps-forgets": (
        "core/denoiser.py",
        "inside, eps + torch",
        "inside, eps + 0 * torch",
        "tests/core/test_denoiser.py",
    ),
    "likelihood-log-density-hardly-counts": (
        "objectives/likelihood.py",
        "0.0, atol * (len(row) - 1) / math.sqrt(len(row))",
        "rtol, atol",
        "tests/test_likelihood.py",
    ),
    "muon-leaves-convolutions": (
        "training/optimizer.py",
        "isinstance(module, nn.Linear | nn.Conv2d)",
        "isinstance(module, nn.Linear)",
        "tests/training/test_training_optimizer.py",
    ),
    "muon-ratio-ignored": (
        "training/optimizer.py",
        "self._options.muon_ratio * lr",
        "lr",
        "tests/training/test_training_optimizer.py",
    ),
    "muon-always-in-bf16": (
        "training/optimizer.py",
        "torch.bfloat16 if bf16 else torch.float32",
        "torch.bfloat16",
        "tests/training/test_training_fit.py",
    ),
    "muon-iterates-five-times-on-rounding": (
        "training/optimizer.py",
        "ON_END = {torch.bfloat16: 3}",
        "ON_END: dict[torch.dtype, int] = {}",
        "tests/training/test_training_optimizer.py",
    ),
    "muon-takes-half-of-the-next-product": (
        "training/optimizer.py",
        "for _ in range(2):",
        "for _ in range(1):",
        "tests/training/test_training_optimizer.py",
    ),
    "muon-iterates-once-too-often": (
        "training/optimizer.py",
        "min(on_end, ITERATIONS - done)",
        "on_end",
        "tests/training/test_training_optimizer.py",
    ),
    "muon-without-nesterov": (
        "training/optimizer.py",
        "gathered(gradient.lerp(momentum, MOMENTUM))",
        "gathered(momentum.clone())",
        "tests/training/test_training_optimizer.py",
    ),
    "muon-decays-no-weights": (
        "training/optimizer.py",
        "p.mul_(1 - lr * self._options.weight_decay)",
        "pass",
        "tests/training/test_training_optimizer.py",
    ),
    "angle-clock-stops-halfway": (
        "core/denoiser.py",
        "* (4 / math.pi) - 1",
        "* (2 / math.pi)",
        "tests/core/test_denoiser.py",
    ),
    "older-runs-get-new-defaults": (
        "runs/run.py",
        'EARLIER = {"optimizer": "adamw", "clock": "log-snr", "bounded": False}',
        "EARLIER: dict[str, str] = {}",
        "tests/training/test_training_optimizer.py",
    ),
    "ddim-swaps-t-and-s": (
        "samplers/solvers/ddim.py",
        "ancestral_variances((p.alpha, p.sigma), (alpha, sigma))",
        "ancestral_variances((alpha, sigma), (p.alpha, p.sigma))",
        "tests/samplers",
    ),
    "heun-without-the-half": (
        "samplers/solvers/heun.py",
        "alpha - p.alpha / 2, sigma - p.sigma / 2",
        "alpha - p.alpha, sigma - p.sigma",
        "tests/contracts",
    ),
    "variance-bounds-exchanged": (
        "samplers/solvers/ddim.py",
        "return forward * (g_s / g_t) ** 2, forward",
        "return forward, forward * (g_s / g_t) ** 2",
        "tests/samplers",
    ),
    "learned-variance-linear-not-log": (
        "samplers/solvers/ddim.py",
        "torch.exp(0.5 * (small.log() + p.spread * (large.log() - small.log())))",
        "(small + p.spread * (large - small)).sqrt()",
        "tests/samplers",
    ),
    "table-off-by-one": (
        "core/denoiser.py",
        "return t * self.steps - 1",
        "return t * self.steps",
        "tests/samplers",
    ),
    "table-knots-shifted": (
        "core/table.py",
        "self._knots = torch.atan2((1 - bar).sqrt(), bar.sqrt())",
        "self._knots = torch.atan2((1 - bar).sqrt(), bar.sqrt()).roll(-1)",
        "tests/core",
    ),
    "cfg-counts-from-zero": (
        "guidance/cfg.py",
        "without.lerp(with_, w)",
        "without.lerp(with_, 1 + w)",
        "tests/guidance",
    ),
    "cfg-exchanges-its-ends": (
        "guidance/cfg.py",
        "without.lerp(with_, w)",
        "with_.lerp(without, w)",
        "tests/guidance",
    ),
    "broadcast-from-the-right": (
        "core/state.py",
        "c.reshape(c.shape + (1,) * (x.ndim - c.ndim)).to(x)",
        "c.to(x)",
        "tests/core",
    ),
    "2m-ratio-inverted": (
        "samplers/solvers/dpmpp_2m.py",
        "h / (2 * (now - last))",
        "(now - last) / (2 * h)",
        "tests/samplers",
    ),
    "2m-without-the-half": (
        "samplers/solvers/dpmpp_2m.py",
        "h / (2 * (now - last))",
        "h / (now - last)",
        "tests/contracts",
    ),
    "2m-with-full-log-snr-at-s": (
        "samplers/solvers/dpmpp_2m.py",
        "h = half_log_snr(alpha, sigma) - now",
        "h = 2 * half_log_snr(alpha, sigma) - now",
        "tests/contracts",
    ),
    "vp-sigma-rate-doubled": (
        "core/schedule.py",
        "return -half_beta * alpha, half_beta * alpha**2 / sigma",
        "return -half_beta * alpha, 2 * half_beta * alpha**2 / sigma",
        "tests/core",
    ),
    "score-sign": (
        "core/prediction.py",
        "return (-1 / self.sigma) * self.eps",
        "return (1 / self.sigma) * self.eps",
        "tests/core",
    ),
    "with-x0-forgets-eps": (
        "core/prediction.py",
        "eps=self.eps + (self.alpha / self.sigma) * (self.x0 - x0))",
        "eps=self.eps)",
        "tests/core",
    ),
    "v-sign": (
        "core/parameterization.py",
        "return -sigma, alpha",
        "return sigma, alpha",
        "tests/core",
    ),
    "karras-without-sigma-data": (
        "core/parameterization.py",
        "return sigma / (self.sigma_data * total), -alpha * self.sigma_data / total",
        "return sigma / total, -alpha / total",
        "tests/core",
    ),
    "renoise-with-full-variance": (
        "samplers/loop.py",
        "(g_s**2 - (kept * g_t) ** 2).clamp(min=0).sqrt()",
        "g_s",
        "tests/samplers",
    ),
    "noise-depends-on-the-batch": (
        "core/noise.py",
        'f"{seed}/{self.step}/{self._draws}"',
        'f"{seed}/{self.step}/{self._draws}/{len(like)}"',
        "tests/core",
    ),
    "noise-repeats-every-step": (
        "core/noise.py",
        "return Seeded(self.seeds, index + 1)",
        "return Seeded(self.seeds)",
        "tests/core",
    ),
    "min-snr-on-the-eps-error": (
        "objectives/weights.py",
        "log_snr.exp().clamp(max=gamma)",
        "(gamma / log_snr.exp()).clamp(max=1)",
        "tests/objectives",
    ),
    "edm-weight-without-data-term": (
        "objectives/weights.py",
        "log_snr.exp() + 1 / sigma_data**2",
        "log_snr.exp()",
        "tests/objectives",
    ),
    "loss-scale-forgotten-on-the-eps-side": (
        "objectives/denoising.py",
        "torch.where(clean, (-log_snr).exp(), 1.0)",
        "1.0",
        "tests/objectives",
    ),
    "posterior-forgets-the-signal-scale": (
        "core/exact.py",
        "self.means + a * self.variances / total * from_mean",
        "self.means + self.variances / total * from_mean",
        "tests/core",
    ),
    "zero-terminal-keeps-a-little-signal": (
        "core/modifiers.py",
        "torch.where(end, 0.0, 1 - lost)",
        "torch.where(end, 1e-4, 1 - lost)",
        "tests/core",
    ),
    "3m-phi3-for-twice-phi3": (
        "samplers/numerics/polynomials.py",
        "[math.factorial(k) * phi(k + 1, z) for k",
        "[phi(k + 1, z) for k",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "phi-by-its-closed-form-alone": (
        "samplers/numerics/polynomials.py",
        "abs(z) < 1:",
        "abs(z) < 1e-12:",
        "tests/samplers/test_deterministic_exponential.py",
    ),
    "lagrange-nodes-mirrored": (
        "samplers/numerics/polynomials.py",
        "(low - other * high) / (node - other)",
        "(low + other * high) / (node - other)",
        "tests/samplers/test_deterministic_exponential.py",
    ),
    "3m-takes-infinity-for-a-node": (
        "samplers/solvers/dpmpp_3m.py",
        "for lam, x0 in levels if math.isfinite(lam)]",
        "for lam, x0 in levels]",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "start-corrected-by-the-whole-difference": (
        "samplers/numerics/multistep.py",
        "(p.alpha - euler.alpha) / 2, (p.sigma - euler.sigma) / 2",
        "(p.alpha - euler.alpha), (p.sigma - euler.sigma)",
        "tests/samplers/test_deterministic_exponential.py",
    ),
    "start-never-corrected": (
        "samplers/solvers/dpmpp_3m.py",
        'p if self.start == "corrected" else None',
        "None",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "runge-kutta-start-one-step-short": (
        "samplers/numerics/multistep.py",
        "return max(p - 2, 0)",
        "return max(p - 3, 0)",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "runge-kutta-with-even-weights": (
        "samplers/numerics/flow.py",
        "(1 / 4, 0.0, 3 / 4)",
        "(1 / 3, 1 / 3, 1 / 3)",
        "tests/samplers/test_deterministic_exponential.py",
    ),
    "dpm-solver-2-looks-at-a-third": (
        "samplers/solvers/dpm_solver.py",
        "now + h / 2)",
        "now + h / 3)",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "dpm-solver-3-forgets-r2": (
        "samplers/solvers/dpm_solver.py",
        "(sigma * (psi(h) / r2)) * d2",
        "(sigma * psi(h)) * d2",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "3s-second-stage-by-ddim": (
        "samplers/solvers/dpmpp_single.py",
        "+ (a2 * stage) * d1, m2)",
        "+ (a2 * 0 * stage) * d1, m2)",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "unipc-corrects-without-the-past": (
        "samplers/solvers/unipc.py",
        "known = (levels[0], now, *levels[1:])",
        "known = (levels[0], now)",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "unipc-variants-exchanged": (
        "samplers/solvers/unipc.py",
        'self.variant == "bh1" and h < math.inf',
        'self.variant == "bh2" and h < math.inf',
        "tests/samplers/test_deterministic_papers.py",
    ),
    "unipc-without-the-half": (
        "samplers/solvers/unipc.py",
        "[total - b / (2 * nodes[1]), b / (2 * nodes[1])]",
        "[total - b / nodes[1], b / nodes[1]]",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "unipc-forgets-to-take-the-prediction-back": (
        "samplers/solvers/unipc.py",
        "(self._average(known, now[0]) - predicted)",
        "self._average(known, now[0])",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "deis-weight-of-the-data-form": (
        "samplers/solvers/deis.py",
        "math.exp(-v * length)",
        "math.exp(v * length)",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "deis-in-alpha-not-in-flow-time": (
        "samplers/solvers/deis.py",
        "now = float(p.alpha / (p.alpha + p.sigma))",
        "now = float(p.alpha)",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "lms-in-sigma-not-in-rho": (
        "samplers/solvers/lms.py",
        "now = float(p.sigma / p.alpha)",
        "now = float(p.sigma)",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "adams-bashforth-digit": (
        "samplers/solvers/ipndm.py",
        "37 / 24",
        "36 / 24",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "pndm-midpoint-at-the-start": (
        "samplers/solvers/pndm.py",
        "m = (t + s) / 2",
        "m = t",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "pndm-without-its-dual-in-pure-noise": (
        "samplers/solvers/pndm.py",
        "p, (alpha, sigma) = stages[0], model.schedule(s)\n    if p.alpha < NO_SIGNAL * p.sigma:",
        "p, (alpha, sigma) = stages[0], model.schedule(s)\n    if p.alpha < 0:",
        "tests/samplers/test_deterministic_orders.py",
    ),
    "euler-follows-the-rates-to-the-end": (
        "samplers/solvers/euler.py",
        "if s == 0 or not",
        "if not",
        "tests/samplers/test_deterministic_papers.py",
    ),
    "tensors-may-leave-holes": (
        "io/tensors.py",
        "        if begin != end:",
        "        if begin < end:",
        "tests/test_tensorfile.py",
    ),
    "tensors-may-overlap": (
        "io/tensors.py",
        "        if begin != end:",
        "        if begin > end:",
        "tests/test_tensorfile.py",
    ),
    "text-pickles-pass": (
        "io/untrusted.py",
        'return count >= 3 and "unknown" not in str(error)\n    return count >= 3',
        "return False\n    return False",
        "tests/test_tensorfile.py",
    ),
    "links-lead-out": (
        "io/untrusted.py",
        "if not path.resolve().is_relative_to(Path(folder).resolve()):",
        "if False:",
        "tests/test_untrusted.py",
    ),
    "changed-weights-pass": (
        "model/folder.py",
        'not in ("", sha256(weights))',
        'in ("no sum",)',
        "tests/test_untrusted.py",
    ),
    "a-save-is-no-snapshot": (
        "training/background_saver.py",
        "Checkpoint(live.step, self._buffers, live.state)",
        "Checkpoint(live.step, live.parts, live.state)",
        "tests/training/test_training_faults.py",
    ),
    "a-full-disk-is-tried-once": (
        "training/background_saver.py",
        "for pause in (*PAUSES, None):",
        "for pause in (None,):",
        "tests/training/test_training_faults.py",
    ),
    "old-skips-count-for-ever": (
        "training/fit.py",
        "if step > state.step - WINDOW)",
        "if step >= 0)",
        "tests/training/test_training_fit.py",
    ),
    "the-same-command-starts-anew": (
        "training/resume.py",
        'not in ("killed", "stopped", "failed"):',
        'not in ("none",):',
        "tests/training/test_training_faults.py",
    ),
    "the-watchdog-sleeps": (
        "training/watchdog.py",
        "> self.seconds:",
        "> 1e9:",
        "tests/training/test_training_faults.py",
    ),
    "a-save-is-not-flushed": (
        "io/folders.py",
        'for path in [*temporary.rglob("*"), temporary]:\n            sync(path)',
        "pass",
        "tests/test_storage.py",
    ),
    "a-rename-is-not-flushed": (
        "io/folders.py",
        "        sync(target.parent)\n",
        "",
        "tests/test_storage.py",
    ),
    "damaged-files-pass": (
        "runs/checkpoint.py",
        "        if found != expected:\n",
        "        if False:\n",
        "tests/test_checkpoint.py",
    ),
    "the-manifest-does-not-cover-itself": (
        "runs/checkpoint.py",
        "if _hash_of(manifest) != stated:",
        "if False:",
        "tests/test_checkpoint.py",
    ),
    "parts-may-be-missing": (
        "runs/checkpoint.py",
        "        if name not in files:\n",
        "        if False:\n",
        "tests/test_checkpoint.py",
    ),
    "pruned-before-the-new-one-is-there": (
        "runs/checkpoint.py",
        "        with atomic_folder(target) as temporary:\n",
        "        for step in steps(folder)[: 1 - max(keep, 2)]:\n"
        "            shutil.rmtree(folder / folder_name(step), ignore_errors=True)\n"
        "        with atomic_folder(target) as temporary:\n",
        "tests/test_checkpoint.py",
    ),
    "one-checkpoint-is-enough": (
        "runs/checkpoint.py",
        "steps(folder)[: -max(keep, 2)]",
        "steps(folder)[:-keep]",
        "tests/test_checkpoint.py",
    ),
    "no-quarantine": (
        "runs/checkpoint.py",
        "    os.rename(path, aside)\n",
        "",
        "tests/test_checkpoint.py",
    ),
    "a-silent-start-from-zero": (
        "runs/checkpoint.py",
        'if found or any(folder.glob("bad-step-*")):',
        "if False:",
        "tests/test_checkpoint.py",
    ),
    "newer-checkpoints-are-set-aside": (
        "runs/checkpoint.py",
        "        except NewerFormatError:\n            raise\n",
        "",
        "tests/test_checkpoint.py",
    ),
    "what-cannot-be-read-now-is-lost": (
        "runs/checkpoint.py",
        "if error.errno in _DAMAGE:",
        "if True:",
        "tests/test_checkpoint.py",
    ),
    "a-broken-update-is-made": (
        "training/fit.py",
        "if math.isfinite(state.loss) and math.isfinite(state.grad_norm):",
        "if True:",
        "tests/training/test_training_fit.py::test_a_broken_update_touches_nothing",
    ),
    "seeds-are-cut-to-32-bits": (
        "training/streams.py",
        'f"{seed}/{purpose}/{number}".encode()',
        'f"{seed % 2**32}/{purpose}/{number}".encode()',
        "tests/training/test_training_streams.py",
    ),
    "two-writers": (
        "runs/run.py",
        "            if not _taken(handle):\n",
        "            if False:\n",
        "tests/test_runs.py",
    ),
    "locks-are-written-through-links": (
        "runs/run.py",
        "flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW",
        "flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC",
        "tests/test_untrusted.py::test_a_link_for_a_lock_is_not_written_through",
    ),
    "every-option-may-change": (
        "training/resume.py",
        "        if name not in FREE and name not in override\n",
        "        if name in DECLARED and name not in override\n",
        "tests/training/test_training_faults.py"
        "::test_every_option_is_free_declared_or_fatal_when_a_run_is_resumed",
    ),
    "memory-runs-out-in-one-process-only": (
        "training/gradient.py",
        "(failed,) = self.world.any(found is None)",
        "failed = found is None",
        "tests/training/test_training_faults.py"
        "::test_all_processes_halve_when_memory_runs_out_in_one",
    ),
    "workers-outlive-their-parent": (
        "machine/processes.py",
        "while os.getppid() == parent:",
        "while True:",
        "tests/test_processes.py",
    ),
    "a-clean-stop-is-a-failure": (
        "commands/launch.py",
        'after.get("state") in ("done", "stopped"):',
        'after.get("state") == "done":',
        "tests/test_launch.py::test_how_the_ends_of_workers_become_one",
    ),
    "buckets-overlap": (
        "measuring/buckets.py",
        "buckets[which - 1 :: shares]",
        "buckets[which :: shares]",
        "tests/test_bulk.py",
    ),
    "fields-align-from-the-right": (
        "core/fields.py",
        "other.reshape(other.shape + (1,) * (value.ndim - other.ndim)).to(value)",
        "other.to(value)",
        "tests/core/test_fields.py",
    ),
    "fields-share-their-noise": (
        "core/noise.py",
        'f"{key}/{field}" if field else key',
        "key",
        "tests/core/test_fields.py",
    ),
    "noise-of-a-field-depends-on-its-place": (
        "core/noise.py",
        "self._draw(like[name], draw, name)",
        "self._draw(like[name], draw, str(list(like).index(name)))",
        "tests/core/test_fields.py",
    ),
    "small-fields-weigh-more-in-the-loss": (
        "core/state.py",
        "total / sum(part[0].numel() for part in parts)",
        "total / len(parts)",
        "tests/core/test_fields.py",
    ),
    "weights-of-parts-are-swapped-with-samples": (
        "objectives/denoising.py",
        "left(root, error) * error",
        "left(root.T.reshape(root.shape), error) * error",
        "tests/objectives/test_denoising.py",
    ),
    "eps-is-infinite-in-silence": (
        "core/parameterization.py",
        "self._require_solvable(open_ & ~clean, alpha, sigma)",
        "pass",
        "tests/objectives/test_denoising.py",
    ),
    "the-first-step-is-not-led": (
        "guidance/classifier.py",
        "(sigma**2 / alpha) * gradient",
        "0 * gradient",
        "tests/guidance/test_closed_forms.py",
    ),
    "inverted-through-the-clamp": (
        "editing/unclamped.py",
        "free.bounds = None",
        "free.bounds = model.bounds",
        "tests/test_inversion.py",
    ),
    "fine-data-is-left-in-one-long-step": (
        "objectives/likelihood.py",
        "if lost <= limit or nearest / 8 < least:",
        "if True:",
        "tests/test_likelihood.py",
    ),
    "nan-is-a-black-image": (
        "model/pipeline.py",
        "        require_finite(x)\n",
        "        x = x.nan_to_num(-1)\n",
        "tests/model/test_plan.py",
    ),
    "a-negative-alone-does-nothing": (
        "model/guided.py",
        "(given or negates or not rule.from_null)",
        "(given or not rule.from_null)",
        "tests/test_guided_pipeline.py",
    ),
    "noise-predictions-begin-in-pure-noise": (
        "core/solvable.py",
        "torch.where((alpha == 0) & (alpha * b - sigma * a == 0), earlier, t)",
        "t",
        "tests/core/test_solvable.py",
    ),
    "near-values-are-extrapolated": (
        "samplers/numerics/multistep.py",
        "if not abs(level[0] - kept[-1][0]) < least:",
        "if True:",
        "tests/contracts/test_solvers.py",
    ),
    "a-restart-keeps-times-that-rounding-made": (
        "samplers/restart.py",
        "(grid > low * (1 + CLOSE))",
        "(grid > low)",
        "tests/samplers/test_grid.py",
    ),
}


def killed(name: str) -> bool:
    """Whether a test fails once the mutation is made."""
    return fails(*MUTANTS[name], name)


def fails(file: str, text: str, replacement: str, tests: str, name: str) -> bool:
    """Whether `tests` fail on a copy in which `text` is replaced."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, copy / part)
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "src" / "demist" / file
        source = path.read_text()
        if source.count(text) != 1:
            raise SystemExit(f"{name}: the text to replace occurs {source.count(text)} times")
        path.write_text(source.replace(text, replacement))
        command = [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", tests]
        environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{name}: the tests did not run:\n{done.stdout[-2000:]}")
        return done.returncode == 1


def main(names: list[str]) -> int:
    """Try each mutant and print what happened."""
    if unknown := sorted(set(names) - set(MUTANTS)):
        known = ", ".join(MUTANTS)
        raise SystemExit(f"there is no mutant {unknown[0]!r}; without names all run: {known}")
    for tests in sorted({MUTANTS[name][3] for name in names or MUTANTS}):
        if fails("__init__.py", "demist: ", "demist: ", tests, "unchanged"):
            raise SystemExit(f"{tests} fails without any mutation: mend that first")
    survivors = 0
    for name in names or MUTANTS:
        dead = killed(name)
        survivors += not dead
        print(f"{'killed  ' if dead else 'SURVIVED'}  {name}", flush=True)
    print(f"{survivors} of {len(names or MUTANTS)} survived")
    return int(survivors > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
