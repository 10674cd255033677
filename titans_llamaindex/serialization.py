"""Chat memories that a workflow can save and load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4
from weakref import WeakValueDictionary

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.memory.types import BaseMemory

from titans_core.integration import open_saved_memory, saved_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from titans_core import TitansMemory

# The chat memories of this process, by handle. A workflow that continues with a used context saves the chat memory of
# the context and loads it in the same process. What it loads must be the object that its caller has.
_LIVE: WeakValueDictionary[str, SerializableChatMemory] = WeakValueDictionary()


class SerializableChatMemory(BaseMemory):
    """A chat memory that saves the URL of its long-term memory, its options and its conversation.

    A subclass sets `_memory` and calls `_register` in its `__init__`. Its `__init__` takes the long-term memory as
    `memory`.
    """

    _memory: TitansMemory = PrivateAttr()
    # Engines put streamed answers from a thread, so each change is one list operation, which is atomic.
    _messages: list[ChatMessage] = PrivateAttr(default_factory=list)
    _handle: str = PrivateAttr(default_factory=lambda: str(uuid4()))

    @property
    def memory(self) -> TitansMemory:
        """The long-term memory, for example to call its `forget`, `update` or `close`."""
        return self._memory

    @property
    def url(self) -> str:
        """URL of the long-term memory: an absolute path, or the URL of a server without the password."""
        return saved_url(self._memory.url)

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Return the memory's URL, the options and the conversation as JSON values. The tokenizer is not saved.

        Args:
            **kwargs: Options of LlamaIndex's `BaseComponent.to_dict`.
        """
        return {
            **super().to_dict(**kwargs),
            "url": self.url,
            "tenant": self._memory.tenant,
            "handle": self._handle,
            "chat_history": [message.model_dump(mode="json") for message in self._messages],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Load what `to_dict` returned.

        In the process that saved it, the result uses the same open memory. It is the saved object itself if the
        conversation has not changed since. In another process, the file of the memory is opened with the default
        reader. A PostgreSQL password is not part of `data`; it comes from `PGPASSWORD` or `~/.pgpass`.

        Args:
            data: Result of `to_dict`; not changed.
            **kwargs: Values that replace values of `data`. With `memory=`, no file is opened.

        Raises:
            UnsupportedUrlError: The memory was at ":memory:", and its process has ended.
            StorageError: `data` has no URL, or there is no memory at the URL.
        """
        data = {**data, **kwargs}
        data.pop("class_name", None)
        url, tenant, handle = data.pop("url", None), data.pop("tenant", None), data.pop("handle", None)
        history = [ChatMessage.model_validate(message) for message in data.pop("chat_history", [])]
        live = _LIVE.get(handle or "")
        if live and (live.memory.closed or (live.url, live.memory.tenant) != (url, tenant)):
            live = None
        if isinstance(live, cls) and not kwargs and live.get_all() == history:
            return live
        if "memory" not in data:
            data["memory"] = live.memory if live else open_saved_memory(url, tenant)
        loaded = cls(**data)
        loaded._messages = history
        loaded._register(handle or loaded._handle)
        return loaded

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Workflows copy their whole state. A copy would be a second chat memory of one conversation.
        return self

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Self], tuple[dict[str, Any]]]:
        # Pickling the attributes would silently lose the open memory.
        return type(self).from_dict, (self.to_dict(),)

    def _register(self, handle: str) -> None:
        """Make this object the one that `from_dict` finds under the handle."""
        self._handle = handle
        _LIVE[handle] = self
