"""Write the table of methods into docs/posteriors.md: `python docs/make_posteriors.py`."""

from pathlib import Path

from demist.inverse import METHODS, Guided

PAGE = Path(__file__).parent / "posteriors.md"
BEGIN, END = "<!-- methods -->\n", "<!-- end of methods -->\n"


def table() -> str:
    """A row for each method, from what its class says."""
    lines = ["| method | what it does | operators | noise | is |", "| --- |" + " --- |" * 4]
    for row in METHODS.rows():
        cls = type(METHODS.make(row.name))
        operators = "linear" if cls.linear else "any"
        operators += ", singular values known" if cls.spectral else ""
        noise = "Gaussian" if cls.gaussian else "any"
        noise += ", above 0" if cls.noisy else ""
        kind = "a denoiser" if issubclass(cls, Guided) else "a walk"
        lines.append(f"| `{row.name}` | {row.line} | {operators} | {noise} | {kind} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with its table."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page())
