"""What is written is what is read, and nothing in a file is run."""

import pickle

import numpy as np
import pytest
import torch

from empirical.checkpoints import load, save
from empirical.convolutional import ConvNet, ResNet
from empirical.ensembles import fit, outputs, select
from empirical.networks import MLP, Centred
from empirical.recipe import Recipe

RNG = np.random.default_rng(0)
MAKE = {
    "mlp": lambda: MLP(4, 2, width=[5, 6], depth=2, activation="erf", bias_variance=0.1, members=3, seed=[1, 2]),
    "alone": lambda: MLP(4, 2, width=5, depth=1, parameterisation="standard", dtype=torch.float64),
    "centred": lambda: Centred(MLP(4, 2, width=5, depth=1, members=2), scale=3.0),
    "cnn": lambda: ConvNet((1, 2, 2), 2, width=3, depth=1, members=2),
    "resnet": lambda: ResNet((1, 2, 2), 2, depth=8, width=2, members=2),
}


@pytest.mark.parametrize("name", MAKE)
def test_a_network_comes_back(tmp_path, name):
    model = MAKE[name]()
    X = RNG.normal(size=(6, *((1, 2, 2) if name in ("cnn", "resnet") else (4,))))
    if model.members:
        fit(model, X, RNG.normal(size=(6, 2)), recipe=Recipe(steps=3, batch=4, learning_rate=0.01))
    save(model, tmp_path / "net.pt")
    again = load(tmp_path / "net.pt")
    assert (outputs(again, X) == outputs(model, X)).all()
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_some_members_of_a_stack_are_a_stack(tmp_path):
    model = select(MAKE["mlp"](), [2, 0])
    save(model, tmp_path / "net.pt")
    assert (outputs(load(tmp_path / "net.pt"), np.ones((1, 4))) == outputs(model, np.ones((1, 4)))).all()


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.pt"
    with pytest.raises(ValueError, match="`path` must be a checkpoint that is there"):
        load(path)
    for content in (b"", b"not a checkpoint", pickle.dumps(Evil())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"`path` must be a checkpoint that `empirical\.checkpoints\.save` wrote"):
            load(path)
    torch.save({"kind": "os.system", "architecture": {}, "state": {}}, path)
    with pytest.raises(ValueError, match="damaged or something else"):
        load(path)
    save(MAKE["cnn"](), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged or something else"):
        load(path)


def test_unknown_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`model` must be an MLP, a ConvNet, a ResNet or Centred of one, got Linear"):
        save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    with pytest.raises(ValueError, match="`model` must have an activation of relu"):
        save(MLP(2, width=2, depth=1, activation=torch.atan), tmp_path / "net.pt")
