"""A local object store: moto's server on 127.0.0.1, which knows one user and can be made to ask for the password."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

READ_AND_WRITE = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
VARIABLES = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION")


@dataclass(frozen=True)
class ObjectStore:
    """The server, and the user that it knows."""

    endpoint: str
    access_key: str
    secret: str

    def client(self, service: str = "s3"):
        """Open it with boto3, which no code of tlkit uses."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret,
        )

    def upload(self, folder: Path, uri: str) -> str:
        """Put the files below a folder into a bucket, which is made if it is not there; give the URI."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        client = self.client()
        client.create_bucket(Bucket=bucket)
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                key = "/".join(filter(None, (prefix, file.relative_to(folder).as_posix())))
                client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
        return uri

    def empty_bucket(self, bucket: str):
        """Make a bucket, or empty the one that is there; give the client."""
        client = self.client()
        client.create_bucket(Bucket=bucket)
        for key in self.keys(bucket):
            client.delete_object(Bucket=bucket, Key=key)
        return client

    def keys(self, bucket: str) -> list[str]:
        """List a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    @contextmanager
    def asking_for_credentials(self) -> Iterator[None]:
        """Refuse, in this block, who is not the user."""
        self._free_requests("0")
        try:
            yield
        finally:
            self._free_requests("inf")

    def _free_requests(self, count: str) -> None:
        headers = {"Content-Type": "text/plain"}  # else the server takes it for a form
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", count.encode(), headers)
        urllib.request.urlopen(request, timeout=10).close()

    def environment(self) -> dict[str, str]:
        """Give the variables by which the programs of Amazon find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def running_store() -> Iterator[ObjectStore]:
    """Start a server, and end it."""
    endpoint = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "inf"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=10).close()
                    break
                except OSError:
                    assert server.poll() is None, "the server has ended"
                    time.sleep(0.1)
            store = ObjectStore(endpoint, "anybody", "anything")
            users = store.client("iam")
            users.create_user(UserName="tester")
            users.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=READ_AND_WRITE)
            key = users.create_access_key(UserName="tester")["AccessKey"]
            yield ObjectStore(endpoint, key["AccessKeyId"], key["SecretAccessKey"])
        finally:
            server.kill()


@pytest.fixture(scope="session")
def object_store():
    """One server for the tests of this worker."""
    with running_store() as store:
        yield store


@pytest.fixture
def s3(object_store, monkeypatch):
    """The server, as this process and those it starts find it."""
    set_environment(monkeypatch, object_store.environment())
    yield object_store
    forget_stores()


def set_environment(monkeypatch, variables: dict[str, str]) -> None:
    """Set the variables of Amazon's programs, and forget what was opened with others."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget_stores()


def forget_stores() -> None:
    from tlkit.utils import object_stores

    object_stores._open_store.cache_clear()
