"""Renders templates with sandboxed Jinja2, strict names and additional limits.

Rules:
1. A template can use `facts`, `vars`, `host`, `labels`, and Jinja's own filters and tests. Nothing is random,
   and other templates cannot be used.
2. An undefined name is an error that names it; `x is defined` and `x | default(...)` work.
3. Output, intermediate texts and numbers are bounded, so that a small template cannot eat the host.
4. A line with only a block tag leaves no empty line; the final newline is kept.
5. Equal input gives equal output: values that print differently on each run cannot be printed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from agent.render.problems import Wrong, did_you_mean

MAX_OUTPUT = 4 << 20  # characters
MAX_TEXT = 1 << 20  # characters of one value
MAX_COUNT = 10_000  # for a width, an indentation or a repetition
MAX_BITS = 4096  # of a number
ADDRESS = re.compile(r"<[^<>\n]* at 0x[0-9a-f]{6,}>")
WIDTH = re.compile(r"[0-9]{5,}")
FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class _Missing(UndefinedError):
    """A name that is not defined, with the names that are defined beside it."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name)
        self.name, self.known = name, known


class _Undefined(StrictUndefined):
    """Fails on every use except a test, and names the undefined name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return str(self._undefined_name)

    def __init__(
        self, hint: str | None = None, obj: Any = None, name: str | None = None, exc: Any = None
    ) -> None:
        known = [str(key) for key in obj] if isinstance(obj, Mapping) else []
        super().__init__(hint, obj, name, lambda message: _Missing(message, known))  # type: ignore[arg-type]


class _Generator(CodeGenerator):
    """Routes `~` through the environment, which limits its result."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.join_text((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Environment(SandboxedEnvironment):
    code_generator_class = _Generator
    intercepted_binops = frozenset(("+", "*", "%", "**"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if (
                    isinstance(text, str | list | tuple)
                    and isinstance(times, int)
                    and len(text) * times > MAX_TEXT
                ):
                    raise SecurityError(f"a repeated text of more than {MAX_TEXT} characters")
        integers = isinstance(left, int) and isinstance(right, int)
        if operator == "**" and integers and left.bit_length() * right > MAX_BITS:
            raise SecurityError(f"a number of more than {MAX_BITS} bits")
        if operator == "%" and isinstance(left, str):
            _format_bound(left)
        return _bound(super().call_binop(context, operator, left, right))

    def join_text(self, parts: tuple[Any, ...]) -> str:
        return str(_bound("".join(str(_printable(part)) for part in parts)))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(getattr(__obj, "__self__", None), str):
            _count_bound(*args, *kwargs.values())
        return _bound(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Any:
        if isinstance(text := getattr(value, "__self__", None), str):
            _format_bound(text)
        return super().wrap_str_format(value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a mapping takes precedence over its methods: `vars.items` is the variable."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _bound(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > MAX_TEXT:
        raise SecurityError(f"a value of more than {MAX_TEXT} characters")
    return value


def _format_bound(text: str) -> None:
    if WIDTH.search(text):
        raise SecurityError("a format of 10000 or more columns")


def _count_bound(*values: Any) -> None:
    if any(isinstance(value, int) and value > MAX_COUNT for value in values):
        raise SecurityError(f"a width or count of more than {MAX_COUNT}")


def _bounded_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose width, count or format is limited."""

    @functools.wraps(function)  # keeps Jinja's markers
    def filtered(*args: Any, **kwargs: Any) -> Any:
        _count_bound(*args[1:], *kwargs.values())
        if args and isinstance(args[0], str) and "%" in args[0]:
            _format_bound(args[0])
        return _bound(function(*args, **kwargs))

    return filtered


def _printable(value: Any) -> Any:
    if callable(value) and not isinstance(value, _Undefined):
        raise SecurityError("a function cannot be printed; call it with ()")
    if isinstance(value, Iterator):
        raise SecurityError("an iterator cannot be printed; add | list or | join")
    if not isinstance(value, int | float | bool | None) and ADDRESS.search(str(value)):
        raise SecurityError("the value prints differently each time")
    return value


def _environment() -> _Environment:
    made = _Environment(
        undefined=_Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
        cache_size=0,
    )
    made.globals.pop("lipsum")
    made.filters.pop("random")
    for name in ("center", "indent", "batch", "slice", "wordwrap", "format", "round"):
        made.filters[name] = _bounded_filter(made.filters[name])
    return made


ENVIRONMENT = _environment()


@functools.lru_cache(maxsize=4096)
def _compiled(file: str, data: bytes) -> tuple[nodes.Template, Template]:
    """A template's syntax tree and code, which many hosts of a fleet share. Raises Wrong."""
    try:
        source = data.decode()
    except UnicodeDecodeError as error:
        raise Wrong(
            file,
            data.count(b"\n", 0, error.start) + 1,
            "the template is not UTF-8 text",
            "save it as UTF-8, or remove the suffix .j2 if it is not a template",
        ) from None
    try:
        tree = ENVIRONMENT.parse(source, file, file)
        for node in tree.find_all(FORBIDDEN):
            raise Wrong(
                file,
                node.lineno,
                "include, import and extends are not available in templates",
                "write the text in this file, or keep it in vars",
            )
        code = ENVIRONMENT.compile(tree, file, file)
        return tree, Template.from_code(ENVIRONMENT, code, ENVIRONMENT.make_globals(None))
    except TemplateSyntaxError as error:
        raise Wrong(
            file,
            error.lineno,
            f"not a valid template: {error.message}",
            "correct the line; put text that is not a template between {% raw %} and {% endraw %}",
        ) from None


class Templates:
    """Renders templates with one set of names."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = dict(names)

    def render(self, file: str, data: bytes) -> bytes:
        """The rendered file. Raises Wrong with the line of the problem."""
        return self._run(file, *_compiled(file, data))

    def _run(self, file: str, tree: nodes.Template, template: Template) -> bytes:
        parts: list[str] = []
        size = 0
        try:
            for part in template.generate(self._names):
                size += len(part)
                if size > MAX_OUTPUT:
                    raise SecurityError(f"more than {MAX_OUTPUT} characters of output")
                parts.append(part)
            return "".join(parts).encode()
        except _Missing as error:
            line = _line(error.__traceback__, file)
            name, known = _spelled(tree, line, error.name), error.known or list(self._names)
            raise Wrong(file, line, f"{name} is not defined", _remedy(name, error.name, known)) from None
        except SecurityError as error:
            raise Wrong(
                file,
                _line(error.__traceback__, file),
                f"not allowed in a template: {error}",
                "templates are for configuration: make it smaller or simpler",
            ) from None
        except MemoryError as error:
            raise Wrong(
                file,
                _line(error.__traceback__, file),
                "the template needs more memory than rendering may use",
                "templates are for configuration: make it smaller or simpler",
            ) from None
        except (
            TemplateError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
        ) as error:
            raise Wrong(
                file,
                _line(error.__traceback__, file),
                f"the template fails: {type(error).__name__}: {error}",
                "check the types of the values that this line uses",
            ) from None


def _remedy(name: str, last: str, known: list[str]) -> str:
    near = did_you_mean(last, known)
    if name.startswith("vars."):
        remedy = (
            f"set it under vars: in fleet.yaml or a layer.yaml, or write {{{{ {name} | default('...') }}}}"
        )
    elif name.split(".")[0] == "secrets":
        remedy = (
            "SOPS secrets are not supported by this version of Limpet yet; keep the value in a file "
            "on the host"
        )
    elif name.startswith("labels."):
        remedy = (
            f"give the host this label in its settings (with --repo: --label {last}=...), or use "
            "default('...')"
        )
    else:
        remedy = "templates can use facts, vars, host and labels"
    return f"{near} Otherwise {remedy}" if near.startswith("did") else remedy


def _line(trace: TracebackType | None, file: str) -> int:
    """The innermost line of the template in a traceback."""
    line = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _spelled(tree: nodes.Template, line: int, name: str) -> str:
    """The whole expression that ends with the missing name, as it is written on that line."""
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if node.lineno == line and (text := _dotted(node)) and text.rpartition(".")[2] == name:
            return text
    return name


def _dotted(node: nodes.Node) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        below = _dotted(node.node)
        return f"{below}.{node.attr}" if below else ""
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        below = _dotted(node.node)
        return f"{below}.{node.arg.value}" if below else ""
    return ""
