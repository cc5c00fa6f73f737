"""A client of peerd, one-to-one messaging on NATS."""

from .client import Client
from .shapes import AnyEvent, Conversation, Event, Message
from .wire import NotConnected, PeerdError, QueueFull, Refused, Unanswered, token

__version__ = "0.1.0"
__all__ = [
    "AnyEvent",
    "Client",
    "Conversation",
    "Event",
    "Message",
    "NotConnected",
    "PeerdError",
    "QueueFull",
    "Refused",
    "Unanswered",
    "token",
]
