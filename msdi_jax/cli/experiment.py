"""The configuration of `msdi train`, from its name or path and the fields changed on the way."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType

from ml_collections import ConfigDict

from msdi_jax import configs
from msdi_jax.cli.paths import path as expanded
from msdi_jax.runtime import config_fields


def load(name: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Return the locked configuration NAME[:VARIANT] or PATH[:VARIANT] with its overrides.

    Args:
        name: of a module of `msdi_jax.configs`, or the path of a file that has `get_config`.
        overrides: "--config.FIELD=VALUE", each.

    Raises:
        ValueError: when there is no such configuration, field or variant, it fails, or a value is
            of the wrong type.
    """
    path, *variant = name.split(":", maxsplit=1)
    config = _guarded(path, _bound(path, _get_config(path), variant))
    if not isinstance(config, ConfigDict):
        raise ValueError(f"get_config of {path} must return a ConfigDict")
    config.lock()
    for override in overrides:
        _set(config, override.removeprefix("--config."))
    _expand_paths(config)
    return config


def _expand_paths(config: ConfigDict) -> None:
    """Expand `~` in the fields that are paths."""
    for field in config_fields.PATHS:
        group, name = field.split(".")
        if value := config.get(group, {}).get(name):
            config[group][name] = str(expanded(value))


def _get_config(path: str) -> Callable:
    is_file = path.endswith(".py") or "/" in path
    module = _guarded(path, lambda: (_from_file if is_file else _shipped)(path))
    if not hasattr(module, "get_config"):
        raise ValueError(f"--config {path} has no function get_config: {_choices()}")
    return module.get_config


def _shipped(name: str) -> ModuleType:
    if name not in _names():
        raise ValueError(f"there is no configuration {name!r}: {_choices()}")
    return importlib.import_module(f"{configs.__name__}.{name}")


def _from_file(path: str) -> ModuleType:
    file = expanded(path)
    if not file.is_file():
        raise ValueError(f"--config {path} does not exist: {_choices()}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None:
        raise ValueError(f"--config {path} is not a Python file: {_choices()}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _names() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(configs.__path__)]
    modules = {name: importlib.import_module(f"{configs.__name__}.{name}") for name in names}
    return [name for name, module in modules.items() if hasattr(module, "get_config")]


def _choices() -> str:
    return f"give a .py file, or one of {', '.join(_names())}"


def _bound(path: str, get_config: Callable, variant: Sequence[str]) -> Callable[[], ConfigDict]:
    try:
        bound = inspect.signature(get_config).bind(*variant)
    except TypeError:
        hint = "leave out what follows the colon" if variant else f"give {path}:VARIANT"
        raise ValueError(f"--config {path}: {hint}") from None
    return lambda: get_config(*bound.args)


def _guarded(path: str, action: Callable):
    """`action()`, which runs code of a configuration: its exceptions become a ValueError."""
    try:
        return action()
    except ValueError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = error if isinstance(error, SyntaxError) else place
        raise ValueError(
            f"--config {path} fails: {type(error).__name__}: {error} "
            f"({where.filename}, line {where.lineno})"
        ) from error


def _set(config: ConfigDict, override: str) -> None:
    path, is_assigned, text = override.partition("=")
    *groups, field = path.split(".")
    parent = config
    for group in groups:
        parent = parent.get(group) if isinstance(parent, ConfigDict) else None
    if not isinstance(parent, ConfigDict) or field not in parent:
        known = config_fields.flattened(config.to_dict())
        raise ValueError(config_fields.unknown_field_message(path, known))
    if isinstance(parent[field], ConfigDict):
        inner = next(iter(parent[field]), "FIELD")
        raise ValueError(
            f"--config.{path} is a group of fields: set one, like --config.{path}.{inner}=VALUE"
        )
    if not is_assigned:
        raise ValueError(f"--config.{path} has no value: write --config.{path}=VALUE")
    parent[field] = _parse(path, text, parent.get_type(field))


def _parse(path: str, text: str, kind: type):
    parse, expected = PARSERS.get(kind, (ast.literal_eval, "a Python literal"))
    try:
        return parse(text)
    except (ValueError, KeyError, SyntaxError):
        raise ValueError(f"--config.{path}={text} must be {expected}") from None


def _tuple(text: str) -> tuple:
    if text.isidentifier():
        return (text,)
    value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, tuple | list) else (value,)


PARSERS: dict[type, tuple[Callable[[str], object], str]] = {
    bool: (lambda text: {"true": True, "false": False}[text.lower()], "true or false"),
    int: (int, "an integer"),
    float: (float, "a number"),
    str: (str, "text"),
    tuple: (_tuple, "a tuple, such as \"('reblur', 'deblur')\""),
}
