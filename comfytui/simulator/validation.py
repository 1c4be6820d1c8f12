"""The check of a workflow before it is queued, with the errors that POST /prompt answers (0.3.64 and 0.8.0)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfytui.simulator.nodes.schema import NodeClass, Spec

Json = dict[str, Any]
HasInput = Callable[[str], bool]
"""Tells whether the input folder has the file that a node wants to load."""

LONGEST_LISTED_CHOICE = 20


@dataclass(frozen=True)
class Verdict:
    """What the check found: `error` None means that the `outputs` may run, whatever `node_errors` holds."""

    error: Json | None
    outputs: list[str]
    node_errors: Json


def problem(kind: str, message: str, details: str, **extra: Any) -> Json:
    """Return an error in the server's shape."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


@dataclass
class _Node:
    """What is known of a node; `errors` empty and not valid: the fault lies further up."""

    valid: bool
    errors: list[Json] = field(default_factory=list)


class _Checker:
    """Checks the nodes behind an output, each once; converts plain values to the types of their inputs."""

    def __init__(self, graph: dict[str, Json], catalogue: Mapping[str, NodeClass], has_input: HasInput) -> None:
        self._graph = graph
        self._catalogue = catalogue
        self._has_input = has_input
        self._entered: set[str] = set()
        self.nodes: dict[str, _Node] = {}

    def check(self, node: str) -> _Node:
        """Return what is known of a node after checking it and all before it; raises LookupError or TypeError."""
        if node in self.nodes:
            return self.nodes[node]
        if node in self._entered:
            return _Node(valid=False)  # a cycle: the server blames nobody
        self._entered.add(node)
        kind = self._catalogue[self._graph[node]["class_type"]]
        inputs = self._graph[node]["inputs"]
        found = _Node(valid=True)
        for name, spec in {**kind.required, **kind.optional}.items():
            if name not in inputs:
                if name in kind.required:
                    message = "Required input is missing"
                    found.errors.append(problem("required_input_missing", message, name, input_name=name))
            elif isinstance(inputs[name], list):
                found.valid &= self._check_link(name, spec, inputs[name], found.errors)
            else:
                self._check_value(kind, name, spec, inputs, found.errors)
        found.valid = found.valid and not found.errors
        self.nodes[node] = found
        return found

    def _check_link(self, name: str, spec: Spec, value: list[Any], errors: list[Json]) -> bool:
        """Check where an input comes from; return whether the node there is valid."""
        config = _config(spec)
        if len(value) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(
                problem("bad_linked_input", message, name, input_name=name, input_config=config, received_value=value)
            )
            return True
        source, slot = value
        received = self._catalogue[self._graph[source]["class_type"]].returns[slot]
        wanted = spec[0]
        if received != wanted and "*" not in (received, wanted):
            details = f"{name}, received_type({received}) mismatch input_type({wanted})"
            extra = {"input_name": name, "input_config": config, "received_type": received, "linked_node": value}
            errors.append(
                problem("return_type_mismatch", "Return type mismatch between linked nodes", details, **extra)
            )
            return True
        try:
            return self.check(source).valid
        except (LookupError, TypeError) as error:
            extra = {
                "input_name": name,
                "input_config": config,
                "exception_message": str(error),
                "exception_type": type(error).__name__,
                "traceback": _traceback(error),
                "linked_node": value,
            }
            reason = problem(
                "exception_during_inner_validation", "Exception when validating inner node", str(error), **extra
            )
            self.nodes[source] = _Node(valid=False, errors=[reason])
            return False

    def _check_value(self, kind: NodeClass, name: str, spec: Spec, inputs: Json, errors: list[Json]) -> None:
        """Convert a plain value to its type, and check its bounds or choices."""
        value = inputs[name]
        if isinstance(value, dict) and "__value__" in value:
            value = value["__value__"]
        extra = {"input_name": name, "input_config": _config(spec), "received_value": value}
        try:
            value = inputs[name] = _converted(spec[0], value)
        except (TypeError, ValueError) as error:
            message = f"Failed to convert an input value to a {spec[0]} value"
            details = f"{name}, {value}, {error}"
            errors.append(problem("invalid_input_type", message, details, **extra, exception_message=str(error)))
            return
        extra["received_value"] = value
        if name == kind.loads_file:
            if not self._has_input(str(value)):
                details = f"{name} - Invalid image file: {value}"
                message = "Custom validation failed for node"
                errors.append(problem("custom_validation_failed", message, details, input_name=name))
            return
        limits = spec[1] if len(spec) > 1 else {}
        if "min" in limits and value < limits["min"]:
            message = f"Value {value} smaller than min of {limits['min']}"
            errors.append(problem("value_smaller_than_min", message, name, **extra))
        elif "max" in limits and value > limits["max"]:
            message = f"Value {value} bigger than max of {limits['max']}"
            errors.append(problem("value_bigger_than_max", message, name, **extra))
        elif isinstance(spec[0], list) and value not in spec[0]:
            listed = str(spec[0])
            if len(spec[0]) > LONGEST_LISTED_CHOICE:
                listed, extra["input_config"] = f"(list of length {len(spec[0])})", None
            errors.append(
                problem("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {listed}", **extra)
            )


