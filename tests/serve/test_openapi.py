"""The description has every address, and nothing that is not there."""

import re


def test_every_address_is_described_with_its_method(served):
    paths = served.client.get("/openapi.json").json()["paths"]
    routes = {route.path: set(route.methods) - {"HEAD"} for route in served.app.router.routes}
    hidden = {path for path in routes if "{version}" in path or path in ("/page.css", "/page.js")}
    assert set(paths) == set(routes) - hidden
    assert {path: {method.upper() for method in methods} for path, methods in paths.items()} == {
        path: routes[path] for path in paths
    }


def test_references_and_parameters_of_addresses_are_there(served):
    content = served.client.get("/openapi.json").json()
    text = served.client.get("/openapi.json").text
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in content["components"]["schemas"]
    for path, methods in content["paths"].items():
        for operation in methods.values():
            named = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path


def test_a_row_has_the_fields_that_are_described(served, photo):
    schemas = served.client.get("/openapi.json").json()["components"]["schemas"]
    (row,) = served.post("/predict?probs=1&scores=1", content=photo.read_bytes()).json()
    assert set(row) == set(schemas["Prediction"]["properties"])
    assert set(served.post("/explain", content=photo.read_bytes()).json()) == set(schemas["Explanation"]["properties"])
