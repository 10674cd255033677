"""The contract of a storage: tests that every log must pass, including a log that you wrote. They need pytest.

Example:
    ```python
    class TestMyLog(TurnLogContract):
        @pytest.fixture(autouse=True)
        def _folder(self, tmp_path):
            self.folder = tmp_path

        def open_log(self, tenant="alice", *, reader="a reader", dim=8):
            return MyLog(self.folder, tenant, reader=reader, dim=dim)
    ```
"""

import pytest

pytest.register_assert_rewrite(*(f"titans_core.testing.{module}" for module in ("contract", "one_log", "turns")))

from titans_core.testing.contract import TurnLogContract  # noqa: E402 - pytest must first know that it rewrites the asserts
from titans_core.testing.one_log import OneLogContract  # noqa: E402 - as above

__all__ = ["OneLogContract", "TurnLogContract"]
