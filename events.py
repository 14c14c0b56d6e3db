"""The demo's handlers: what happens when somebody comes, enters a room and says something."""

from django.utils.translation import gettext as _

from socketio_server import events


@events.on_connect
def welcome(request, socket, context):
    socket.send({"action": "system-info", "message": _("You are connected.")})


@events.on_subscribe(channel="^room-")
def enter_room(request, socket, context, channel):
    socket.send({"action": "system-info", "message": _("You are in %s.") % channel})


@events.on_message(channel="^room-")
def talk(request, socket, context, message):
    socket.send_and_broadcast_channel(message)
