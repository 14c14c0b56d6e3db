"""Private rooms: who may enter, who is here, and what is said."""

from django.db.models.signals import m2m_changed, post_delete
from django.dispatch import receiver
from rooms.models import Room

import socketio_server
from socketio_server import events
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.decorators import login_required

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


@events.on_subscribe(channel=ROOM)
@events.on_unsubscribe(channel=ROOM)
def tell_who_is_here(request, socket, context, channel):
    """Tell all in a room who is here, each once, however many windows they have."""
    here = set(CHANNELS[channel])
    if not socket.connected():  # it is on its channels until all is over
        here.discard(socket.id)
    names = {CLIENTS[socket_id][0].user.get_username() for socket_id in here}
    socketio_server.emit("here", channel, sorted(names), to=channel)


@events.on("say", channel=ROOM)
def say(request, socket, context, channel, text):
    """Pass on what somebody says in a room that it is in."""
    if channel not in socket.channels:
        raise events.Reject("You are not in this room.")
    socket.emit("said", channel, request.user.get_username(), text, to=channel)
