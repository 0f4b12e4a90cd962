"""Bad contracts: what is wrong in the packages that SAGA_CONTRACT names."""

from collections.abc import Mapping
from typing import NamedTuple

from tests.bad_input.case import Case
from tests.contract_packages import TOUR, TRIP, Files, avsc, flow_file, text_field

CONTRACT = "contract"


class Packages(NamedTuple):
    """Packages with their files; `named`: the value of SAGA_CONTRACT."""

    files: Mapping[str, Files]
    named: str


def contract(name: str, files: Mapping[str, Files], named: str, *words: str) -> Case:
    return Case(name, CONTRACT, Packages(files, named), "exit 2", words)


def trip(**changes: tuple[str, str]) -> Mapping[str, Files]:
    """The trip's package with a file replaced or added."""
    return {"trips": {**TRIP, **dict(changes.values())}}


ASKED = "TripAsked", "trips"
SECOND = flow_file("visit", "TripAsked", "TripCalledOff", "hotel", "ticket")
SAME_NAME = flow_file("trip", "TripCalledOff", "TripAsked", "hotel", "ticket")
AMOUNT = {"name": "fee", "type": "long", "default": 0}
BOOKED = avsc("HotelBooked", "hotel", text_field("trip_id"), AMOUNT, saga_id="trip_id")


def balance(**keys: str) -> Mapping[str, Files]:
    """The trip's package with a balance of fees."""
    written = {"amount": '"fee"', "adds": '["HotelBooked"]', "completed": '"any"', **keys}
    lines = [f"{key} = {value}" for key, value in {**written, "cancelled": '"any"'}.items()]
    text = "\n".join(["", "[balances.fees]", *lines, ""])
    return trip(a=BOOKED, b=("flows/flow.toml", TRIP["flows/flow.toml"] + text))


