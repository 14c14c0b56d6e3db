"""The places where the package gives the loop a callback."""

import ast
from pathlib import Path

import socketio_server

PACKAGE = Path(socketio_server.__file__).parent


class Callbacks(ast.NodeVisitor):
    """The functions of one module that are given to a loop, a queue of deadlines or the turns."""

    def __init__(self, path: Path) -> None:
        self.found: set[str] = set()
        self._class: ast.ClassDef | None = None
        self._function: ast.AST = ast.Module(body=[], type_ignores=[])
        self._module = ast.parse(path.read_text())
        if "testing" not in path.parts and path.name != "loop.py":
            self.visit(self._module)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self._class = self._class, node
        self.generic_visit(node)
        self._class = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self._function = self._function, node
        self.generic_visit(node)
        self._function = before

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        called = ast.unparse(node.func)
        receiver, _, method = called.rpartition(".")
        if receiver.endswith("loop") and method in ("run_callback", "call"):
            self._note(node.args[0])
        elif receiver.endswith("loop") and method == "start":
            self._note(node.args[1])
        elif receiver.endswith("turns") and method == "add":
            self._note(node.args[0])
        elif called == "Deadlines":
            self._note(node.args[2])
        elif called == "Heartbeat":
            self._note(next(each.value for each in node.keywords if each.arg == "expire"))

    def _note(self, callback: ast.expr) -> None:
        """Note a function by its name; a parameter or an attribute is noted where it comes from."""
        if isinstance(callback, ast.Call):  # a partial
            self._note(callback.args[0])
        elif isinstance(callback, ast.Name):
            for each in ast.walk(self._function):
                if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == callback.id:
                    self._note(each.value)
            if callback.id in functions_of(self._module):
                self.found.add(callback.id)
        elif ast.unparse(callback).startswith("self."):
            name = ast.unparse(callback).removeprefix("self.")
            if self._class is not None and name in functions_of(self._class):
                self.found.add(f"{self._class.name}.{name}")
        else:
            self.found.add(ast.unparse(callback))


def functions_of(node: ast.ClassDef | ast.Module) -> set[str]:
    """Return the names of a class's or module's functions."""
    return {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
