"""The claims' own instruments: baselines that are what they say, and verdicts that follow."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

CLAIMS = Path(__file__).parents[1] / "benchmarks" / "claims"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(CLAIMS))
    pytest.importorskip("matplotlib")
    return importlib.import_module


def test_the_autoregressive_model_looks_only_back(module):
    made = module("baselines").MADE(5, 32, 7, -1.0, 1.0)
    x = torch.rand(1, 5) * 2 - 1
    jacobian = torch.autograd.functional.jacobian(lambda v: made(v)[0].sum(1), x)[:, 0]
    assert torch.equal(jacobian.triu(), torch.zeros(5, 5))
    assert (jacobian.tril(-1)[1:].abs().sum(1) > 0).all()


def test_its_bins_cover_the_range(module):
    made = module("baselines").MADE(2, 8, 4, -1.0, 1.0)
    assert made.bin(torch.tensor([-1.0, -0.51, -0.49, 0.0, 0.99, 1.0])).tolist() == [
        0,
        0,
        1,
        2,
        3,
        3,
    ]
    x = made.sample(500, 0)
    assert x.min() >= -1
    assert x.max() <= 1


def test_a_histogram_after_the_other_is_a_density(module):
    made = module("baselines").MADE(2, 8, 4, -1.0, 1.0)
    line = torch.linspace(-0.99, 0.99, 100)
    x = torch.cartesian_prod(line, line)
    with torch.no_grad():
        assert float(made.log_prob(x).exp().mean()) * 4 == pytest.approx(1, abs=1e-5)


def stirred(flow):
    """A flow begins as the identity; this one does something."""
    with torch.no_grad():
        for i, p in enumerate(flow.parameters()):
            p.add_(0.15 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    return flow


@pytest.mark.parametrize("bounded", [True, False])
def test_the_flow_knows_its_change_of_volume(module, bounded):
    flow = stirred(module("baselines").Flow(5, 16, bounded=bounded))
    x = torch.rand(3, 5) * 1.8 - 0.9
    z, log_det = (value.detach() for value in flow(x))
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], x[i])
        assert float(torch.linalg.slogdet(jacobian)[1]) == pytest.approx(
            float(log_det[i]), abs=1e-4
        )
        assert not torch.allclose(jacobian.diagonal().prod().log(), log_det[i], atol=1e-3)
    assert torch.allclose(flow.back(z), x, atol=1e-4)


def test_the_density_of_a_flow_sums_to_one(module):
    flow = stirred(module("baselines").Flow(2, 16, layers=4, bounded=False))
    line = torch.linspace(-9, 9, 361)
    with torch.no_grad():
        mass = flow.log_prob(torch.cartesian_prod(line, line)).exp().sum() * 0.05**2
    assert float(mass) == pytest.approx(1, abs=0.01)
    drawn = torch.from_numpy(flow.sample(4000, 0))
    with torch.no_grad():  # and its samples come from that density: the mean of 1 / p is the area
        inside = (drawn.abs() < 1).all(1)
        area = (inside / flow.log_prob(drawn).exp()).mean()
    assert float(area) == pytest.approx(4, rel=0.1)


def test_the_variance_of_a_vae_is_the_error_that_is_left(module):
    """As a weight of its own it moved by 0.4 in 800 updates, whatever the data."""
    b = module("baselines")
    rng = np.random.default_rng(0)
    hidden = 0.2 * rng.standard_normal((2000, 2))
    data = hidden @ rng.standard_normal((2, 8)) + 0.02 * rng.standard_normal((2000, 8))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = b.VAE(8, 24)
        vae.fit(data.astype(np.float32), 0, 128 * 3 * 300 * b.parameters(vae))
        with torch.no_grad():
            x = torch.from_numpy(data.astype(np.float32))
            mean, log_var = vae.encoder(x).chunk(2, 1)
            made = vae.decoder(mean + (log_var / 2).exp() * torch.randn_like(mean))
    left = float((made - x).square().mean().sqrt())
    assert float(vae.log_sigma.exp()) == pytest.approx(left, rel=0.15)


def test_the_bound_of_a_vae_is_that_of_the_closed_form(module):
    """Codes and pictures that depend on nothing: a Gaussian's density, less a known divergence."""
    vae = module("baselines").VAE(2, 8)
    with torch.no_grad():
        for p in vae.parameters():
            p.zero_()
        vae.encoder.last.bias.copy_(torch.tensor([0.7, -0.4, 0.5, -1.0]))
        vae.decoder.last.bias.copy_(torch.tensor([0.3, -0.2]))
        vae.log_sigma.fill_(-0.5)
    code = torch.distributions.Normal(torch.tensor([0.7, -0.4]), torch.tensor([0.25, -0.5]).exp())
    prior = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    picture = torch.distributions.Normal(torch.tensor([0.3, -0.2]), vae.log_sigma.exp())
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    expected = picture.log_prob(x).sum(1) - torch.distributions.kl_divergence(code, prior).sum()
    assert torch.allclose(vae.bound(x, 0, draws=2), expected, atol=1e-5)


