"""Language and time zone: handlers have those that were active at the client's handshake."""

from datetime import tzinfo
from typing import NamedTuple, Self

from django.conf import settings
from django.utils import timezone, translation


class ActiveLocale(NamedTuple):
    """What the project's middleware may have activated for a request."""

    language: str
    timezone: tzinfo

    @classmethod
    def of_settings(cls) -> Self:
        """Return what is active where nothing was activated."""
        return cls(settings.LANGUAGE_CODE, timezone.get_default_timezone())

    @classmethod
    def capture(cls) -> Self:
        """Return what is active now; the settings' language where translation is turned off."""
        language = translation.get_language() or settings.LANGUAGE_CODE
        return cls(language, timezone.get_current_timezone())

    def activate(self) -> None:
        """Activate it in the current context."""
        translation.activate(self.language)
        timezone.activate(self.timezone)
