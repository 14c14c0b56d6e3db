"""Private rooms, and who may be in them."""

from django.conf import settings
from django.db import models


class Room(models.Model):
    name = models.SlugField(unique=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="rooms")

    def __str__(self):
        return self.name
