"""The keys of customers in memory, sealing as the real ones do."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from sagakit.messages.envelope import NAMESPACE
from services.order.vault import KEY_BITS, CustomerTexts, Erasure, Opener, open_text, seal_text


class MemoryVault:
    """See `services.order.vault.Vault`. in_flight: customer -> orders that need the data."""

    def __init__(self) -> None:
        self.keys: dict[UUID, bytes] = {}
        self.current: dict[str, UUID] = {}
        self.erased: dict[str, datetime] = {}
        self.in_flight: dict[str, tuple[str, ...]] = {}
        self.words: list[tuple[str, str]] = []
        self.erased_meanwhile = False
        self.openers: list[Opener] = []

    def seal(self, wanted: Sequence[CustomerTexts], now: datetime) -> list[list[str]]:
        """The texts, sealed."""
        return [self._seal(customer, texts) for customer, texts in wanted]

    def _seal(self, customer: str, texts: Sequence[str]) -> list[str]:
        if customer not in self.current:
            key_id = uuid5(NAMESPACE, f"{customer}:{len(self.keys)}:{len(self.erased)}")
            self.current[customer], self.keys[key_id] = key_id, AESSIV.generate_key(KEY_BITS)
        key_id = self.current[customer]
        return [seal_text(key_id, self.keys[key_id], text) for text in texts]

    def open(self, texts: Sequence[str], by: Opener) -> list[str | None]:
        """The texts in clear; None where the key is gone."""
        self.openers.append(by)
        return [open_text(self.keys, text) for text in texts]

    def kept(self, texts: Sequence[str]) -> list[bool]:
        """Whether the texts can be opened."""
        if self.erased_meanwhile:
            return [False for _ in texts]
        return [open_text(self.keys, text) is not None for text in texts]

    def erase(
        self, customer: str, actor: str, reason: str, now: datetime, *, force: bool = False
    ) -> Erasure:
        """Delete the customer's key."""
        flying = self.in_flight.get(customer, ())
        if flying and not force:
            return Erasure(None, flying)
        if customer in self.current:
            del self.keys[self.current.pop(customer)]
            self.erased[customer] = now
            self.words.append((actor, reason))
        return Erasure(self.erased.get(customer), flying)
