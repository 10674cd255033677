"""A callback handler that keeps the custom events of LangChain runs."""

from langchain_core.callbacks import BaseCallbackHandler


class EventRecorder(BaseCallbackHandler):
    """Keeps custom events.

    Attributes:
        events: Name and data of each event, in the order of their arrival.
    """

    def __init__(self):
        self.events = []

    def on_custom_event(self, name, data, **kwargs):
        self.events.append((name, data))
