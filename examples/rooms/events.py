"""Private rooms: who may enter, who is here, and what is said."""

from django.db.models.signals import m2m_changed, post_delete
from django.dispatch import receiver
from rooms.models import Room

import socketio_server
from socketio_server import events
from socketio_server.decorators import login_required
from socketio_server.signals import channel_subscribed, channel_unsubscribed

ROOM = "^room-(?P<pk>[1-9][0-9]*)$"


@events.on_connect
@login_required
def connect(request, socket, context):
    """Let those in who are logged in, for as long as they are."""


@events.authorize(channel=ROOM)
def may_enter(request, socket, context, channel, pk):
    """Let a room's members in."""
    return Room.objects.filter(pk=pk, members=request.user).exists()


@receiver(m2m_changed, sender=Room.members.through)
def members_changed(instance, action, reverse, **kwargs):
    """Verify those again who are in a room whose members change, or a user whose rooms do."""
    if action.startswith("post_"):
        socketio_server.recheck(instance if reverse else f"room-{instance.pk}")


@receiver(post_delete, sender=Room)
def room_deleted(instance, **kwargs):
    """Verify those again who are in a room that is deleted: ``m2m_changed`` isn't sent for it."""
    socketio_server.recheck(f"room-{instance.pk}")


@receiver([channel_subscribed, channel_unsubscribed])
def tell_who_is_here(channel, **kwargs):
    """Tell all in a room who is here, each once, however many windows they have."""
    names = [user.get_username() for user in socketio_server.users_on(channel)]
    socketio_server.emit("here", channel, sorted(names), to=channel)


@events.on("say", channel=ROOM)
def say(request, socket, context, channel, text):
    """Pass on what somebody says in a room that it is in."""
    if channel not in socket.channels:
        raise events.Reject("You are not in this room.")
    socket.emit("said", channel, request.user.get_username(), text, to=channel)
