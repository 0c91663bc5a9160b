"""The refusal of a request: an HTTP status and one sentence for the client."""

from collections.abc import Mapping


class Refusal(Exception):  # noqa: N818  no error of the program
    """A request that is not answered.

    Attributes:
        status: of HTTP, 400 to 599
        text: a sentence that holds nothing of the request and no path of this machine
        headers: of the answer
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, dict(headers or {})
