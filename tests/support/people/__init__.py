"""An app with models that inherit from Django's users, groups and permissions."""
