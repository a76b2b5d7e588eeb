"""What `hushfleet agent config check` looks at beyond the lines of the file."""

from edge_agent.config import Config
from edge_agent.data import read_data, source
from models import catalogue


def check_config(config: Config, *, with_data: bool) -> dict[str, object]:
    """What was found, by name. Raises `LocalError(MODEL_NAME)`, `DataError`, or whatever a data plug-in raises."""
    told: dict[str, object] = {"configuration": "in order", "training": config.training.enabled}
    if config.training.models:
        told["models"] = [catalogue.trainer(name).architecture.name for name in config.training.models]
    if config.data is not None:
        source(config.data.source)
        told["source"] = config.data.source
        if with_data:
            data = read_data(config.data)
            told |= {"rows": len(data), "features": list(data.features.shape[1:]), "labels": list(data.targets.shape[1:])}
    return told
