"""Kill a run in stages at random moments, again and again; both models must end the same.

    python tests/faults/kill_stages.py [KILLS] [SEED]

One command trains a codec and then a model in its latents. It is killed in the first stage, between
the two, and in the second, as in `kill.py`, and typed again. Prints what happened as JSON, with how
often each stage was hit, and exits 1 if any run ended otherwise than undisturbed.
"""

import json
import os
import signal
import sys
import tempfile
import time

import kill
import numpy as np
from kill import fork, reap, same, tensors

from demist import runs
from demist.config import TrainConfig, update
from demist.training.stages import finished

CONFIG = update(
    TrainConfig(),
    {
        "path": "digits", "limit": 64, "codec": "own", "latent_channels": 2,
        "codec_budget": "8steps", "patch": 1, "channels_per_level": [8], "head_dim": 8,
        "norm_groups": 2, "dropout": 0.1, "batch_size": 8, "steps": 16, "warmup": 4,
        "save_every": "2", "log_every": "5", "sample_count": 0, "precision": "fp32",
    },
)  # fmt: skip


def both(run):
    """All tensors of the newest checkpoints of both stages."""
    codec = tensors(runs.stages.stage(run, "codec"))
    return {f"codec {name}": value for name, value in codec.items()} | tensors(run)


def stage_of(run):
    """Where a run was killed: in which stage, or between them."""
    if not finished(runs.stages.stage(run, "codec")):
        return "codec"
    return "model" if run.description.exists() else "between"


def main(kills=40, seed=0):
    """Kill so often; what happened, as a dictionary."""
    rng = np.random.default_rng(seed)
    begun = time.monotonic()
    facts = dict.fromkeys(
        ("kills", "codec", "between", "model", "before", "runs", "wrong", "errors", "left_over"), 0
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEMIST_CACHE"] = f"{folder}/cache"
        kill.trainer(update(CONFIG, {"runs": f"{folder}/warm"}))  # loads all that a step loads
        begin = time.monotonic()
        assert reap(fork(update(CONFIG, {"runs": f"{folder}/whole"}))) == 0, "undisturbed"
        span = time.monotonic() - begin
        whole = both(runs.find("1", f"{folder}/whole"))
        config = update(CONFIG, {"runs": f"{folder}/killed"})
        ended = None
        while facts["kills"] < kills or ended != 0:
            pid = fork(config)
            if facts["kills"] < kills:
                # Short lives hit start-up and the first save, long ones the end and the next stage.
                time.sleep(float(rng.choice([0.3, 1.0, 1.3]) * rng.uniform() * span))
                os.kill(pid, signal.SIGKILL)
            ended = reap(pid)
            found = runs.all_runs(config.output.runs)
            if ended == 0:
                facts["runs"] += 1
                facts["wrong"] += not same(whole, both(found[-1]))
                continue
            facts["kills"] += ended == -signal.SIGKILL
            facts["errors"] += ended != -signal.SIGKILL
            if facts["errors"] > 3:
                break
            facts[stage_of(found[-1]) if found else "before"] += 1
        for run in found:
            facts["left_over"] += len([*run.path.rglob(".writing-*"), *run.path.rglob(".*.tmp")])
    facts["life"] = round(span, 2)
    return facts | {"seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    print(json.dumps(result))
    sys.exit(bool(result["wrong"] or result["errors"] or result["left_over"]))
