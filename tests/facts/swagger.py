"""What the published OpenAPI file of api-version 2018-05-01 says, without its prose: `swagger.json`.

`operations`: request, body and the schema of each answer; SUB and RG as in docs/operations.md. `parameters`: those of
paths and queries. `types`: the properties of each definition, in words of their own:

    int32!             a required 32-bit integer
    string ro          read only: only ever in answers
    none|readonly      one of these words
    [Usage]            a list of Usage; {string} is an object with strings under any name
    int32 = 60         with this default;  int32 1..1000 within these limits, ends included
    string /^\\w+$/ 1..64   matches the pattern and has 1 to 64 characters

`<` names the definition whose properties a definition has besides its own. An object without a name of its own stands
where it is used.
"""

import re
from typing import Any

from facts import tables

SCOPES = {
    "RG": "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.BatchAI",
    "SUB": "/subscriptions/{subscriptionId}/providers/Microsoft.BatchAI",
    "ALL": "/providers/Microsoft.BatchAI",
}
METHODS = ("get", "put", "post", "patch", "delete")
SIMPLE = {
    "string": {"type": "string"},
    "date-time": {"type": "string", "format": "date-time"},
    "duration": {"type": "string", "format": "duration"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number/int32": {"type": "number", "format": "int32"},
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
}
_DEFINITION = "#/definitions/"
_WORDS = re.compile(
    r"(?P<type>\S+?)(?P<required>!)?(?P<ro> ro)?( /(?P<pattern>.+)/)?"
    r"( (?P<low>\d+)\.\.(?P<high>\d+))?( = (?P<default>.+))?"
)


def load() -> dict[str, Any]:
    """An OpenAPI 2.0 document made of the table."""
    return document(tables.read("swagger"))


# From the file to the table.


def derive(source: dict[str, Any]) -> dict[str, Any]:
    source = reduced(source)
    described = {}
    for path, item in source["paths"].items():
        for method, operation in item.items():
            described[operation["operationId"]] = _operation(method, path, operation)
    return {
        "operations": described,
        "parameters": {
            parameter["name"]: f"{parameter['in']} {_words(parameter, parameter.get('required', False))}"
            for parameter in sorted(_parameters(source), key=lambda item: (item["in"], item["name"]))
        },
        "types": {name: _type(schema) for name, schema in source["definitions"].items()},
    }


def reduced(source: Any) -> Any:
    """The file without prose and without what only generators of clients read; parameters and errors spelled out."""
    document = _without_prose(source)
    shared = document.pop("parameters")
    paths = {}
    for path, item in document["paths"].items():
        paths[path] = {}
        for method in METHODS:
            if method in item:
                operation = item[method]
                given = [shared[_name(entry)] if "$ref" in entry else entry for entry in operation["parameters"]]
                operation["parameters"] = sorted(given, key=lambda entry: (entry["in"], entry["name"]))
                operation["responses"].setdefault("default", {"schema": {"$ref": f"{_DEFINITION}CloudError"}})
                paths[path][method] = operation
    return {"swagger": "2.0", "paths": paths, "definitions": document["definitions"]}


_PROSE = {"description", "title", "tags", "security", "modelAsString", "x-nullable"}
_OF_GENERATORS = re.compile("x-ms-(?!pageable|long-running-operation$)")


def _without_prose(value: Any, names: bool = False) -> Any:
    """`names`: the keys are names of properties and definitions, whatever they are."""
    if isinstance(value, list):
        return [_without_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        name: _without_prose(item, names=not names and name in ("properties", "definitions", "parameters", "paths"))
        for name, item in value.items()
        if names or not (name in _PROSE or _OF_GENERATORS.match(name) or (name, item) == ("readOnly", False))
    }
    if not names and "properties" in kept and kept.get("type") == "object":
        del kept["type"]  # some say so, most do not
    return kept


def _parameters(source: dict[str, Any]) -> list[dict[str, Any]]:
    found = {
        entry["name"]: entry
        for item in source["paths"].values()
        for operation in item.values()
        for entry in operation["parameters"]
        if entry["in"] != "body"
    }
    return list(found.values())


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    for scope, prefix in SCOPES.items():
        if path.startswith(prefix):
            path = scope + path.removeprefix(prefix)
            break
    query = [entry["name"] for entry in operation["parameters"] if entry["in"] == "query"]
    table = {"request": f"{method.upper()} {path}", "query": [name for name in query if name != "api-version"]}
    for body in [entry for entry in operation["parameters"] if entry["in"] == "body"]:
        table["body"] = _name(body["schema"])
    table["answers"] = {
        status: _name(answer["schema"]) if "schema" in answer else None
        for status, answer in operation["responses"].items()
        if status != "default"
    }
    if operation.get("x-ms-long-running-operation"):
        table["long"] = True
    if "x-ms-pageable" in operation:
        table["paged"] = True
    return {name: value for name, value in table.items() if value != []}


def _type(schema: dict[str, Any]) -> Any:
    if "properties" not in schema:
        return _words(schema)
    inherited = {"<": _name(schema["allOf"][0])} if "allOf" in schema else {}
    required = schema.get("required", ())
    own = {
        name: _type(entry) if "properties" in entry else _words(entry, name in required)
        for name, entry in schema["properties"].items()
    }
    return inherited | own


def _words(schema: dict[str, Any], required: bool = False) -> str:
    words = _kind(schema) + ("!" if required else "") + (" ro" if schema.get("readOnly") else "")
    if "pattern" in schema:
        words += f" /{schema['pattern']}/"
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength")):
        if low in schema:
            words += f" {schema[low]}..{schema[high]}"
    return words + (f" = {schema['default']}" if "default" in schema else "")


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "enum" in schema:
        return "|".join(schema["enum"]) + ("|" if len(schema["enum"]) == 1 else "")
    if "additionalProperties" in schema:
        return f"{{{_kind(schema['additionalProperties'])}}}"
    if schema["type"] == "array":
        return f"[{_kind(schema['items'])}]"
    plain = {name: schema[name] for name in ("type", "format") if name in schema}
    return next(word for word, simple in SIMPLE.items() if simple == plain)


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


# From the table to a document.


def document(table: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, operation in table["operations"].items():
        method, short = operation["request"].split()
        scope, slash, rest = short.partition("/")
        path = f"{SCOPES[scope]}{slash}{rest}"
        needed = [*re.findall(r"{(\w+)}", path), "api-version", *operation.get("query", ())]
        parameters = [_parameter(entry, table["parameters"][entry]) for entry in needed]
        if "body" in operation:
            schema = {"$ref": _DEFINITION + operation["body"]}
            parameters.append({"name": "parameters", "in": "body", "required": True, "schema": schema})
        answers = operation["answers"] | {"default": "CloudError"}
        made: dict[str, Any] = {
            "operationId": name,
            "parameters": sorted(parameters, key=lambda entry: (entry["in"], entry["name"])),
            "responses": {
                status: {"schema": {"$ref": _DEFINITION + answer}} if answer else {}
                for status, answer in answers.items()
            },
        }
        if operation.get("long"):
            made["x-ms-long-running-operation"] = True
        if operation.get("paged"):
            made["x-ms-pageable"] = {"nextLinkName": "nextLink"}
        paths.setdefault(path, {})[method.lower()] = made
    definitions = {name: _schema(entry) for name, entry in table["types"].items()}
    return {"swagger": "2.0", "paths": paths, "definitions": definitions}


def _parameter(name: str, words: str) -> dict[str, Any]:
    place, _, rest = words.partition(" ")
    schema, required = _property(rest)
    return {"name": name, "in": place, "required": required, **schema}


def _schema(entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        return _property(entry)[0]
    made: dict[str, Any] = {"allOf": [{"$ref": _DEFINITION + entry["<"]}]} if "<" in entry else {}
    properties, required = {}, []
    for name, words in entry.items():
        if name != "<":
            properties[name], needed = (_schema(words), False) if isinstance(words, dict) else _property(words)
            required += [name] if needed else []
    return made | ({"required": required} if required else {}) | {"properties": properties}


def _property(words: str) -> tuple[dict[str, Any], bool]:
    """The schema that the words stand for, and whether they say that it is required."""
    found = _WORDS.fullmatch(words)
    assert found, words
    schema = _schema_of_kind(found["type"])
    if found["ro"]:
        schema["readOnly"] = True
    if found["pattern"]:
        schema["pattern"] = found["pattern"]
    if found["low"]:
        low, high = ("minLength", "maxLength") if schema["type"] == "string" else ("minimum", "maximum")
        schema |= {low: int(found["low"]), high: int(found["high"])}
    if found["default"]:
        schema["default"] = int(found["default"]) if schema.get("type") == "integer" else found["default"]
    return schema, bool(found["required"])


def _schema_of_kind(kind: str) -> dict[str, Any]:
    if kind in SIMPLE:
        return dict(SIMPLE[kind])
    if kind.startswith("["):
        return {"type": "array", "items": _schema_of_kind(kind[1:-1])}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": _schema_of_kind(kind[1:-1])}
    if "|" in kind:
        return {"type": "string", "enum": [word for word in kind.split("|") if word]}
    return {"$ref": _DEFINITION + kind}
