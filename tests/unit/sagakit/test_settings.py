"""A wrong setting is named with its remedy and without its password; a clock may be off."""

from datetime import UTC, datetime, timedelta

import pytest

from saga_monitor.service import MonitorSettings
from sagakit.service.settings import ServiceSettings, load
from services.notification.service import NotificationSettings
from services.payment.service import PaymentSettings

GIVEN = {
    "SAGA_BOOTSTRAP_SERVERS": "kafka:9092",
    "SAGA_CONTRACT": "schemas",
    "SAGA_DATABASE_URL": "postgresql://shop:pw@database/shop",
    "SAGA_PROVIDER_URL": "http://provider",
    "SAGA_WEBHOOK_SECRET": "0123456789abcdef" * 2,
    "SAGA_SMTP_HOST": "mail",
    "SAGA_SMTP_PORT": "25",
}
Settings = type[ServiceSettings]
NO_HOST, NO_PORT, NO_URL = "is no host; write", "has no port from 1 to 65535", "is no base URL"
DATABASE = "postgresql://shop:s3cret@database"
WRONG = [
    *[
        (ServiceSettings, "SAGA_BOOTSTRAP_SERVERS", value, reason)
        for value, reason in [
            ("", NO_HOST),
            ("kafka", NO_HOST),
            ("kafka:0", NO_PORT),
            ("kafka:70000", NO_PORT),
            ("kafka:9092,", NO_HOST),
            ("http://kafka:9092", NO_HOST),
            ("me:s3cret@kafka:9092", NO_HOST),
            ("ka fka:9092", NO_HOST),
            ("k" * 100_000 + ":1", NO_HOST),
        ]
    ],
    *[
        (ServiceSettings, "SAGA_DATABASE_URL", value, reason)
        for value, reason in [
            (" ", "is no PostgreSQL URL"),
            ("mysql://shop:s3cret@database/shop", "is no PostgreSQL URL"),
            ("postgresfoo://shop:s3cret@database/shop", "is no PostgreSQL URL"),
            ("postgresql+asyncpg://shop:s3cret@database/shop", "is no PostgreSQL URL"),
            ("postgresql://", "has no host or no database"),
            (DATABASE, "has no host or no database"),
            (f"{DATABASE}:70000/shop", NO_PORT),
            (f"{DATABASE}:0/shop", NO_PORT),
            (f"{DATABASE}/shop?port=x", NO_PORT),
            (f"{DATABASE}/shop?sslmode=bogus", "has a wrong sslmode; write one of disable, allow"),
            (f"{DATABASE}/shop?connect_timeout=x", "has a wrong connect_timeout"),
            (
                f"{DATABASE}/shop?colour=red",
                'has a wrong option: invalid connection option "colour',
            ),
            ("postgresql://shop:p@s3cret@database/shop", "has an @ in its user or password"),
            ("postgresql://shop:s3cret%00@database/shop", "has control characters"),
        ]
    ],
    *[
        (settings, name, value, NO_URL)
        for settings, name in [
            (ServiceSettings, "SAGA_SCHEMA_REGISTRY_URL"),
            (PaymentSettings, "SAGA_PROVIDER_URL"),
            (NotificationSettings, "SAGA_VAULT_URL"),
        ]
        for value in [
            " ",
            "http://",
            "http://me:s3cret@host:70000",
            "http://host:0",
            "http://ho st",
            "http://host\nx",
            "http://host?x=y",
            "http://[::1",
            "ftp://host",
            "host",
        ]
    ],
    *[
        (settings, name, value, NO_HOST)
        for settings, name in [
            (ServiceSettings, "SAGA_HTTP_HOST"),
            (NotificationSettings, "SAGA_SMTP_HOST"),
        ]
        for value in ["", " ", "*", "localhost:80", "[::1]", "a" * 64 + ".b", "x" * 300]
    ],
    (ServiceSettings, "SAGA_DRAIN_S", "inf", "less than or equal to 3600"),
    (ServiceSettings, "SAGA_DRAIN_S", "nan", "less than or equal to 3600"),
    (MonitorSettings, "SAGA_HISTORY_AFTER_S", "inf", "less than or equal to"),
    (MonitorSettings, "SAGA_HISTORY_AFTER_S", "1e300", "less than or equal to"),
    (MonitorSettings, "SAGA_GROUP", " ", "should match pattern"),
    (MonitorSettings, "SAGA_DEADLINES", "{", "is no JSON"),
    (MonitorSettings, "SAGA_DEADLINES", "[" * 100_000, "is no JSON"),
    (MonitorSettings, "SAGA_PARTICIPANTS", '["http://me:s3cret@host"]', "valid dictionary"),
    (MonitorSettings, "SAGA_PARTICIPANTS", '{"a":"http://me:s3cret@host"}x', "is no JSON"),
    (MonitorSettings, "SAGA_PARTICIPANTS", '{"a":"http://me:s3cret', "is no JSON"),
    (MonitorSettings, "SAGA_PARTICIPANTS", '{"a":"//me:s3cret@host"}', NO_URL),
    (PaymentSettings, "SAGA_WEBHOOK_SECRET", " ", "is blank"),
    (PaymentSettings, "SAGA_WEBHOOK_SECRET_PREVIOUS", "", "is blank"),
    (PaymentSettings, "SAGA_WEBHOOK_SECRET", "s3cret-0123456789", "has 17 characters, at least 32"),
    (PaymentSettings, "SAGA_WEBHOOK_SECRET_PREVIOUS", "s3cret" * 6, "repeats 6 characters; make"),
    (PaymentSettings, "SAGA_WEBHOOK_SECRET", "s3cret0123456789" * 2 + "\n", "white space"),
]


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that every process can start with."""
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("settings", "name", "value", "reason"), WRONG)
def test_a_wrong_value_is_named_with_its_remedy_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
    name: str,
    value: str,
    reason: str,
) -> None:
    # Given a variable with a wrong value
    monkeypatch.setenv(name, value)
    # When the process loads its settings
    with pytest.raises(SystemExit) as ended:
        load(settings)
    # Then it ends with status 2 and one line that says what to correct
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(name)
    assert reason in line
    assert line.endswith("; set it in the environment")
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (ServiceSettings, "SAGA_BOOTSTRAP_SERVERS", "10.0.0.1:9092,[::1]:9092"),
        (ServiceSettings, "SAGA_DATABASE_URL", f"{DATABASE}:5432/shop?sslmode=verify-full"),
        (ServiceSettings, "SAGA_DATABASE_URL", "postgresql://shop:p%40s3cret@one,two/shop"),
        (ServiceSettings, "SAGA_DATABASE_URL", "postgresql://shop@/shop?host=/run/postgresql"),
        (ServiceSettings, "SAGA_SCHEMA_REGISTRY_URL", "https://me:s3cret@registry:8081/api"),
        (ServiceSettings, "SAGA_HTTP_HOST", "::1"),
        (MonitorSettings, "SAGA_PARTICIPANTS", '{"payment": "http://payment:8080"}'),
    ],
)
def test_a_right_value_is_taken(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert load(settings)


@pytest.mark.parametrize("offset_s", [0, 3600, -3600])
def test_a_clock_is_off_by_as_much_as_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, offset_s: int
) -> None:
    monkeypatch.setenv("SAGA_CLOCK_OFFSET_S", str(offset_s))
    settings = ServiceSettings(
        bootstrap_servers="k:1", database_url="postgresql://h/d", contract="schemas"
    )
    off = settings.now() - datetime.now(UTC)
    assert abs(off - timedelta(seconds=offset_s)) < timedelta(seconds=30)
