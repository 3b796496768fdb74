"""Wrong answers to chapter 0, and words of the hint that each gets."""

WRONG = {
    "density": [
        ("return torch.exp(-(((x - mean) / spread) ** 2) / 2)", "which factor stands in front"),
        (
            "return torch.exp(-(((x - mean) / spread) ** 2)) / (spread * math.sqrt(2 * math.pi))",
            "where is the half",
        ),
        (
            "return torch.exp(((x - mean) / spread) ** 2 / 2) / (spread * math.sqrt(2 * math.pi))",
            "a sign is missing",
        ),
        (
            "return torch.exp(-((x / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))",
            "highest at its mean",
        ),
        (
            "return torch.exp(-(((x - mean) / spread) ** 2) / 2) / math.sqrt(2 * math.pi)",
            "half as high",
        ),
        (
            "return torch.exp(-((x - mean) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))",
            "measured in spreads",
        ),
        (
            "return torch.exp(-((x - mean) ** 2) / (2 * spread)) / math.sqrt(2 * math.pi * spread)",
            "not the variance",
        ),
        ("pass", "does it end with `return`"),
    ],
}
