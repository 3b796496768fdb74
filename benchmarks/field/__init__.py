"""demist and the field on one problem: the same exact denoiser, start noise and reference."""
