"""``python manage.py make_entry``: makes the one row that is read."""

from django.core.management.base import BaseCommand

from benchmarks.project.models import Entry


class Command(BaseCommand):
    """The command ``make_entry``."""

    help = "Makes the row that is read."

    def handle(self, *args: object, **options: object) -> None:
        """Make it, unless it is there."""
        Entry.objects.get_or_create(pk=1, defaults={"title": "The title of the entry"})
