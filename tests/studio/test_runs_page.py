"""Pages of runs, from folders alone: curves, options, samples, evaluations, wishes."""

import json
import math

import pytest
from PIL import Image

from demist import runs
from demist.config import TrainConfig, update
from demist.errors import MissingError, RefusedError, UsageError
from demist.studio import models, one_run, shown


@pytest.fixture
def run(tmp_path):
    made = runs.create(tmp_path, "digits", update(TrainConfig(), {"lr": 0.5, "batch_size": 7}))
    made.write_status("done", step=300, progress=1.0, seconds=12.5)
    log = runs.MetricsLog(made.metrics)
    for step in range(1, 301):
        levels = {"loss_by_level": [None] + [step / 300] * (len(runs.LEVELS) - 2)}
        log.append(step=step, loss=1 / step, grad_norm=math.nan, lr=0.5, **levels)
    log.close()
    for step in (100, 300):
        Image.new("L", (4, 4)).save(made.image(step))
    return made


def test_a_table_of_runs(run, tmp_path):
    (row,) = shown.table(tmp_path)
    assert (row["id"], row["name"], row["state"], row["step"]) == (
        "0001-digits", "digits", "done", 300,
    )  # fmt: skip
    assert row["loss"] == pytest.approx(sum(1 / s for s in range(101, 301)) / 200)
    (tmp_path / "0002-broken").mkdir()
    (tmp_path / "0002-broken" / "config.toml").write_text("?")
    (tmp_path / "0002-broken" / "status.json").write_text("{")
    (tmp_path / "0002-broken" / "metrics.jsonl").write_text("x\n[]\n")
    assert [row["state"] for row in shown.table(tmp_path)] == [None, "done"]
    assert one_run.page(one_run.locate("0002-broken", tmp_path))["options"] is None


def test_a_table_reads_only_what_has_changed(run, tmp_path, monkeypatch):
    before, read, real = shown.table(tmp_path), [], runs.read_metrics
    monkeypatch.setattr(shown, "read_metrics", lambda path: read.append(path) or real(path))
    assert shown.table(tmp_path) == before
    assert read == []
    log = runs.MetricsLog(run.metrics)
    log.append(step=301, loss=201.0, images_per_second=7.0)
    log.close()
    (row,) = shown.table(tmp_path)
    assert (len(read), row["images_per_second"]) == (1, 7.0)
    assert row["loss"] > before[0]["loss"] + 0.9


def test_the_page_of_a_run_is_json(run, tmp_path):
    found = one_run.page(one_run.locate("0001-digits", tmp_path))
    assert found["changed"] == {"lr": [TrainConfig().optimization.lr, 0.5], "batch_size": [128, 7]}
    assert found["samples"] == [100, 300]
    assert not found["can_be_asked"]
    json.dumps(found, allow_nan=False)
    assert one_run.sample(run, 300) == run.image(300)
    with pytest.raises(MissingError):
        one_run.sample(run, 200)


