"""What the installed libraries can do with a model, read from their source without importing them:
`import transformers` alone takes half a second, and what it says of a model type one and a half.
Knows nothing of any model's files."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

# Kinds of layers that the builder's class of an architecture has no code for. Nothing in its source
# says so: this is what onnxruntime-genai 0.18.0 did with a tiny random model. `mamba` is written
# `linear_attention` by transformers 5.
FAILS_IN_EXPORT = {"GraniteMoeHybridForCausalLM": ("mamba", "linear_attention")}

# Kinds of rope scaling whose factors follow the length of the text at hand, which a graph with
# fixed tables cannot.
ROPE_BY_LENGTH = frozenset({"dynamic"})

# read whatever tokenizer.json says
_GENERAL_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizer", "PythonBackend")
_ROPE_COMPARED = re.compile(r"""rope_type["']?\]?\s*==\s*["'](\w+)["']""")


def package_folder(name: str) -> Path | None:
    """Return the folder of an installed package; None where it is not installed. Does not import
    it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def version_of(distribution: str) -> str:
    """Return the installed version, for messages."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


@functools.cache
def exportable_architectures() -> dict[str, str | None]:
    """Return the architectures that onnxruntime-genai's model builder dispatches on, each with the
    only execution provider that its branch allows (None: any). Empty where the builder is not
    installed or no longer has such a dispatch, so that a check says nothing rather than something
    wrong."""
    folder = package_folder("onnxruntime_genai")
    if folder is None:
        return {}
    architectures: dict[str, str | None] = {}
    for branch in ast.walk(_parsed(folder / "models" / "builder.py")):
        if not isinstance(branch, ast.If):
            continue
        # `execution_provider = "..."` at the top of a branch
        provider = next(
            (
                str(ast.literal_eval(statement.value))
                for statement in branch.body
                if isinstance(statement, ast.Assign)
                and ast.unparse(statement.targets[0]) == "execution_provider"
            ),
            None,
        )
        # the strings of `config.architectures[0] == "..."`
        for test in ast.walk(branch.test):
            if (
                isinstance(test, ast.Compare)
                and ast.unparse(test.left) == "config.architectures[0]"
            ):
                for side in test.comparators:
                    if isinstance(side, ast.Constant) and isinstance(side.value, str):
                        architectures[side.value] = provider
    return architectures


@functools.cache
def exportable_rope_types() -> frozenset[str]:
    """Return the strings that the builder compares a `rope_type` with: kinds of rope scaling that
    it has code for."""
    folder = package_folder("onnxruntime_genai")
    files = sorted((folder / "models" / "builders").glob("*.py")) if folder else []
    # Not parsed: base.py alone has five thousand lines, a tenth of a second.
    return frozenset(
        name for path in files for name in _ROPE_COMPARED.findall(path.read_text(encoding="utf-8"))
    )


@functools.cache
def native_configs() -> dict[str, str]:
    """Return model_type -> configuration class for every type that transformers has code of its own
    for."""
    return _pairs("configuration_auto.py", "CONFIG_MAPPING_NAMES") | _pairs(
        "auto_mappings.py", "CONFIG_MAPPING_NAMES"
    )


@functools.cache
def causal_classes() -> dict[str, str]:
    """Return model_type -> class for every type that AutoModelForCausalLM loads."""
    return _pairs("modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")


def has_tokenizer(model_type: str | None, class_name: str) -> bool:
    """Say whether transformers has a tokenizer of its own for a model type, or a tokenizer class of
    that name."""
    name = class_name.removesuffix("Fast")
    if (
        model_type in _pairs("tokenization_auto.py", "TOKENIZER_MAPPING_NAMES")
        or name in _GENERAL_TOKENIZERS
    ):
        return True
    folder = package_folder("transformers")
    files = folder.glob("models/*/tokenization_*.py") if folder else ()
    return any(
        re.search(rf"^class {re.escape(name)}\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in files
    )


def default_of(model_type: str, name: str) -> object:
    """Return the default of a configuration class's field, None where the class does not set it or
    its source is not where transformers keeps it. A config.json holds only what differs from these
    defaults."""
    folder, class_name = _model_folder(model_type), native_configs().get(model_type)
    if folder is None or class_name is None:
        return None
    classes: dict[str, ast.ClassDef] = {}
    for path in sorted(folder.glob("configuration_*.py")):
        classes |= {
            node.name: node for node in _parsed(path).body if isinstance(node, ast.ClassDef)
        }
    node = classes.get(class_name)
    while node is not None:
        for statement in node.body:
            if (
                isinstance(statement, ast.AnnAssign)
                and ast.unparse(statement.target) == name
                and statement.value
            ):
                try:
                    value: object = ast.literal_eval(statement.value)
                except ValueError:
                    return None
                return value
        node = next(
            (classes[ast.unparse(base)] for base in node.bases if ast.unparse(base) in classes),
            None,
        )
    return None


def has_conv1d_layers(model_type: str) -> bool:
    """Say whether transformers builds this type's layers from `Conv1D`, as GPT-2's are: no linear
    layer is in there for an adapter to change."""
    folder = _model_folder(model_type)
    files = folder.glob("modeling_*.py") if folder else ()
    return any("Conv1D(" in path.read_text(encoding="utf-8") for path in files)


@functools.cache
def gguf_settings() -> dict[str, dict[str, str | None]]:
    """Return GGUF architecture -> {GGUF key without the architecture: name in config.json}, for
    those that transformers reads."""
    folder = package_folder("transformers")
    if folder is None:
        return {}
    for node in _parsed(folder / "integrations" / "ggml.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GGUF_CONFIG_MAPPING":
            mapping: dict[str, dict[str, str | None]] = ast.literal_eval(node.value)
            return mapping
    return {}


def _model_folder(model_type: str) -> Path | None:
    """Return where transformers keeps a model type's source; None where that is not known."""
    folder = package_folder("transformers")
    if folder is None:
        return None
    special = _pairs("auto_mappings.py", "SPECIAL_MODEL_TYPE_TO_MODULE_NAME")
    source = folder / "models" / special.get(model_type, model_type.replace("-", "_"))
    return source if source.is_dir() else None


@functools.cache
def _pairs(file: str, name: str) -> dict[str, str]:
    """Return the (string, string) pairs in what a module of transformers.models.auto assigns to a name or
    updates it with. A value may be an expression such as `"X" if is_tokenizers_available() else
    None`: then its first string counts."""
    folder = package_folder("transformers")
    path = folder / "models" / "auto" / file if folder else None
    if path is None or not path.is_file():
        return {}
    pairs: dict[str, str] = {}
    for statement in _parsed(path).body:
        target = next((node.id for node in ast.walk(statement) if isinstance(node, ast.Name)), None)
        if target != name:
            continue
        for key, value in _keys_and_values(statement):
            strings = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
            first = next((text for text in strings if isinstance(text, str)), None)
            if first is not None:
                pairs[key] = first
    return pairs


def _keys_and_values(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield what a statement pairs with a string, in tuples of two and in dictionaries."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            key, value = node.elts
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value
        elif isinstance(node, ast.Dict):
            for key_node, value in zip(node.keys, node.values, strict=True):
                if isinstance(key_node, ast.Constant) and isinstance(key_node.value, str):
                    yield key_node.value, value


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
