"""How likely each kind of small edit is the fix, before any evidence.

The order follows the shares of fix patterns in TSSB-3M (Richter and Wehrheim, MSR 2022: single
statement bug fixes of Python projects: identifiers, operands, arguments, function names and
literals lead) divided by how many alternatives a kind offers at one place, because a kind with
fifty alternatives is wrong forty-nine times.
"""

from __future__ import annotations

WEIGHTS: dict[str, float] = {
    "boundary": 1.0,  # < and <=, > and >=
    "comparison": 0.7,  # other comparison operators
    "negation": 0.45,
    "boolean": 0.6,  # and, or
    "drop_term": 0.55,  # one term of a condition goes
    "add_term": 0.42,  # one term more in a condition
    "operator": 0.75,
    "swap_operands": 0.75,
    "swap_arguments": 0.95,
    "identifier": 0.6,
    "literal": 0.6,
    "off_by_one": 0.8,
    "rounding": 0.6,  # up instead of down
    "drop_operand": 0.75,
    "add_operand": 0.36,
    "function": 0.75,
    "method": 0.75,
    "attribute": 0.6,
    "add_attribute": 0.35,
    "drop_attribute": 0.35,
    "ingredient": 0.32,  # another expression that the function already has
    "wrap_call": 0.5,
    "unwrap_call": 0.6,
    "drop_argument": 0.35,
    "slice": 0.5,
    "drop_subscript": 0.3,
    "swap_index": 0.85,
    "collection": 0.55,  # [] becomes [x] or [[]]
    "condition": 0.5,  # the whole condition is another
    "add_call": 0.5,  # a call of a mutating method is added
    "repeat_call": 0.42,  # a bare call of the function is made once more
    "add_assignment": 0.45,
    "add_guard": 0.34,
    "delete": 0.25,
    "swap_statements": 0.4,
    "move_out": 0.45,
    "return_value": 0.4,
    "pattern": 0.4,  # of a regular expression
    "fresh_elements": 0.8,  # `[[]] * n` holds one list n times
    "skip_unless": 0.36,
    "tolerate": 0.3,  # what raised is left out
    "call_it": 0.5,  # a function used as a value
    "hand_on": 0.5,  # a local handed on to the parameter of its name
    "or_default": 0.34,
    "none_default": 0.36,
    "type_guard": 0.34,
    "unwrap_block": 0.4,  # the condition goes, what it guards stays
    "last_round": 0.7,
    "bind_now": 0.8,  # a closure keeps its own round's value
    "fresh_default": 0.85,
    "call_base": 0.6,
    "self": 0.8,
    "await": 0.8,
}


def weight_of(kind: str) -> float:
    return WEIGHTS.get(kind, 0.3)
