"""Rights: who has lost some."""