def test_the_bound_of_a_vae_is_below_its_likelihood(module):
    b = module("baselines")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vae = b.VAE(2, 16)
        vae.log_sigma.fill_(-0.5)
        x = torch.randn(6, 2)
        with torch.no_grad():
            means = vae.decoder(torch.randn(200_000, vae.latent))
            each = torch.distributions.Normal(means[:, None], vae.log_sigma.exp()).log_prob(x)
            true = torch.logsumexp(each.sum(2), 0) - np.log(len(means))
    bound = vae.bound(x, 0, draws=400)
    assert (bound < true + 0.02).all()
    assert (bound > true - 3).all()


@pytest.mark.parametrize("modern", [False, True])
def test_only_the_modern_gan_draws_with_averaged_weights(module, modern):
    gan = module("baselines").GAN(2, 8, modern=modern, units=4.0)
    with torch.random.fork_rng():
        gan.fit(np.zeros((10, 2), np.float32), 0, 1e7)
    z = torch.randn(5, gan.latent, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        last = (gan.generator(z) / 4).numpy()
    assert np.allclose(gan.sample(5, 3), last, atol=1e-6) is not modern


@pytest.mark.slow
def test_every_baseline_learns_two_points(module):
    """Data at (1, 1) and (-1, -1): the samples must be nearer to them than to the other corners."""
    b = module("baselines")
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], (2000, 1))
    data = (sign + 0.05 * rng.standard_normal((2000, 2))).astype(np.float32)
    rivals = {
        2000: lambda: b.GAN(2, 32, modern=True),  # an update costs four times as much
        1500: lambda: b.VAE(2, 32),
        400: lambda: b.MADE(2, 64, 32, -1.3, 1.3),
        1000: lambda: b.Flow(2, 32, bounded=False),
    }
    for updates, make in rivals.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = make()
            model.fit(data, 0, 128 * 3 * updates * b.parameters(model))
        x = model.sample(400, 0)
        assert (np.sign(x[:, 0]) == np.sign(x[:, 1])).mean() > 0.85, type(model)


def test_parameters_are_matched(module):
    b = module("baselines")
    for make in (
        lambda w: b.GAN(2, w),
        lambda w: b.VAE(2, w),
        lambda w: b.MADE(2, w, 64, -1, 1),
        lambda w: b.Flow(2, w),
    ):
        assert b.parameters(b.matched(make, 30_000)) == pytest.approx(30_000, rel=0.05)


def test_the_work_is_spent_and_no_more(module):
    b = module("baselines")
    model, seen = b.VAE(2, 8), []
    with torch.random.fork_rng():
        model.fit(np.zeros((10, 2), np.float32), 0, 1e6, lambda _, done: seen.append(done))
    step = 128 * 3 * b.parameters(model) / 1e6
    assert 1 <= seen[-1] < 1 + step
    assert len(seen) == int(np.ceil(1 / step))


def test_speedup_interpolates(module):
    ddim = module("ddim")
    ours, theirs = np.full(8, 4.0), np.array([32.0, 16.0, 8.0, 2.0, 1, 1, 1, 1])
    # From 8 at 20 steps to 2 at 50: 4 is half-way in the logarithms.
    assert ddim.speedup(ours, theirs) == pytest.approx(np.sqrt(20 * 50) / 10)
    assert ddim.speedup(ours, theirs + 10) == 100
    assert ddim.speedup(ours, theirs / 10) == 0.5


