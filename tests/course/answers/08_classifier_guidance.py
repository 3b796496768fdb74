"""Wrong answers to chapter 8, and words of the hint that each gets."""

AWAY = "away = (x[:, None] - centres).square().sum(2)\n"

WRONG = {
    "log_classes": [
        (
            AWAY + "return torch.softmax(weights.log() - away / (2 * variance), 1)",
            "these are probabilities",
        ),
        (AWAY + "return weights.log() - away / (2 * variance)", "exp of a row must sum to 1"),
        (AWAY + "return torch.log_softmax(-away / (2 * variance), 1)", "where are the shares"),
        (AWAY + "return torch.log_softmax(weights - away / (2 * variance), 1)", "as its logarithm"),
        (
            AWAY + "return torch.log_softmax(weights.log() + away / (2 * variance), 1)",
            "there is a minus",
        ),
        (AWAY + "return torch.log_softmax(weights.log() - away / variance, 1)", "with the 2"),
        (
            AWAY + "return torch.log_softmax(weights.log() - away / (2 * variance**2), 1)",
            "`variance` is the square",
        ),
        (
            AWAY + "return torch.log_softmax(weights.log() - away.sqrt() / (2 * variance), 1)",
            "go through the formula",
        ),
    ],
    "guided_noise": [
        ("return eps + scale * sigma * slope", "points the other way"),
        ("return eps - scale * slope", "so is what is added"),
        ("return eps - scale * slope / sigma", "not divided by sigma"),
        ("return eps - scale * sigma**2 * slope", "with eps it is sigma"),
        ("return eps - sigma * slope", "no guidance"),
        ("return eps - scale**2 * sigma * slope", "three times the change"),
        ("return eps - 0.1 * scale * slope", "half of the slope"),
    ],
}
