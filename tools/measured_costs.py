"""What `make test-gpu` measured on a GPU: `make plan` prefers it to the guesses of fsdp_vllm.costs."""

from pathlib import Path

from pydantic import Field, ValidationError

from paper.configuration.reading import ConfigurationError
from paper.configuration.schema import Costs, Positive, Section

FILE = Path("results/measured.json")


class Measured(Section):
    """Measurements of one GPU with one model; units as in `paper.configuration.schema.Costs`."""

    gpu: str = Field(min_length=1, description="name of the GPU")
    parameters: Positive = Field(description="of the model that was sampled and trained")
    gpu_memory_gb: Positive
    generation_speed: Positive
    training_tflops: Positive
    start_minutes: Positive

    def costs(self) -> dict[str, float]:
        """Return the values that replace those of fsdp_vllm.costs."""
        return {name: value for name, value in self if name in Costs.model_fields}

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:.3g}" for name, value in self.costs().items())
        return (
            f"measured on {self.gpu} with {self.parameters / 1e9:.3g}e9 parameters ({FILE}), instead of "
            f"fsdp_vllm.costs: {values}; models of other sizes reach other speeds"
        )


def read(path: Path = FILE) -> Measured | None:
    """Return the measurements, None if there are none. Raises ConfigurationError."""
    try:
        return Measured.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'content'}: {e['msg']}" for e in error.errors())
    except (OSError, UnicodeDecodeError) as error:
        wrong = str(error)
    raise ConfigurationError(f"{path}: {wrong}; run make test-gpu again, or delete the file")


def write(measured: Measured, path: Path = FILE) -> None:
    """Write the measurements for `read`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(measured.model_dump_json(indent=1) + "\n", encoding="utf-8")
