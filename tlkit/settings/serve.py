"""Settings of `tlkit serve`."""

from dataclasses import dataclass

from tlkit.settings.base import documented, setting, validate
from tlkit.settings.shared import EngineName


@documented
@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of `tlkit serve`."""

    host: str = setting(
        "127.0.0.1", "Main", "Address to listen on; any other than this machine's own needs --token-file."
    )
    port: int = setting(8000, "Main", "Port to listen on; 0 for a free one.", min=0, max=65_535)
    token_file: str = setting("", "Main", "File with the token that every request must have, as a bearer token.")
    watch: bool = setting(False, "Main", "Reload of a RUN when its folder is replaced; a bad one is not used.")
    unknown: bool | None = setting(
        None,
        "Main",
        "Answer unknown for images unlike the training images or not sure. Default: if RUN has a threshold.",
    )
    access_log: bool = setting(True, "Main", "One line per request on standard error, without file names.")
    processes: int = setting(1, "Speed", "Number of processes; each has the runs in memory.", min=1, max=64)
    engine: EngineName = setting("auto", "Speed", "Engine; auto is the one each run was trained with.")
    max_body: float = setting(10.0, "Limits", "Maximum size of a request in megabytes.", above=0, max=1000)
    max_images: int = setting(32, "Limits", "Maximum number of images in a request.", min=1, max=1000)
    max_requests: int = setting(
        64, "Limits", "Maximum number of requests at a time, in each process; others get status 429.", min=1, max=10_000
    )
    timeout: float = setting(
        30.0, "Limits", "Seconds after which a request that is not answered is ended.", min=0.1, max=3600
    )

    def __post_init__(self) -> None:
        validate(self)
