"""The right to read a topic, for tests that revoke it."""

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.stack import PATIENCE_S


class Right:
    """The right to read a topic, which everybody has until it is revoked."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._deny = (
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            "User:ANONYMOUS",
            "*",
            AclOperation.READ,
            AclPermissionType.DENY,
        )

    def revoke(self) -> None:
        """Refuse it to everybody."""
        allow = (*self._deny[:3], "User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW)
        for done in self._admin.create_acls([AclBinding(*allow), AclBinding(*self._deny)]).values():
            done.result(PATIENCE_S)

    def give_back(self) -> None:
        """Allow it again."""
        for done in self._admin.delete_acls([AclBindingFilter(*self._deny)]).values():
            done.result(PATIENCE_S)
