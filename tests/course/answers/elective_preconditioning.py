"""Wrong answers to the elective on preconditioning, and words of the hint that each gets."""

T = "t = sigma**2 + sigma_data**2\n"

WRONG = {
    "scales": [
        (
            T + "return 1 / t, sigma_data**2 / t, sigma * sigma_data / t**0.5",
            "a root is missing",
        ),
        (
            "t = sigma + sigma_data\nreturn 1 / t, sigma_data / t, sigma * sigma_data / t",
            "standard deviations do not",
        ),
        (
            "return 1 / sigma, 1.0, sigma",
            "where is the variance of the data",
        ),
        (
            T + "return 1 / t**0.5, sigma**2 / t, sigma * sigma_data / t**0.5",
            "your c_skip grows with the noise",
        ),
        (T + "return 1 / t**0.5, 0 * sigma, sigma_data + 0 * sigma", "c_out is not smallest"),
        (
            T + "return 1 / t**0.5, sigma_data**2 / t, sigma**2 * sigma_data**2 / t",
            "the square of c_out",
        ),
        (T + "return 1 / t**0.5", "three are asked for"),
    ],
    "levels": [
        (
            "r = torch.linspace(low ** (1 / rho), high ** (1 / rho), n, dtype=torch.float64)\n"
            "return torch.cat([r**rho, torch.zeros(1)])",
            "from high to low",
        ),
        (
            "return torch.linspace(high ** (1 / rho), low ** (1 / rho), n).double() ** rho",
            "after the last level comes 0",
        ),
        (
            "return torch.cat([torch.linspace(high, low, n).double(), torch.zeros(1).double()])",
            "which is rho = 1",
        ),
        (
            "r = torch.linspace(high ** (1 / rho), low ** (1 / rho), n, dtype=torch.float64)\n"
            "return torch.cat([r, torch.zeros(1)])",
            "these are the roots",
        ),
        (
            "r = torch.linspace(high**rho, low**rho, n, dtype=torch.float64) ** (1 / rho)\n"
            "return torch.cat([r, torch.zeros(1)])",
            "the power of 1 / rho",
        ),
        (
            "r = torch.linspace(high ** (1 / rho), low ** (1 / rho), n)\n"
            "return torch.cat([r**rho, torch.zeros(1)])",
            "make them float64",
        ),
    ],
}
