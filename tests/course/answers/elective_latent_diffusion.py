"""Wrong answers to the elective on latent diffusion, and words of the hint that each gets."""

WRONG = {
    "kl": [
        ("return (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)", "halved"),
        (
            "return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean(1)",
            "yours is the mean",
        ),
        ("return 0.5 * (mean.abs() + log_variance.exp() - 1 - log_variance).sum(1)", "squared"),
        ("return 0.5 * (mean**2 + log_variance - 1 - log_variance.exp()).sum(1)", "the KL is 0"),
        (
            "return 0.5 * (mean**2 + (2 * log_variance).exp() - 1 - 2 * log_variance).sum(1)",
            "not of s",
        ),
        ("return 0.5 * (mean**2 + log_variance.exp() - 1 + log_variance).sum(1)", "minus"),
        ("return 0.5 * (mean**2 + log_variance.exp() - log_variance).sum(1)", "the KL is 0"),
    ],
    "measure": [
        ("return z.mean(0), (z - z.mean(0)).square().mean() ** 0.5", "1 / spread"),
        ("return z.mean(0), 1 / (z - z.mean(0)).square().mean()", "the root is missing"),
        ("return z.mean(0), 1 / z.square().mean() ** 0.5", "around the mean"),
        ("return z.mean(), 1 / (z - z.mean()).square().mean() ** 0.5", "a shift of its own"),
        ("return z.mean(0), 1 / z.std(0)", "one scale for all"),
        ("return z.mean(0), 1 / (z - z.mean()).square().mean() ** 0.5", "not of all"),
        ("return z.mean(0), (1 / z.std(0, correction=0)).mean()", "first the mean"),
    ],
}
