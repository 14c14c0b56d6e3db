"""A Django project for the browser tests: the demo, and other pages beside it."""
