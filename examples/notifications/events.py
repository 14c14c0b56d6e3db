"""Tell customers what becomes of their orders, wherever in the site an order is saved."""

from django.core.exceptions import PermissionDenied
from django.db.models.signals import post_save
from django.dispatch import receiver

import socketio_server
from orders.models import Order
from socketio_server import events


@events.on_connect
def join(request, socket, context):
    """Let customers in only."""
    if not request.user.is_authenticated:
        raise PermissionDenied("Please log in.")


@receiver(post_save, sender=Order)
def notify(sender, instance, **kwargs):
    """Tell the customer once the change is in the database."""
    socketio_server.emit("notification", str(instance), to=instance.customer, on_commit=True)
