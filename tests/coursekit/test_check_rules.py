"""Source rules: what is found, and above all what is not."""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.check.exercise import BY_HAND, Rules
from coursekit.check.rules import violations

ROOT = Path(__file__).parents[2]
SETUP = (
    "import torch\nimport torch.nn.functional as F\nfrom torch import nn\nfrom coursekit.train import fit\n"
)
STRICT = asdict(Rules(forbid=(*BY_HAND, "torch.mean", ".mean")))
NO_LOOPS = asdict(Rules(no_loops=True))


def found(*cells: str, rules: dict[str, Any] = STRICT, target: str = "conv2d") -> list[str]:
    return [text["en"] for text in violations([SETUP, *cells], target, rules)]


DEF = "def conv2d(x, k):\n    return F.conv2d(x, k)\n"
BROKEN = {
    "full name": "def conv2d(x, k):\n    return torch.nn.functional.conv2d(x, k)",
    "module alias": "def conv2d(x, k):\n    return F.conv2d(x, k)",
    "imported as": "from torch.nn.functional import conv2d as c\ndef conv2d(x, k):\n    return c(x, k)",
    "imported inside": "def conv2d(x, k):\n    from torch.nn.functional import conv2d as c\n    return c(x, k)",
    "module imported inside": "def conv2d(x, k):\n    import torch.nn.functional as G\n    return G.conv2d(x, k)",
    "assigned": "c = F.conv2d\ndef conv2d(x, k):\n    return c(x, k)",
    "module assigned inside": "def conv2d(x, k):\n    G = torch.nn.functional\n    return G.conv2d(x, k)",
    "the answer is the alias": "conv2d = F.conv2d",
    "the answer is imported": "from torch.nn.functional import conv2d",
    "tuple assignment": "conv2d, other = F.conv2d, 1",
    "star": "from torch.nn.functional import *\ndef answer(x, k):\n    return conv2d(x, k)\n",
    "lambda": "conv2d = lambda x, k: F.conv2d(x, k)",
    "default": "def conv2d(x, k, f=F.conv2d):\n    return f(x, k)",
    "decorator": "def use(f):\n    return F.conv2d\n@use\ndef conv2d(x, k):\n    pass",
    "helper": "def helper(x, k):\n    return F.conv2d(x, k)\ndef conv2d(x, k):\n    return helper(x, k)",
    "nested function": "def conv2d(x, k):\n    def inner(x):\n        return F.conv2d(x, k)\n    return inner(x)",
    "shadowed elsewhere": "def conv2d(x, k):\n    g = lambda F: F\n    return F.conv2d(x, k)",
    "class": "class Net:\n    def run(self, x, k):\n        return F.conv2d(x, k)\ndef conv2d(x, k):\n    return Net().run(x, k)",
    "class attribute": "class Net:\n    f = F.conv2d\ndef conv2d(x, k):\n    return Net.f(x, k)",
    "patched": "class Net:\n    pass\nNet.run = F.conv2d\ndef conv2d(x, k):\n    return Net.run(x, k)",
    "table": "TABLE = {'c': F.conv2d}\ndef conv2d(x, k):\n    return TABLE['c'](x, k)",
    "changed table": "TABLE = {}\nTABLE['c'] = F.conv2d\ndef conv2d(x, k):\n    return TABLE['c'](x, k)",
    "global": "def conv2d(x, k):\n    global F\n    F = F\n    return F.conv2d(x, k)",
    "inside if": "if True:\n    def conv2d(x, k):\n        return F.conv2d(x, k)",
    "inside try": "try:\n    1 / 0\nexcept Exception:\n    def conv2d(x, k):\n        return F.conv2d(x, k)",
    "magic": "%matplotlib inline\ndef conv2d(x, k):\n    return F.conv2d(x, k)",
    "cell magic": "%%time\ndef conv2d(x, k):\n    return F.conv2d(x, k)",
    "shell": "files = !ls\ndef conv2d(x, k):\n    return F.conv2d(x, k)",
    "help": "def conv2d(x, k):\n    return F.conv2d(x, k)\nF.conv2d?",
    "await": "import asyncio\nawait asyncio.sleep(0)\ndef conv2d(x, k):\n    return F.conv2d(x, k)",
    "async": "async def conv2d(x, k):\n    return F.conv2d(x, k)",
    "method": "def conv2d(x, k):\n    return x.mean()",
    "getattr": "def conv2d(x, k):\n    return getattr(F, 'conv' + '2d')(x, k)",
    "eval": "def conv2d(x, k):\n    return eval('F.conv2d(x, k)')",
    "importlib": "import importlib as il\ndef conv2d(x, k):\n    return il.import_module('torch')",
    "dict": "def conv2d(x, k):\n    return F.__dict__['conv2d'](x, k)",
    "layer": "def conv2d(x, k):\n    return nn.Conv2d(1, 1, 3)(x)",
    "another door": "def conv2d(x, k):\n    return torch.nn.modules.conv.Conv2d(1, 1, 3)(x)",
    "aten": "def conv2d(x, k):\n    return torch.ops.aten.conv2d(x, k)",
    "answer key": "import coursekit.models as m\ndef conv2d(x, k):\n    return m.get_model('lenet')(x)",
    "kept under another name": f"{DEF}good = conv2d\n# cell\ndef conv2d(x, k):\n    return good(x, k)",
    "kept in a tuple": f"{DEF}good, n = conv2d, 3\n# cell\ndef conv2d(x, k):\n    return good(x, k)",
    "kept with a type": f"{DEF}good: object = conv2d\n# cell\ndef conv2d(x, k):\n    return good(x, k)",
    "kept twice": f"{DEF}a = b = conv2d\nc = b\n# cell\ndef conv2d(x, k):\n    return c(x, k)",
    "exchanged": f"{DEF}def good(x, k):\n    return x\ngood, conv2d = conv2d, good\ndef conv2d(x, k):\n    return good(x, k)",
    "the answer has another name": "def g(x, k):\n    return F.conv2d(x, k)\nconv2d = g\n# cell\ndef g(x, k):\n    return x",
    "assigned to itself": f"{DEF}conv2d = conv2d",
    "changed under another name": "class Net:\n    pass\nSame = Net\nSame.run = F.conv2d\ndef conv2d(x, k):\n    return Net.run(x, k)",
    "last branch": "def good(x, k):\n    return x\nif torch.cuda.is_available():\n    conv2d = good\nelse:\n    conv2d = F.conv2d",
    "deep": "def conv2d(x, k):\n    return F.conv2d(x, k)" + " + 1" * 900,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_forbidden_name_is_found(name: str) -> None:
    target = "answer" if name == "star" else "conv2d"
    (text,) = found(*BROKEN[name].split("\n# cell\n"), target=target)
    assert "is to be written without it" in text


HONEST = {
    "parameter": "def conv2d(F, k):\n    return F.conv2d(k)",
    "parameter named as a helper": "def helper(x):\n    return F.conv2d(x, x)\ndef conv2d(x, helper):\n    return helper",
    "local named as a helper": "def kernel():\n    return F.conv2d(1, 1)\ndef conv2d(x):\n    kernel = x + 1\n    return kernel",
    "loop variable": "def row():\n    return F.conv2d(1, 1)\ndef conv2d(x):\n    return [row * 2 for row in x]",
    "local vars": "def conv2d(x):\n    vars = x.var()\n    return x / vars",
    "parameter compile": "def conv2d(x, compile=False):\n    return x if compile else -x",
    "its own name": "from torch.nn.functional import conv2d\ndef conv2d(x, k):\n    return conv2d_one(x, k)\ndef conv2d_one(x, k):\n    return x",
    "recursion": "def conv2d(x, k):\n    return conv2d(x[1:], k) if len(x) else x",
    "latest counts": "def conv2d(x, k):\n    return F.conv2d(x, k)\n# cell\ndef conv2d(x, k):\n    return x",
    "helper replaced": "def h(x):\n    return F.conv2d(x, x)\ndef conv2d(x, k):\n    return h(x)\n# cell\ndef h(x):\n    return x",
    "kept and not used": f"{DEF}slow = conv2d\n# cell\ndef conv2d(x, k):\n    return x",
    "kept before": "def h(x):\n    return x\nmine = h\n# cell\nfrom torch.nn.functional import conv2d as h\ndef conv2d(x, k):\n    return mine(x)",
    "exchanged before": f"{DEF}def good(x, k):\n    return x\ngood, conv2d = conv2d, good",
    "last branch": "def good(x, k):\n    return x\nif False:\n    conv2d = F.conv2d\nelse:\n    conv2d = good",
    "annotation": "def conv2d(x: torch.Tensor, layer: nn.Conv2d) -> nn.Conv2d:\n    y: nn.Conv2d = x\n    return y",
    "string annotation": 'def conv2d(x: "nn.Conv2d") -> "F.conv2d":\n    return x',
    "text and comment": 'def conv2d(x, k):\n    """As F.conv2d, without eval."""\n    # torch.nn.functional.conv2d\n    return x',
    "elsewhere": "def other(x, k):\n    return F.conv2d(x, k)\ndef conv2d(x, k):\n    return x\nassert other is not conv2d",
    "another import of the line": "from torch.nn.functional import conv2d as c, relu\ndef conv2d(x, k):\n    return relu(x)",
    "own class attribute": "def size():\n    return F.conv2d(1, 1)\nclass Net:\n    size = 3\n    width = size\ndef conv2d(x, k):\n    return Net()",
    "evaluation mode": "def conv2d(model, x):\n    model.eval()\n    return model(x)",
    "torch.compile": "def conv2d(x, k):\n    return torch.compile(torch.relu)(x)",
    "broken cell": "def conv2d(x, k):\n    return F.conv2d(x, k\n# cell\ndef conv2d(x, k):\n    return x",
    "other magic": "%%bash\ndef conv2d(x): F.conv2d",
    "not defined": "x = 1",
    "modulo line": "def conv2d(x, k):\n    return (x\n        % k)",
    "star and own": "from torch.nn.functional import *\ndef relu(x):\n    return x\ndef conv2d(x, k):\n    return relu(x)",
    "except": "def conv2d(x, k):\n    try:\n        return x\n    except ValueError as eval:\n        return eval",
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_code_is_left_in_peace(name: str) -> None:
    assert found(*HONEST[name].split("\n# cell\n")) == []


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("    for i in x:\n        pass", True),
        ("    while False:\n        pass", True),
        ("    return [i for i in x]", True),
        ("    return sum(i for i in x)", True),
        ("    return {i: 1 for i in x}", True),
        ("    return (x * 2).sum()", False),
        ("    return {'for': x}", False),
    ],
)
def test_loops(code: str, broken: bool) -> None:
    texts = found(f"def conv2d(x):\n{code}", rules=NO_LOOPS)
    assert bool(texts) == broken
    assert not broken or "Python loop (line 2" in texts[0]