def _converted(kind: object, value: Any) -> Any:
    """Return `value` as the type of its input; raises TypeError or ValueError."""
    converters = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
    return converters[kind](value) if isinstance(kind, str) and kind in converters else value


def _config(spec: Spec) -> list[Any]:
    return [spec[0], spec[1] if len(spec) > 1 else {}]


def _traceback(error: Exception) -> list[str]:
    """Return a traceback of the shape the server quotes; the lines are ours."""
    return [
        '  File "/opt/ComfyUI/execution.py", line 1043, in validate_prompt\n    (simulated)\n',
        f'  File "/opt/ComfyUI/execution.py", line 818, in validate_inputs\n    (simulated: {type(error).__name__})\n',
    ]


def validate(
    graph: dict[str, Json],
    catalogue: Mapping[str, NodeClass],
    has_input: HasInput,
    targets: Iterable[str] | None = None,
) -> Verdict:
    """Return whether a workflow may run, and which of its outputs; plain values in it are converted in place.

    `targets` limits the outputs (`partial_execution_targets`). Raises TypeError for what is no graph at all, which
    the server answers with 500.
    """
    for node, body in graph.items():
        if "class_type" not in body:
            message = "Cannot execute because a node is missing the class_type property."
            return Verdict(problem("invalid_prompt", message, f"Node ID '#{node}'"), [], {})
        if body["class_type"] not in catalogue:
            message = f"Cannot execute because node {body['class_type']} does not exist."
            return Verdict(problem("invalid_prompt", message, f"Node ID '#{node}'"), [], {})
    wanted = None if targets is None else set(targets)
    outputs = [
        node
        for node, body in graph.items()
        if catalogue[body["class_type"]].output_node and (wanted is None or node in wanted)
    ]
    if not outputs:
        return Verdict(problem("prompt_no_outputs", "Prompt has no outputs", ""), [], {})
    return _validate_outputs(graph, _Checker(graph, catalogue, has_input), outputs)


def _validate_outputs(graph: dict[str, Json], checker: _Checker, outputs: list[str]) -> Verdict:
    good: list[str] = []
    complaints: list[str] = []
    node_errors: Json = {}
    for output in outputs:
        try:
            found = checker.check(output)
        except (LookupError, TypeError) as error:
            extra = {"exception_type": type(error).__name__, "traceback": _traceback(error)}
            reason = problem("exception_during_validation", "Exception when validating node", str(error), **extra)
            found = checker.nodes[output] = _Node(valid=False, errors=[reason])
        if found.valid:
            good.append(output)
            continue
        complaints += [f"{error['message']}: {error['details']}" for error in found.errors]
        for node, known in checker.nodes.items():
            if not known.valid and known.errors:
                entry = {
                    "errors": known.errors,
                    "dependent_outputs": [],
                    "class_type": graph[node]["class_type"],
                }
                node_errors.setdefault(node, entry)["dependent_outputs"].append(output)
    if good:
        return Verdict(None, good, node_errors)
    message = "Prompt outputs failed validation"
    return Verdict(problem("prompt_outputs_failed_validation", message, "\n".join(complaints)), [], node_errors)
