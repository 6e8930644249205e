"""What a line of plain arithmetic comes to, without evaluating text as code."""

import ast
import operator
from collections.abc import Callable
from fractions import Fraction

SIGNS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def value_of(expression: str) -> Fraction:
    """Of numbers, brackets and + - * /, exactly. Raises KeyError or AssertionError at anything else."""
    return _value(ast.parse(expression, mode="eval").body)


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    assert isinstance(node, ast.BinOp)
    return SIGNS[type(node.op)](_value(node.left), _value(node.right))
