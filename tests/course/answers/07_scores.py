"""Wrong answers to chapter 7, and words of the hint that each gets."""

AWAY = "away = means - x[:, None]\n"

WRONG = {
    "score": [
        (
            AWAY + "r = torch.softmax(-away.square().sum(2) / (2 * std**2), 1)\n"
            "return -(r[:, :, None] * away).sum(1) / std**2",
            "point away from the data",
        ),
        (
            AWAY + "r = torch.softmax(-away.square().sum(2) / (2 * std**2), 1)\n"
            "return (r[:, :, None] * away).sum(1) / std",
            "not half of it or by s",
        ),
        (
            AWAY + "r = torch.softmax(-away.square().sum(2) / (2 * std**2), 1)\n"
            "return (r[:, :, None] * away).sum(1)",
            "divided by the square of s",
        ),
        (AWAY + "return away.mean(1) / std**2", "where is r"),
        ("return means[:1] + 0 * x", "yours is (1.00, 0.00)"),
        (
            AWAY + "r = torch.softmax(-away.square().sum(2) / 2, 1)\n"
            "return (r[:, :, None] * away).sum(1) / std**2",
            "how wide the heaps are",
        ),
        (
            AWAY + "r = torch.softmax(-away.square().sum(2) / std**2, 1)\n"
            "return (r[:, :, None] * away).sum(1) / std**2",
            "with the 2",
        ),
        (
            AWAY + "r = torch.softmax(-away.norm(dim=2) / (2 * std**2), 1)\n"
            "return (r[:, :, None] * away).sum(1) / std**2",
            "look at r_k",
        ),
    ],
    "score_from_noise": [
        ("return eps / sigma", "the sign is missing"),
        ("return -eps * sigma", "solve eps = -sigma score"),
        ("return -eps", "where is sigma"),
        ("return -eps / sigma**2", "with eps it is sigma"),
        ("return eps", "at sigma = 0.5"),
    ],
    "reverse_step": [
        ("return x + h * (beta * x / 2 + beta * score) + beta * h * z", "its root"),
        ("return x + h * (beta * x / 2 + beta * score) + beta**0.5 * h * z", "root of the time"),
        ("return x + h * (beta * x / 2 + beta * score)", "multiplied by 0.2"),
        (
            "return x - h * (beta * x / 2 + beta * score) + (beta * h) ** 0.5 * z",
            "subtract h times the bracket",
        ),
        (
            "return x + h * (beta * x + beta * score) + (beta * h) ** 0.5 * z",
            "grows by the share",
        ),
        (
            "return x + h * (beta * x / 2 + beta * score / 2) + (beta * h) ** 0.5 * z",
            "needs the whole score",
        ),
        (
            "return x + h * (beta * x / 2 - beta * score) + (beta * h) ** 0.5 * z",
            "along the score",
        ),
        ("return x + h * beta * x / 2 + (beta * h) ** 0.5 * z", "beta h = 0.04"),
    ],
}
