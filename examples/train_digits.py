"""Train on the digits that come with the package, then ask for sevens.

A few minutes on two processor cores; `main(steps=...)` sets how long.
"""

from pathlib import Path

from demist import Pipeline, recipes, train, update
from demist.drawing import image_grid, save_png


def main(steps: int = 1000, runs: str = "runs", **options) -> Path:
    config = update(
        recipes.find("demo").config(), {"steps": steps, "budget": None, "runs": runs} | options
    )
    run = train(config)

    pipeline = Pipeline.from_run(run)
    images = pipeline.sample(16, label="7", guidance=2.0, steps=20, seed=0)
    picture = run.path / "sevens.png"
    save_png(image_grid(images), picture)
    print(picture)
    return picture


if __name__ == "__main__":
    main()
