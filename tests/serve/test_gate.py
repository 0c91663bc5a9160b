"""Who may ask, how much and how long."""

import asyncio
import time

import pytest

from tlkit.serve.gate import RequestLimits
from tlkit.serve.refusal import Refusal

TOKEN = "0123456789abcdef"


def test_names_of_this_machine_are_answered_and_others_refused(served):
    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:80", "LOCALHOST"):
        assert served.client.get("/healthz", headers={"host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "127.0.0.1@evil"):
        answer = served.client.get("/healthz", headers={"host": host})
        assert (answer.status_code, list(answer.json())) == (403, ["error"]), host


def test_pages_of_other_addresses_are_refused(served, photo):
    data = photo.read_bytes()
    own = served.post("/predict", content=data, headers={"origin": "http://localhost"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    for origin in ("http://evil.example", "null", "http://localhost:9999"):
        assert served.post("/predict", content=data, headers={"origin": origin}).status_code == 403, origin
    assert served.client.options("/predict", headers={"origin": "http://localhost"}).status_code == 405


def test_a_request_with_two_lengths_is_refused(served):
    answer = served.post("/predict", content=b"x", headers={"transfer-encoding": "chunked", "content-length": "1"})
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")


def test_a_token_is_needed_for_all_but_the_page_and_health(serving, finetuned_run, photo):
    found = serving(finetuned_run, token=TOKEN)
    for address in ("/", "/page.js", "/healthz", "/v2/health/ready"):
        assert found.client.get(address, headers={"host": "any.example"}).status_code == 200
    for header in (None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer", f"Bearer {TOKEN}x", "Bearer \xe9"):
        headers = {"authorization": header.encode("latin-1")} if header else {}
        for address in ("/models", "/metrics", "/openapi.json", "/nowhere"):
            answer = found.client.get(address, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (address, header)
    headers = {"authorization": f"bearer {TOKEN}"}
    assert found.post("/predict", content=photo.read_bytes(), headers=headers).status_code == 200


def test_a_large_body_is_refused_before_it_is_read_and_while_it_comes(serving, finetuned_run):
    found = serving(finetuned_run, limits=RequestLimits(max_bytes=1000))
    read = []

    def chunks():
        for _ in range(100):
            read.append(1)
            yield b"x" * 100

    answer = found.post("/predict", content=b"x" * 1001)
    assert (answer.status_code, answer.json()) == (413, {"error": "The request is larger than 0.001 MB."})
    assert found.post("/predict", content=chunks()).status_code == 413
    assert found.post("/predict", content=b"x" * 1000).status_code == 422


def test_more_images_than_allowed_are_refused(serving, finetuned_run, photo):
    found = serving(finetuned_run, limits=RequestLimits(max_images=2))
    files = [("file", ("a", photo.read_bytes()))]
    assert len(found.post("/predict", files=files * 2).json()) == 2
    for count in (3, 9):
        answer = found.post("/predict", files=files * count)
        assert answer.status_code in (400, 413), count


def test_a_request_that_takes_too_long_ends_and_the_next_is_answered(serving, finetuned_run, photo, monkeypatch):
    found = serving(finetuned_run, limits=RequestLimits(seconds=0.2), threads=1)
    predictor = found.runs[found.name].predictor
    answer_all, delay = predictor.predict_chunk, [0.5]

    def slowly(named, identify=False):
        time.sleep(delay.pop() if delay else 0)
        return answer_all(named, identify)

    monkeypatch.setattr(predictor, "predict_chunk", slowly)
    answer = found.post("/predict", content=photo.read_bytes())
    assert (answer.status_code, answer.json()) == (503, {"error": "The request took too long."})
    time.sleep(0.4)
    assert found.post("/predict", content=photo.read_bytes()).status_code == 200


def test_what_is_not_there_or_has_another_method_is_refused_as_json(served):
    for answer, status in ((served.client.get("/nowhere"), 404), (served.client.get("/predict"), 405)):
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert served.client.get("/predict").headers["allow"] == "POST"
    assert served.client.delete("/models").status_code == 405


def test_an_error_of_the_program_says_nothing_of_it(serving, finetuned_run, photo, monkeypatch):
    found = serving(finetuned_run)
    secret = "/home/me/secret"

    def fail(named, identify=False):
        raise RuntimeError(secret)

    monkeypatch.setattr(found.runs[found.name].predictor, "predict_chunk", fail)
    answer = found.post("/predict", content=photo.read_bytes())
    assert (answer.status_code, answer.json()) == (500, {"error": "The server could not answer; its log says more."})
    assert any("RuntimeError while answering /predict" in line for line in found.log)
    assert secret not in answer.text


def test_the_log_has_the_route_and_no_name_of_a_file(serving, finetuned_run, photo):
    found = serving(finetuned_run)
    found.post("/predict?model=" + found.name, files=[("file", ("private-name.png", photo.read_bytes()))])
    found.client.get("/secret-address%1b[31m")
    found.post("/predict", content=b"", headers={"host": "evil.example"})
    first, second, third = found.log
    assert " POST /predict 403, " in third
    assert 'tlkit_requests_total{route="other",status="404"} 1' in found.client.get("/metrics").text
    found.log.pop()
    assert " POST /predict 200, " in first
    assert " GET other 404, " in second
    assert not any(word in line for line in found.log for word in ("private", "secret", "\x1b", "model="))


def test_every_answer_has_the_headers_of_a_safe_one(served):
    for address in ("/", "/nowhere", "/models"):
        headers = served.client.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_large_headers_are_refused(served):
    assert served.client.get("/healthz", headers={"x": "y" * 20_000}).status_code == 431
    assert served.client.get("/healthz", headers={f"x{number}": "y" * 10 for number in range(2000)}).status_code == 431


def test_a_compressed_body_is_refused(served):
    assert served.post("/predict", content=b"x", headers={"content-encoding": "gzip"}).status_code == 415


@pytest.mark.parametrize("parts", [[], [b"--x\r\n"]])
def test_a_client_that_leaves_is_counted_and_no_error(served, parts):
    from tlkit.serve.gate import Gate

    log, sent = [], []
    gate = Gate(served.app.router, RequestLimits(), served.app.metrics, None, log.append)
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"})

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "root_path": ""}
    scope["headers"] = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    asyncio.run(gate(scope, receive, send))
    assert sent == []
    assert " POST /predict 499, " in log[0]
    assert not any(line.startswith("error") for line in log)


def test_a_refusal_has_a_status_a_sentence_and_headers():
    refusal = Refusal(429, "The server is busy.", {"Retry-After": "1"})
    assert (refusal.status, refusal.text, refusal.headers) == (429, "The server is busy.", {"Retry-After": "1"})