def test_a_claim_of_two_models_holds_with_both(module):
    ddim = module("ddim")

    def verdict(exact, trained):
        """DDPM that takes so many times the steps of DDIM with 10."""
        rows = {"floor": [0.1, 0.2]}
        for key, steps, times in (("", ddim.STEPS, exact), ("trained", ddim.TRAINED, trained)):
            counts = np.array(steps, float)
            made = {"DDIM": [list(10 / counts)] * 2, "DDPM": [list(10 * times / counts)] * 2}
            rows |= {key: made | {"steps": steps}} if key else made
        return ddim.judge(rows)

    assert verdict(12, 15).verdict == "holds"
    assert verdict(12, 4).verdict == "holds in part"
    assert verdict(1, 15).verdict == "holds in part"
    assert verdict(1.2, 1.1).verdict == "fails"
    assert "DDPM takes 15.0 ± 0.0 times as many steps" in verdict(1, 15).sentence


def test_every_family_has_as_many_tries_as_the_others(module):
    trained = module("trained")
    families = module("families").FAMILIES
    for task in trained.TASKS.values():
        for family in families:
            found = trained.tries(family, task)
            assert found[0] == trained.usual(family, task)
            assert len({json.dumps(settings) for settings in found}) == 6, (task, family)
    assert {scale.tries for scale in module("claim").SCALES.values()} == {1, 2, 6}


def test_the_best_try_is_taken_and_tried_once(module, monkeypatch, tmp_path):
    trained, claim = module("trained"), module("claim")
    scale = claim.SCALES["standard"]
    scores, asked = iter([0.5, 0.3, 0.1, 0.4, 0.2, 0.6]), []

    def fitted(family, task, seed, scale, settings, share=1.0):
        asked.append((task.name, seed, share, settings))
        return trained.Trained(None)

    monkeypatch.setattr(trained, "TUNED", tmp_path / "tuned.json")
    monkeypatch.setattr(trained, "fitted", fitted)
    monkeypatch.setattr(trained.Trained, "draw", lambda self, n: np.zeros(1))
    task = trained.TASKS["25-grid"]
    monkeypatch.setitem(trained.TASKS, "25-grid", replace(task, score=lambda *_: next(scores)))
    trained._best.cache_clear()
    third = trained.tries("GAN", task)[2]
    assert trained.best("GAN", "8-ring", scale) == third  # as the grid was tuned
    assert [row[:3] for row in asked] == [("25-grid", trained.TRIAL, 0.25)] * 6
    trained._best.cache_clear()
    assert trained.best("GAN", "25-grid", scale) == third
    assert len(asked) == 6
    assert trained.best("GAN", "25-grid", claim.SCALES["fast"]) == trained.usual("GAN", task)


def test_tries_go_on_where_they_stopped(module, keeping):
    trained, claim = module("trained"), module("claim")
    scale = replace(claim.SCALES["smoke"], name="standard", tries=6)
    tries = trained.tries("VAE", trained.TASKS["25-grid"])
    rows = [{"settings": settings, "score": -1.0 - i} for i, settings in enumerate(tries[:4])]
    trained.files.write_json(trained.TUNED, {"standard": {"25-grid": {"VAE": rows}}})
    assert trained.best("VAE", "25-grid", scale) == tries[3]
    assert [settings for _, settings in keeping] == tries[4:]
    assert len(trained.tuned(scale)["standard"]["25-grid"]["VAE"]) == 6


@pytest.fixture
def keeping(module, monkeypatch, tmp_path):
    """Keep all that is trained, however fast; returns what really was trained."""
    kept, trained = module("kept"), module("trained")
    fitted, diffusion, asked = trained.fitted, trained.diffusion, []

    def counted(family, task, seed, scale, settings, share=1.0):
        if share:
            asked.append((family, settings))
        return fitted(family, task, seed, scale, settings, share)

    def steps_counted(data, seed, steps, *args, **more):
        asked.extend(["digits"] * (steps > 1 and data.labels is not None))
        return diffusion(data, seed, steps, *args, **more)

    monkeypatch.setattr(kept, "PLACE", tmp_path / "kept")
    monkeypatch.setattr(kept, "WORTH", 0.0)
    monkeypatch.setattr(trained, "TUNED", tmp_path / "tuned.json")
    monkeypatch.setattr(trained, "fitted", counted)
    monkeypatch.setattr(trained, "diffusion", steps_counted)
    forget(trained)
    yield asked
    forget(trained)


