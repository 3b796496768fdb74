"""Wrong answers to the elective on memorising, and words of the hint that each gets."""

NEAR = "near = torch.cdist(made, train).topk(2, dim=1, largest=False).values\n"
PAIRS = "pairs = near[:, None] - natural\n"

WRONG = {
    "copied": [
        (NEAR + "return float((near[:, 0] < near[:, 1] / 3).sum())", "the share is asked for"),
        (
            "near = torch.cdist(made, train).topk(2, dim=1).values\n"
            "return float((near[:, 0] < near[:, 1] / 3).float().mean())",
            "largest=False",
        ),
        (NEAR + "return float((near[:, 0] < near[:, 1]).float().mean())", "how much nearer"),
        (NEAR + "return float((near[:, 0] < near[:, 1] * 0.7).float().mean())", "three times"),
        (NEAR + "return float((near[:, 0] ** 2 < near[:, 1] ** 2 / 3).float().mean())", "squares"),
        (NEAR + "return float((near[:, 0] < near[:, 1] / 8).float().mean())", "two of these four"),
        (NEAR + "near[:, 0] < near[:, 1] / 3", "does it end with `return`"),
    ],
    "closer": [
        (PAIRS + "return float((pairs > 0).float().mean())", "turn it round"),
        (PAIRS + "return float((pairs < 0).sum())", "you count the pairs"),
        (PAIRS + "return float((pairs < 0).float().mean())", "count for nothing"),
        (PAIRS + "return float((pairs <= 0).float().mean())", "not a whole"),
        ("return float((near < natural.median()).float().mean())", "five of six"),
    ],
}