FEES = "trips/flows/flow.toml: flow trip, balances.fees, HotelBooked: "
CONTRACTS = (
    contract(
        "balance over a field that is missing",
        balance(amount='"cents"'),
        "trips",
        FEES + "amount: HotelBooked has no field cents",
        "name one of trip_id, fee, or add it to the schema",
    ),
    contract(
        "balance over a text",
        balance(amount='"trip_id"'),
        "trips",
        FEES + "amount: field trip_id of HotelBooked is 'string'",
        "name a field of type int or long",
    ),
    contract(
        "balance whose kind is a number",
        balance(kind='"fee"'),
        "trips",
        FEES + "kind: field fee of HotelBooked is 'long'",
        "name a field of type string",
    ),
    contract(
        "balance whose id is the saga's",
        balance(id='"trip_id"'),
        "trips",
        FEES + "id: trip_id is the saga's id, the same for all its movements",
        "or remove id: then each event counts once",
    ),
    contract(
        "balance over a list that is none",
        balance(adds='{ HotelBooked = "fee" }'),
        "trips",
        FEES + "fee: fee is 'long' in HotelBooked, which leads to no list of records",
        "write the path of a list of records",
    ),
    contract(
        "pivot whose done event may be void",
        trip(
            a=avsc(
                "HotelBooked",
                "hotel",
                text_field("trip_id"),
                {"name": "late", "type": "boolean", "default": False},
                saga_id="trip_id",
                void_when="late",
            ),
            b=(
                "flows/flow.toml",
                TRIP["flows/flow.toml"].replace('"compensatable"', '"pivot"', 1),
            ),
        ),
        "trips",
        "trips/flows/flow.toml: flow trip, steps.hotel.done: HotelBooked has the mark void_when",
        "give what came too late an event of its own",
    ),
    contract(
        "event without a saga id",
        trip(a=avsc(*ASKED, text_field("trip_id"))),
        "trips",
        "trips/TripAsked.avsc, saga_id: it is missing",
        'add "saga_id": "<field>", or null',
    ),
    contract(
        "two fields are the saga id",
        trip(a=avsc(*ASKED, text_field("a"), text_field("b"), saga_id=["a", "b"])),
        "trips",
        "trips/TripAsked.avsc, saga_id: it is ['a', 'b']",
        "name one field",
    ),
    contract(
        "saga id marked twice",
        trip(
            a=(
                "TripAsked.avsc",
                TRIP["TripAsked.avsc"].replace('"saga_id":', '"saga_id": "traveller", "saga_id":'),
            )
        ),
        "trips",
        "trips/TripAsked.avsc, saga_id: it is written twice",
        "write it once",
    ),
    contract(
        "saga id that is no field",
        trip(a=avsc(*ASKED, text_field("trip_id"), saga_id="order_id")),
        "trips",
        "trips/TripAsked.avsc, saga_id: there is no field 'order_id'",
        "name one of trip_id",
    ),
    contract(
        "flow with an event of another contract",
        {
            "trips": TRIP,
            "tours": {
                **TOUR,
                "flows/flow.toml": flow_file(
                    "tour", "TripAsked", "TourCalledOff", "guide", "voucher"
                ),
            },
        },
        "trips,tours",
        "tours/flows/flow.toml: flow tour, start: TripAsked is an event of another contract, trips",
        "name an event of this flow's own contract",
    ),
    contract(
        "start event of two flows",
        trip(a=("flows/visit.toml", SECOND)),
        "trips",
        "trips/flows/visit.toml: flow visit, start: TripAsked starts the flow trip of "
        "trips/flows/flow.toml too",
        "give each flow a start event of its own",
    ),
    contract(
        "two flows of one name",
        trip(a=("flows/visit.toml", SAME_NAME)),
        "trips",
        "trips/flows/visit.toml: flow trip, name: trips/flows/flow.toml declares a flow of this "
        "name too",
        "rename one of them",
    ),
    contract(
        "flow file that is no text",
        trip(a=("flows/flow.toml", "name = '\udcff'")),
        "trips",
        "trips/flows/flow.toml: the flow file cannot be read",
        "make it a text file in UTF-8",
    ),
    contract(
        "event type of two contracts",
        {"trips": TRIP, "tours": {**TOUR, "TripAsked.avsc": TRIP["TripAsked.avsc"]}},
        "trips,tours",
        "tours/TripAsked.avsc, name: trips defines TripAsked too",
        "rename it in one of them",
    ),
    contract(
        "owner of two contracts",
        {
            "trips": TRIP,
            "tours": {**TOUR, **dict([avsc("Paid", "hotel", text_field("id"), saga_id="id")])},
        },
        "trips,tours",
        "tours/Paid.avsc, owner: trips has events of an owner hotel too",
        "rename the owner in one of them",
    ),
    contract(
        "flow name of two contracts",
        {
            "trips": TRIP,
            "tours": {
                **TOUR,
                "flows/flow.toml": flow_file(
                    "trip", "TourAsked", "TourCalledOff", "guide", "voucher"
                ),
            },
        },
        "trips,tours",
        "tours/flows/flow.toml: flow trip, name: trips/flows/flow.toml declares a flow of this "
        "name too",
        "rename one of them",
    ),
    contract(
        "name of an event of the platform",
        trip(a=avsc("SagaPaused", "trips", text_field("id"), saga_id="id")),
        "trips",
        "trips/SagaPaused.avsc, name: sagakit.contract defines SagaPaused too",
        "rename it in one of them",
    ),
    contract(
        "package that is not there",
        {},
        "trips",
        "contract 'trips': there is no such package",
        "run from the folder that holds it or set PYTHONPATH",
    ),
    contract(
        "package that cannot be imported",
        {"trips": {**TRIP, "__init__.py": "import nowhere_at_all"}},
        "trips",
        "events.py of trips: it cannot be imported: ModuleNotFoundError: No module named "
        "'nowhere_at_all'",
        "correct the package's own code",
    ),
    contract(
        "package within one that cannot be imported",
        {"trips": {"__init__.py": "def"}, "trips.contract": TRIP},
        "trips.contract",
        "contract 'trips.contract': it cannot be imported: SyntaxError: invalid syntax",
        "correct the packages that hold it",
    ),
    contract(
        "package without events",
        {"trips": {"__init__.py": ""}},
        "trips",
        "trips holds no *.avsc file",
        "add the schema of each event",
    ),
    contract(
        "no flow",
        {"trips": {path: text for path, text in TRIP.items() if "/" not in path}},
        "trips",
        "no flow is declared",
        "add a file flows/<name>.toml",
    ),
)
