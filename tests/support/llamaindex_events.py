"""Records the events that Titans memories send to LlamaIndex's dispatcher."""

from contextlib import contextmanager

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from pydantic import Field

from titans_llamaindex.events import TitansFailureEvent, TitansMemorizeEvent, TitansRecallEvent


class EventRecorder(BaseEventHandler):
    """Keeps the events of Titans memories.

    Attributes:
        events: Events in the order of their arrival.
    """

    events: list = Field(default_factory=list)

    def handle(self, event, **kwargs):
        if isinstance(event, TitansRecallEvent | TitansMemorizeEvent | TitansFailureEvent):
            self.events.append(event)


@contextmanager
def recorded_events():
    """Yield a list to which each event is appended as it arrives."""
    recorder, dispatcher = EventRecorder(), get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        yield recorder.events
    finally:
        dispatcher.event_handlers.remove(recorder)