def forget(trained):
    """As if the program had just begun."""
    for cached in (trained.trained, trained._best, trained.digit_model):
        cached.cache_clear()


@pytest.mark.parametrize(
    "family", ["diffusion", "GAN", "R3GAN-style", "VAE", "autoregressive", "normalizing flow"]
)
def test_what_was_trained_is_found_again(module, keeping, family):
    trained, claim = module("trained"), module("claim")
    scale = replace(claim.SCALES["smoke"], tries=1)
    first = trained.trained(family, "25-grid", 0, scale)
    x = first.draw(30)
    forget(trained)
    again = trained.trained(family, "25-grid", 0, scale)
    assert again is not first
    assert again.curve == first.curve
    assert len(again.curve) == 4
    assert np.array_equal(again.draw(30), x)
    assert len(keeping) == 1
    trained.trained(family, "25-grid", 1, scale)
    trained.trained(family, "25-grid", 0, replace(scale, toy_steps=21))
    assert len(keeping) == 3


def test_a_digit_model_is_found_again(module, keeping):
    trained, lab = module("trained"), module("lab")
    x = lab.sample(trained.digit_model(0, 3, 16), 20, steps=3)
    forget(trained)
    assert np.array_equal(lab.sample(trained.digit_model(0, 3, 16), 20, steps=3), x)
    assert keeping == ["digits"]
    trained.digit_model(0, 3, 16, "ddpm-linear")
    assert keeping == ["digits", "digits"]


def test_after_a_change_of_the_code_all_is_trained_anew(module, keeping, monkeypatch):
    trained, kept = module("trained"), module("kept")
    trained.digit_model(0, 3, 16)
    forget(trained)
    monkeypatch.setattr(kept, "code", lambda: "changed")
    trained.digit_model(0, 3, 16)
    assert keeping == ["digits", "digits"]


def test_settings_that_break_down_are_passed_over(module, keeping, tmp_path):
    """The best of the tries diverges with all the work: the next best is taken, and it is said."""
    trained, claim = module("trained"), module("claim")
    scale = replace(claim.SCALES["smoke"], name="standard", tries=6)
    task = trained.TASKS["digits"]
    rows = [{"settings": s, "score": 10.0 + i} for i, s in enumerate(trained.tries("VAE", task))]
    rows[4] = {"settings": {"rate": 1e30, "latent": 16}, "score": 2.0}
    rows[5] = {"settings": {"rate": 1e31, "latent": 16}, "score": None}
    trained.files.write_json(trained.TUNED, {"standard": {"digits": {"VAE": rows}}})
    found = trained.trained("VAE", "digits", 0, scale)
    assert np.isfinite(found.draw(5)).all()
    assert [settings for _, settings in keeping] == [rows[4]["settings"], rows[0]["settings"]]
    assert len(list((tmp_path / "kept").iterdir())) == 1
    known = trained.tuned(scale)["standard"]["digits"]["VAE"]
    assert [row["score"] for row in known] == [10, 11, 12, 13, None, None]
    assert [trained.said(row) for row in known][3:] == ["13", "broke down", "broke down"]
    for row in known:
        row["settings"] = {"rate": 1e30, "latent": 16}
    trained.files.write_json(trained.TUNED, {"standard": {"digits": {"VAE": known}}})
    forget(trained)
    with pytest.raises(ValueError, match="VAE breaks down on digits"):
        trained.trained("VAE", "digits", 0, scale)


def test_families_get_the_same_size_and_work(module):
    trained, claim = module("trained"), module("claim")
    scale, task = claim.SCALES["smoke"], trained.TASKS["25-grid"]
    sizes = {}
    for family in ("diffusion", "GAN", "R3GAN-style", "VAE", "autoregressive", "normalizing flow"):
        found = trained.fitted(family, task, 0, scale, trained.usual(family, task))
        net = getattr(found.model, "denoiser", found.model)
        sizes[family] = module("baselines").parameters(net)
        assert found.draw(7).shape == (7, 2)
        assert len(found.curve) == len(trained.MARKS)
        assert all(np.isfinite(found.curve))
    assert max(sizes.values()) < 1.1 * min(sizes.values()), sizes


