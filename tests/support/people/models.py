"""Proxies, as projects make them for an admin of their own say."""

from django.contrib.auth.models import Group, User


class Customer(User):
    """A user."""

    class Meta:
        proxy = True


class Team(Group):
    """A group."""

    class Meta:
        proxy = True
