"""Tell customers what becomes of their orders, wherever in the site an order is saved."""

from django.core.exceptions import PermissionDenied
from django.db.models.signals import post_save
from django.dispatch import receiver

import socketio_server
from orders.models import Order
from socketio_server import events


@events.on_connect
def join(request, socket, context):
    """Put each window of a user on the user's own channel."""
    if not request.user.is_authenticated:
        raise PermissionDenied("Please log in.")
    socket.subscribe(f"user-{request.user.pk}")


@events.on_subscribe(channel="^user-")
def refuse(request, socket, context, channel):
    """Keep clients from asking for somebody else's channel."""
    raise events.Reject("That channel is private.")


@receiver(post_save, sender=Order)
def notify(sender, instance, **kwargs):
    """Tell the customer once the change is in the database."""
    channel = f"user-{instance.customer_id}"
    socketio_server.emit("notification", str(instance), to=channel, on_commit=True)
