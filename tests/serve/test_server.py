"""The server as a process: its socket, its signals, and clients that mean no good."""

import os
import signal
import socket
import stat
import time
from contextlib import suppress

import httpx2 as httpx
import pytest

from tests.cli.commands import posix
from tests.serve.conftest import started
from tlkit.errors import OptionError
from tlkit.serve.server import bind_socket, is_readable_by_others, read_token

pytestmark = posix


def send(port, data):
    connected = socket.create_connection(("127.0.0.1", port), timeout=20)
    connected.sendall(data)
    return connected


CHUNKED = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"


def received(connected):
    parts = []
    while part := connected.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_the_server_answers_outlasts_bad_clients_and_ends_gracefully(finetuned_run, photo):
    with started(finetuned_run.path, "--timeout", "1") as server:
        client, data = httpx.Client(base_url=server.address), photo.read_bytes()
        assert client.post("/predict", content=data).json()[0]["label"] == "red"
        slow = send(server.port, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        assert b" 408 " in received(slow).splitlines()[0]
        for garbage, status in (
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b" 400 "),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000 + b"\r\n\r\n", b" 431 "),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000, b" 400 "),
            (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9_000, b" 400 "),
            (b"GET / HTTP/1.1\r\n\r\n", b" 403 "),
            (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", b" 404 "),
            (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", b" 400 "),
            (CHUNKED + b"Content-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n", b" 400 "),
            (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b" 400 "),
            (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b" 413 "),
        ):
            assert status in received(send(server.port, garbage)).splitlines()[0], garbage[:40]
        for endless in (b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 90_000, b"1;" + b"x" * 500_000):
            with suppress(ConnectionError):  # closed with bytes that were not read
                assert b" 400 " in received(send(server.port, CHUNKED + b"\r\n" + endless)).splitlines()[0]
        half = send(server.port, b"GET /healthz HTTP/1.1\r\nHo")
        assert client.get("/healthz").json() == {"status": "ok"}
        client.close()
        waiting = send(
            server.port, b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(data)
        )
        time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        waiting.sendall(data)  # a request that had started is answered
        assert b'"label": "red"' in received(waiting)
        half.close()
        assert server.wait(timeout=20) == 0
        assert not any("Traceback" in line for line in server.lines)


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_sentence(finetuned_run):
    with started(finetuned_run.path, "--no-access-log") as server:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 130
        time.sleep(0.1)
        assert server.lines[1:] == ["Stopped. Nothing was lost.\n"]


@pytest.mark.slow
def test_a_client_that_sends_no_request_is_cut_off(finetuned_run):
    with started(finetuned_run.path, "--timeout", "0.5") as server:
        begun = time.monotonic()
        assert received(send(server.port, b"GET / HT")) == b""
        assert 10 < time.monotonic() - begun < 20


def test_only_this_machine_may_ask_without_a_token():
    for host in ("0.0.0.0", "::"):
        with pytest.raises(OptionError, match="token-file"):
            bind_socket(host, 0, has_token=False)
    for host in ("127.0.0.1", "localhost", "127.1.2.3"):
        bind_socket(host, 0, has_token=False).close()
    bind_socket("0.0.0.0", 0, has_token=True).close()


def test_answers_do_not_wait_for_the_clients_acknowledgment():
    bound = bind_socket("127.0.0.1", 0, has_token=False)
    bound.close()
    assert bound.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY


def test_a_port_that_is_taken_and_a_host_of_another_machine_are_refused():
    bound = bind_socket("127.0.0.1", 0, has_token=False)
    port = bound.getsockname()[1]
    with pytest.raises(OptionError, match=f"port {port} of 127.0.0.1 cannot be used .*choose another with --port"):
        bind_socket("127.0.0.1", port, has_token=False)
    bound.close()
    for host in ("no.such.host.invalid", "x" * 300, "a b", "", "\u202e"):
        with pytest.raises(OptionError, match="not an address of this machine"):
            bind_socket(host, 0, has_token=True)
    with pytest.raises(OptionError, match="cannot be used"):
        bind_socket("192.0.2.1", 0, has_token=True)


def test_a_token_is_read_or_refused(tmp_path):
    file = tmp_path / "token"
    file.write_text("  0123456789abcdef\n")
    assert read_token(file) == "0123456789abcdef"
    for wrong in ("", "short", "0123456789 abcdef", "0123456789abcde\x00f", "x" * 5000):
        file.write_text(wrong)
        with pytest.raises(OptionError, match="has no token of at least 16 characters"):
            read_token(file)
    file.write_bytes(b"\xff" * 20)
    os.mkfifo(tmp_path / "pipe")
    for unreadable in (file, tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        with pytest.raises(OptionError, match="cannot be read"):
            read_token(unreadable)
    (tmp_path / "link").symlink_to(tmp_path / "real")  # as Kubernetes has secrets
    (tmp_path / "real").write_text("0123456789abcdef")
    assert read_token(tmp_path / "link") == "0123456789abcdef"
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert not is_readable_by_others(file)
    file.chmod(0o640)
    assert is_readable_by_others(file) == (os.name == "posix")
