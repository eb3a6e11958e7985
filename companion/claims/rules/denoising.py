"""The article's reference 3: denoising."""
