"""Language and time zone: those of the client's handshake are active in its handlers."""

from datetime import tzinfo
from typing import NamedTuple, Self

from django.conf import settings
from django.utils import timezone, translation

_DJANGO = "django."
_ACTIVATING = "django.middleware.locale.LocaleMiddleware"


def may_be_activated() -> bool:
    """Return whether the project's middleware may activate a language or a time zone: of Django's
    own, only one does.
    """
    return any(name == _ACTIVATING or not name.startswith(_DJANGO) for name in settings.MIDDLEWARE)


class ActiveLocale(NamedTuple):
    """The language and time zone that middleware may have activated for a request."""

    language: str
    timezone: tzinfo

    @classmethod
    def of_settings(cls) -> Self:
        """Return the language and time zone of the settings."""
        return cls(settings.LANGUAGE_CODE, timezone.get_default_timezone())

    @classmethod
    def capture(cls) -> Self:
        """Return the active ones; the settings' language if translation is turned off."""
        language = translation.get_language() or settings.LANGUAGE_CODE
        return cls(language, timezone.get_current_timezone())

    def activate(self) -> None:
        """Activate both in the current context."""
        translation.activate(self.language)
        timezone.activate(self.timezone)