def test_a_loop_in_a_helper_and_one_sentence_for_a_rule_with_its_line() -> None:
    helper = "def h(x):\n    for i in x:\n        for j in i:\n            pass"
    assert len(found(helper, "def conv2d(x):\n    return h(x)", rules=NO_LOOPS)) == 1
    (text,) = violations(["import torch\ndef f(x):\n    x = torch.mean(x)\n    return x.mean() + torch.mean(x)"], "f",
                         {"forbid": ["torch.mean"], "no_loops": False})  # fmt: skip
    assert "`torch.mean` (line 3" in text["en"]
    assert "`torch.mean`（所在单元格第 3 行）；" in text["zh"]


def test_no_rules_no_reading() -> None:
    assert found(BROKEN["eval"], rules=asdict(Rules())) == []


@given(
    st.lists(
        st.text() | st.sampled_from([*BROKEN.values(), "%%x\n\0", "(" * 300, "x." * 5000 + "y"]), max_size=3
    )
)
@settings(deadline=None)
def test_no_source_breaks_the_check(cells: list[str]) -> None:
    assert isinstance(violations(cells, "conv2d", STRICT), list)


def _lab() -> Any:
    path = ROOT / "labs/cnn_mnist/checks.py"
    spec = importlib.util.spec_from_file_location("cnn_mnist_checks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not (ROOT / "labs").is_dir(), reason="labs come with the source only")
def test_honest_solutions_of_the_first_lab_never_violate() -> None:
    source = (ROOT / "labs/cnn_mnist/lab.py").read_text(encoding="utf-8")
    cells = [
        "\n".join(line for line in part.split("\n")[1:] if not line.startswith("#"))
        for part in source.split("\n# %%")
        if not part.lstrip().startswith("[markdown]")
    ]
    assert violations(cells, "conv2d", {"forbid": [], "no_loops": True})  # the cells are read
    exercises = _lab().EXERCISES
    assert len(exercises) > 8
    for exercise in exercises:
        rules = asdict(exercise.rules)
        assert violations(cells, exercise.target, rules) == []
        for variant in exercise.variants:
            assert violations([*cells, variant], exercise.target, rules) == [], exercise.name
