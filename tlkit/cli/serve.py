"""`tlkit serve RUN...`."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from
from tlkit.settings.serve import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = ("Starlette", "uvicorn", "httptools", "python-multipart")


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit serve runs/finetune-001",
        "tlkit serve ants bees --port 9000 --watch",
        "tlkit serve latest --host 0.0.0.0 --token-file token.txt",
    ),
    common=("host", "port", "token_file", "watch", "processes"),
)
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN...")
@options_from(ServeSettings)
def serve(runs: tuple[Path, ...], settings: ServeSettings) -> None:
    """Serve each RUN over HTTP, with a page to try it.
    The page is at http://127.0.0.1:8000 by default.

    POST /predict takes photos and answers with the rows of `predict --format json`. Clients of the Open Inference
    Protocol (KServe, Triton) and of TensorFlow Serving work too; a run has the name of its folder. /metrics is for
    Prometheus, /openapi.json describes every address.

    SIGTERM ends the server with exit code 0, Ctrl-C with 130; both let it answer the requests that it has.
    """
    from tlkit.errors import require

    for package in PACKAGES:
        require(package, "serve", "`tlkit serve`")
    from tlkit.serve.processes import serve as serve_runs
    from tlkit.serve.server import ServerPlan, bind_socket, is_readable_by_others, log_line, read_token

    token_file = Path(settings.token_file) if settings.token_file else None
    token = read_token(token_file) if token_file else None
    bound = bind_socket(settings.host, settings.port, token is not None)
    if token_file and is_readable_by_others(token_file):
        log_line(f"Note: other users of this machine can read the token; `chmod 600 {token_file}` prevents it.")
    plan = ServerPlan(runs, settings, token)
    number = serve_runs(plan, bound, _announce(*bound.getsockname()[:2]))
    if number == signal.SIGINT:
        raise KeyboardInterrupt


def _announce(host: str, port: int) -> "Callable[[list[str]], None]":
    """Give what says that the server is ready, and where."""
    from tlkit.serve.server import log_line

    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def announce(names: list[str]) -> None:
        """Print the address."""
        log_line(f"Serving {', '.join(names)} at {address}. Ctrl-C ends it.")

    return announce
