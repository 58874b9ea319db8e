"""The client of openapi-python-client, over responses with values that are not known yet."""

import importlib
import inspect
import json
import pathlib
import re
import unittest

import attrs
import httpx
from scrm_gateway_client import AuthenticatedClient, models

BUILD = pathlib.Path(__file__).parent / "build"
ANSWERS = json.loads((BUILD / "answers.json").read_text())
NEW_VALUE = ANSWERS["newValue"]


def call(answer):
    """Calls an operation of the generated client, whose every response is `answer`; returns what the client parsed."""

    def respond(_request):
        return httpx.Response(answer["status"], json=answer["body"], headers={"content-type": answer["mediaType"]})

    client = AuthenticatedClient(
        base_url="http://gateway.test", token="token", httpx_args={"transport": httpx.MockTransport(respond)}
    )
    name = re.sub("([A-Z])", r"_\1", answer["operationId"]).lower()
    operation = importlib.import_module(f"scrm_gateway_client.api.{answer['tag']}.{name}")
    arguments = {"id": "wm_nobody"}
    for batch in ("RemarkBatch", "FollowUpBatch"):
        if hasattr(operation, batch):
            arguments["body"] = getattr(models, batch)(items=[])
    taken = inspect.signature(operation.sync_detailed).parameters
    arguments = {name: value for name, value in arguments.items() if name in taken}
    return operation.sync_detailed(client=client, **arguments).parsed


def new_values(parsed, place=""):
    """Yields the place of every new value; fails on JSON that the client did not parse."""
    if parsed == NEW_VALUE:
        yield place
    elif attrs.has(type(parsed)):
        for field in attrs.fields(type(parsed)):
            if field.name == "additional_properties":
                members = parsed.additional_properties.items()
            else:
                members = [(field.name, getattr(parsed, field.name))]
            for name, member in members:
                # The source's own JSON has no schema.
                if name != "raw":
                    yield from new_values(member, f"{place}/{name}")
    elif isinstance(parsed, list):
        for item in parsed:
            yield from new_values(item, f"{place}/-")
    elif isinstance(parsed, dict):
        raise AssertionError(f"{place} was not parsed: {parsed}")


class OpenEnumerations(unittest.TestCase):
    def test_responses_with_new_values_are_parsed(self):
        self.assertTrue(ANSWERS["answers"])
        for answer in ANSWERS["answers"]:
            with self.subTest(operation=answer["operationId"], status=answer["status"]):
                parsed = call(answer)
                expected = json.dumps(answer["body"]).count(f'"{NEW_VALUE}"')
                self.assertEqual(len(list(new_values(parsed))), expected)
                # What is parsed says the same as what was sent.
                self.assertEqual(normal(parsed.to_dict()), normal(answer["body"]))

    def test_known_values_are_of_the_enumeration(self):
        item = models.ItemResult.from_dict({"index": 0, "status": "not_sent", "problem": None})
        self.assertIs(item.status, models.KnownItemStatus.NOT_SENT)
        item = models.ItemResult.from_dict({"index": 0, "status": NEW_VALUE, "problem": None})
        self.assertEqual(item.status, NEW_VALUE)


def normal(value):
    """JSON with times in one spelling."""
    return json.loads(json.dumps(value).replace("+00:00", "Z"))


if __name__ == "__main__":
    unittest.main()
