"""The project that is measured: a Django project as ``startproject`` makes it, and few handlers."""