def test_a_ratio_of_spreads_must_be_beyond_chance(module):
    stability = module("stability")

    def verdict(gan, modern):
        base = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
        numbers = {
            name: [[0.0, 0.0, 0.0, 10 + spread * x] for x in base]
            for name, spread in (("diffusion", 1.0), ("GAN", gan), ("R3GAN-style", modern))
        }
        return stability.judge(numbers | {"floor": 0.1})

    assert verdict(3.3, 4).verdict == "holds"
    assert verdict(2.9, 4).verdict == "holds in part"  # twice as much, and five seeds can do that
    assert verdict(1, 2.9).verdict == "fails"
    assert "GAN spreads 3.3 times as much as diffusion (1.1 to 10)" in verdict(3.3, 4).sentence


def test_verdicts_follow_from_the_numbers(module):
    modes = module("modes")

    def covered(diffusion, gan, modern):
        return {"diffusion": {"ring": [diffusion] * 2}, "GAN": {"ring": [gan] * 2},
                "R3GAN-style": {"ring": [modern] * 2}}  # fmt: skip

    assert modes.verdict(covered(8, 5, 6)) == "holds"
    assert modes.verdict(covered(8, 5, 8)) == "holds in part"
    assert modes.verdict(covered(8, 8, 8)) == "fails"
    chance = covered(8, 5, 6)
    chance["GAN"]["ring"], chance["R3GAN-style"]["ring"] = [2, 8], [8, 8]
    assert modes.verdict(chance) == "fails"  # three more on average, within the interval


def test_a_cloud_over_the_modes_is_named(module):
    modes = module("modes")
    values = {name: {"8-ring": [8, 8]} for name in modes.NAMES}
    stray = {name: {"8-ring": [0.1, 0.2]} for name in modes.NAMES} | {"VAE": {"8-ring": [0.9, 0.8]}}
    said = modes.sentence(values, values, stray, 0.1)
    assert "VAE 8.0 ± 0.0 (KL 8.000 ± 0.000, stray 85 %)" in said
    assert said.endswith("the count says little: VAE on the 8-ring.")


def test_the_guidance_must_gain_more_than_chance(module):
    guidance = module("guidance")

    def rows_of(distances):
        rows = [[[d + seed, 0.5, 0.5, 0.5, 9] for d in distances] for seed in range(3)]
        rows[0][2][0] += 1
        return rows

    def verdict(*distances, trained=None):
        numbers = {"scales": [0.0, 1.0, 2.0, 3.0], guidance.METRICS: rows_of(distances)}
        numbers |= {"trained": rows_of(trained)} if trained else {}
        return guidance.judge(numbers).verdict

    assert verdict(9, 8, 2, 7) == "holds"
    assert verdict(9, 8, 7.9, 9) == "fails"  # within the spread
    assert verdict(9, 8, 7, 2) == "fails"  # the largest scale is best: no spot
    assert verdict(9, 8, 2, 7, trained=(9, 8, 2, 7)) == "holds"
    assert verdict(9, 8, 2, 7, trained=(9, 8, 7, 2)) == "holds in part"


def test_the_page_has_a_row_for_every_claim(module):
    run = module("run")
    row = {"numbers": {"microseconds": {}, "fdr": {}}, "mode": "fast", "date": "d", "cpu": 1,
           "wall": 2, "machine": "m", "note": "shared"}  # fmt: skip
    speed = module("speed")
    for kind in (*(f"diffusion, {n}" for n in speed.STEPS), *speed.ONE_PASS, "autoregressive"):
        row["numbers"]["microseconds"][kind] = [2.0, 2.0]
        row["numbers"]["fdr"][kind] = [5.0, 7.0]
    text = run.table({"speed": row})
    assert f"| viii | [{speed.CLAIM}](speed.py) | **fails** |" in text
    assert text.count("not measured yet") == 8
    assert "m; shared" in text
    assert "no number of steps is better than the one-pass models" in text
    assert f"Rule: {speed.RULE}." in text


def test_the_page_and_its_figures_follow_from_the_results(module, monkeypatch, tmp_path):
    run, claim = module("run"), module("claim")
    found = json.loads(run.RESULTS.read_text())
    assert run.table(found) == (CLAIMS / "README.md").read_text()
    assert "families" in found
    page = run.PAGE.read_text()
    assert run.page(page, found) == page
    monkeypatch.setattr(claim, "FIGURES", tmp_path)
    for name in run.CLAIMS:
        program = module(name)
        assert (CLAIMS / f"{name}.png").exists()
        if hasattr(program, "draw"):
            claim.save(program.draw(run.numbers_of(name, found)), name)
    assert len(list(tmp_path.iterdir())) == len(run.CLAIMS) - 1  # modes keeps no samples


