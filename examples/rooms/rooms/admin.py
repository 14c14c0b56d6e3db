"""Rooms and their members are edited in the admin."""

from django.contrib import admin

from rooms.models import Room

admin.site.register(Room)
