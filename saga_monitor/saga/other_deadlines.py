"""Give the flows other deadlines than their files do: SAGA_DEADLINES. Pure."""

from collections.abc import Mapping

from sagakit.errors import ConfigurationError, FlowError
from sagakit.flow.model import Flows, with_deadlines


def shortened(flows: Flows, deadlines: Mapping[str, str]) -> Flows:
    """Return the flows with other deadlines. Raises ConfigurationError for a step no flow has."""
    steps = {path.partition(".")[0] for path in deadlines}
    unknown = steps - {step for flow in flows for step in flow.steps}
    try:
        if unknown:
            raise FlowError(f"no flow has a step {', '.join(sorted(unknown))}")
        return Flows(
            *(
                with_deadlines(
                    flow,
                    {p: d for p, d in deadlines.items() if p.partition(".")[0] in flow.steps},
                )
                for flow in flows
            )
        )
    except FlowError as error:
        raise ConfigurationError(f"SAGA_DEADLINES: {error}") from error