def test_what_another_process_measured_meanwhile_is_kept(module, monkeypatch, tmp_path):
    run, claim, blur = module("run"), module("claim"), module("blur")
    results, page = tmp_path / "results.json", tmp_path / "families.md"
    found = json.loads(run.RESULTS.read_text())
    page.write_text(run.PAGE.read_text())
    results.write_text("{}")

    def measure(scale):
        results.write_text(json.dumps({"scores": found["scores"]}))
        return found["blur"]["numbers"]

    for name, value in (("RESULTS", results), ("PAGE", page), ("HERE", tmp_path)):
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(claim, "FIGURES", tmp_path)
    monkeypatch.setattr(blur, "measure", measure)
    monkeypatch.setattr("sys.argv", ["run.py", "--only", "blur", "--note", "n"])
    run.main()
    kept = json.loads(results.read_text())
    assert kept["scores"] == found["scores"]
    assert kept["blur"]["numbers"] == found["blur"]["numbers"]
    assert kept["blur"]["note"] == "n"


def test_only_what_stands_between_the_marks_is_written(module):
    run = module("run")
    found = json.loads(run.RESULTS.read_text())
    old = f"before\n\n{run.BEGIN}\nOLD WORDS\n{run.END}\n\nafter\n"
    new = run.page(old, found)
    assert new.startswith(f"before\n\n{run.BEGIN}\n\n| family |")
    assert new.endswith(f"{run.END}\n\nafter\n")
    assert "OLD WORDS" not in new
    assert run.page(new, found) == new
    assert run.page(old, {}) == old
    for broken in (old.replace(run.END, ""), old + run.BEGIN):
        with pytest.raises(ValueError, match=r"families\.md needs the lines"):
            run.page(broken, found)


def test_each_column_of_the_families_has_every_family_with_three_trainings(module):
    run, families = module("run"), module("families")
    numbers = run.numbers_of("families", json.loads(run.RESULTS.read_text()))
    for key in ("fdr", "microseconds", "covered", "kl"):
        assert set(families.FAMILIES) <= set(numbers[key])
        assert all(len(numbers[key][name]) >= 3 for name in families.FAMILIES)
    assert {"VAE", "autoregressive", "normalizing flow", "diffusion"} <= set(numbers["bits"])
    assert all(values for values in numbers["bits"].values())
    others = json.loads(run.RESULTS.read_text())
    assert others["modes"]["mode"] == others["families"]["mode"]  # whose figures stand together
    stacked = others["modes"]["numbers"]["covered"]["GAN"]["1000 stacked digits"]
    assert numbers["covered"]["GAN"] == stacked


def test_a_family_has_what_the_rule_says(module):
    families = module("families")
    numbers = {
        "fdr": {"GAN": [31, 30], "diffusion": [20, 20], "diffusion, 1": [31, 31]},
        "covered": {"GAN": [760, 760], "diffusion": [800, 840]},
        "microseconds": {"GAN": [2, 2], "diffusion": [90, 110], "diffusion, 1": [10, 10]},
    }
    assert families.strengths(numbers, "GAN") == ["coverage", "speed"]
    assert families.strengths(numbers, "diffusion") == ["quality", "coverage"]
    assert families.strengths(numbers, "diffusion, 1") == ["coverage", "speed"]


def test_grey_levels_are_spread_over_their_bins_and_come_back(module):
    families = module("families")
    x = np.linspace(-1, 1, 256)[None].repeat(50, 0)
    spread = families.dequantised(x, np.random.default_rng(0))
    assert np.abs(spread).max() <= 1
    assert np.array_equal(families.grey(spread), families.grey(x))
    assert np.bincount(families.grey(x[0]).astype(int)).tolist() == [16] * 16
    assert (spread[:, 0] + 1).max() > 0.11  # the lowest level fills its bin of 1/8
    assert families.shown(x).min() == -1
    assert families.shown(x).max() == 1
    flat = torch.full((1, 64), -64 * np.log(2.0))  # the even density on [-1, 1]: 4 bits of 16
    assert families.bits(flat[:, 0]) == pytest.approx(4)
