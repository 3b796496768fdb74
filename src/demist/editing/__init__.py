"""Changing what is there: from data to noise and back."""
