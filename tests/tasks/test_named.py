import numpy as np
import pytest

from vanishing_jax import tasks
from vanishing_jax.tasks import named
from vanishing_jax.tasks._named import _MAKERS

from .files import write_mnist

NEEDS_PATH = ("mnist", "permuted mnist", "time series")
FIXED_LENGTH = ("digits", "permuted digits", *NEEDS_PATH)


@pytest.mark.parametrize("name", [n for n in _MAKERS if n not in NEEDS_PATH])
def test_every_name_makes_the_task_of_that_name(name):
    task = named(name)
    assert isinstance(task, tasks.AbstractTask)
    assert task.name == ("uniform warping" if name == "warping" else name)
    if name not in FIXED_LENGTH:
        assert named(name, length=60).length == 60


def test_every_public_task_has_a_name():
    makers = {getattr(maker, "func", maker) for maker in _MAKERS.values()}
    generic = {tasks.AbstractTask, tasks.SequenceClassification, tasks.TimeSeries, named}
    public = {x for n, x in vars(tasks).items() if callable(x) and not n.startswith("_")}
    assert public - generic - {tasks.Padded} == makers


def test_files_are_passed_on(tmp_path):
    write_mnist(tmp_path)
    assert named("permuted MNIST", path=tmp_path).name == "permuted mnist"
    np.savez(tmp_path / "x.npz", inputs=np.ones((5, 3)), targets=np.ones(5))
    assert named("time series", path=tmp_path / "x.npz", num_test=2).length == 3


def test_case_and_joints_do_not_matter():
    task = named("Temporal_Order", length=30, variant="hochreiter")
    assert isinstance(task, tasks.TemporalOrder)
    assert task.variant == "hochreiter"
    assert named("3-bit-temporal-order").output_size == 8


@pytest.mark.parametrize(
    "name, hint",
    [
        ("addng", "got 'addng'. Did you mean 'adding'"),
        ("copy", "Did you mean 'copy memory'?"),
        ("qqqq", "Tasks: adding, multiplication, "),
    ],
)
def test_unknown_names_get_the_nearest(name, hint):
    with pytest.raises(ValueError) as caught:
        named(name)
    assert hint in str(caught.value)


def test_options_that_a_task_lacks_are_named():
    with pytest.raises(TypeError, match="'digits' has the length of its data; leave `length` out"):
        named("digits", length=10)
    with pytest.raises(TypeError, match="'adding' has no option delay. It takes: length, variant"):
        named("adding", delay=10)
    with pytest.raises(TypeError, match="'mnist' needs `path=`"):
        named("mnist")
    with pytest.raises(ValueError, match="expected `variant`"):
        named("adding", variant="nobody")
