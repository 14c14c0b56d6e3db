"""The row that is read."""

from django.db import models


class Entry(models.Model):
    """An entry with a title."""

    objects: "models.Manager[Entry]" = models.Manager()
    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title