def test_curves_are_means_of_neighbours(run):
    found = one_run.metrics(run)
    assert found["step"] == list(range(1, 301))
    assert found["loss"][3] == 0.25
    assert found["grad_norm"] == [None] * 300
    assert found["smooth"][150] == pytest.approx(sum(1 / s for s in range(143, 160)) / 17, rel=0.02)
    assert found["loss_by_level"][0][:2] == [None, 1 / 300]
    rows = runs.read_metrics(run.metrics)
    few = one_run.joined(rows, 100)
    assert [r["step"] for r in few] == list(range(3, 301, 3))
    assert few[0]["loss"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert few[0]["loss_by_level"][:2] == [None, pytest.approx(2 / 300)]


def test_smoothing_keeps_a_constant_and_passes_over_gaps():
    assert one_run.smoothed([2.0, None, 2.0]) == [2.0, 2.0, 2.0]
    assert one_run.smoothed([None]) == [None]
    assert one_run.smoothed([]) == []


def test_options_as_a_difference_to_another_run(run, tmp_path):
    other = runs.create(tmp_path, "digits", update(TrainConfig(), {"lr": 0.25, "batch_size": 7}))
    assert one_run.against(run, other) == {"lr": [0.25, 0.5]}
    assert one_run.neighbours(run, tmp_path) == ["0002-digits"]


def test_evaluations_with_what_intervals_need(run):
    entry = {"value": 1.5, "spread": 0.1, "floor": 1.0, "values": [1.4, 1.5, 1.6]}
    report = {"metrics": {"fdr": entry}, "protocol": {"seeds": [0, 1, 2]}}
    (run.path / "evaluation.json").write_text(json.dumps({"report": report, "sampling": {}}))
    (run.path / "evaluation-2.json").write_text("{}")
    (found,) = one_run.evaluations(run)
    assert (found["metrics"]["fdr"], found["seeds"]) == (entry, [0, 1, 2])


@pytest.mark.parametrize(
    "ident", ["..", "0001-digits/..", "", "0001-digits.x", "0009-no", "studio"]
)
def test_ids_lead_nowhere(run, tmp_path, ident):
    with pytest.raises(MissingError):
        one_run.locate(ident, tmp_path)
    with pytest.raises(MissingError):
        models.locate(f"run-{ident}", tmp_path)


def test_links_out_of_the_folder_are_refused(run, tmp_path):
    runs_of_others = tmp_path / "others"
    runs_of_others.mkdir()
    (runs_of_others / "0005-link").symlink_to(run.path)
    with pytest.raises(RefusedError):
        one_run.locate("0005-link", runs_of_others)


def test_wishes_are_heard_by_those_who_train(run):
    with pytest.raises(UsageError, match="does not train"):
        one_run.wish(run, "sample")
    with run.lock():
        one_run.wish(run, "sample")
        one_run.wish(run, "stop")
        with pytest.raises(UsageError, match="sample, save, stop"):
            one_run.wish(run, "../x")
        assert runs.take(run) == {"sample", "stop"}
        assert runs.take(run) == set()


def test_a_wish_to_a_run_in_stages_is_heard_by_the_stage_that_trains(run):
    content = {"format": 1, "earlier": ["codec"], "command": ""}
    (run.path / "stages.json").write_text(json.dumps(content))
    stage = runs.stages.stage(run, "codec")
    stage.checkpoints.mkdir(parents=True)
    with run.lock(), stage.lock():  # as the trainer of an earlier stage holds them
        one_run.wish(run, "save")
        one_run.wish(stage, "sample")
        assert runs.take(stage) == {"save", "sample"}
        assert runs.take(run) == set()


def test_models_are_described_from_files(run, tmp_path):
    (digits,) = models.all_models(tmp_path)
    assert (digits["id"], digits["kind"], digits["shape"]) == (
        "model-digits",
        "images",
        [1, 28, 28],
    )
    assert digits["conditions"]["label"]["classes"] == [str(i) for i in range(10)]
    index = {"shape": [2], "conditions": {}, "facts": {"step": 3}}
    run.description.write_text(json.dumps({"model_index.json": index}))
    found = models.all_models(tmp_path)[1]
    assert (found["id"], found["kind"], found["step"]) == ("run-0001-digits", "points", 3)
    assert models.locate("run-0001-digits", tmp_path) == run.path


def test_a_saved_folder_of_the_name_of_a_packaged_model_is_another_one(tmp_path):
    (tmp_path / "digits").mkdir()
    index = {"shape": [2], "conditions": {}, "facts": {}}
    (tmp_path / "digits" / "model_index.json").write_text(json.dumps(index))
    packaged, saved = models.all_models(tmp_path)
    assert (packaged["id"], saved["id"]) == ("model-digits", "folder-digits")
    assert models.locate("folder-digits", tmp_path) == tmp_path / "digits"
    assert models.locate("model-digits", tmp_path) != tmp_path / "digits"
