"""A record is not kept as unreadable because the schema registry does not answer."""

from typing import cast

import pytest
from sqlalchemy import Engine

from saga_monitor.ingest.projection import Projection
from sagakit.errors import RegistryUnavailable
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from schemas import FLOWS


class SilentCodec:
    """A codec whose registry does not answer."""

    def is_foreign(self, record: Record) -> bool:
        return False

    def decode(self, record: Record) -> None:
        raise RegistryUnavailable("no answer")


def test_a_registry_that_does_not_answer_is_asked_again_for_the_same_record() -> None:
    codec = cast(Codec, SilentCodec())
    record = Record("order.events", 0, 0, 0, b"o1", b"\0\0\0\x03\xe7x")
    with pytest.raises(RegistryUnavailable):
        Projection(cast(Engine, None), codec, FLOWS).apply([record])
