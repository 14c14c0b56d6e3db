"""An order: its customer is told when it changes (``events.py``)."""

from django.conf import settings
from django.db import models


class Order(models.Model):
    """What somebody has ordered, and how far it is."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    what = models.CharField(max_length=100)
    status = models.CharField(max_length=20, default="received")

    def __str__(self):
        return f"{self.what}: {self.status}"
