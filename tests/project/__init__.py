"""The Django project that the servers under test run."""
