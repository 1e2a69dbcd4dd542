import pytest

from fairway import errors
from fairway.config import sections
from fairway.training import device

CPU, OLD_GPU, GPU, MAC = (
    device.Machine(),
    device.Machine(cuda=True),
    device.Machine(cuda=True, bfloat16=True),
    device.Machine(mps=True),
)


@pytest.mark.parametrize(
    ("asked", "machine", "wanted"),
    [
        pytest.param({}, CPU, ("cpu", "float32"), id="nothing there"),
        pytest.param({}, GPU, ("cuda", "bfloat16"), id="a GPU with bfloat16"),
        pytest.param({}, OLD_GPU, ("cuda", "float32"), id="a GPU without bfloat16"),
        pytest.param({}, MAC, ("mps", "float32"), id="a Mac"),
        pytest.param(
            {"device": "cpu"}, GPU, ("cpu", "float32"), id="the CPU though a GPU is there"
        ),
        pytest.param(
            {"precision": "float32"}, GPU, ("cuda", "float32"), id="full precision on a GPU"
        ),
        pytest.param({"precision": "float16"}, OLD_GPU, ("cuda", "float16"), id="float16 on a GPU"),
        pytest.param({"precision": "bfloat16"}, CPU, ("cpu", "bfloat16"), id="bfloat16 on the CPU"),
    ],
)
def test_device_and_precision_follow_from_the_section_and_the_machine(asked, machine, wanted):
    chosen = device.choose(sections.Training.of(**asked), machine=machine)
    assert (chosen.device, chosen.precision) == wanted


@pytest.mark.parametrize(
    ("asked", "machine", "said"),
    [
        pytest.param(
            {"device": "cuda"},
            CPU,
            "training.device is cuda, which this machine does not have",
            id="no GPU",
        ),
        pytest.param(
            {"device": "mps"},
            GPU,
            "training.device is mps, which this machine does not have",
            id="no Mac",
        ),
        pytest.param(
            {"precision": "float16"}, CPU, "training.precision is float16", id="float16 on the CPU"
        ),
    ],
)
def test_what_is_not_there_is_refused_with_a_sentence(asked, machine, said):
    with pytest.raises(errors.TrainingError, match=said):
        device.choose(sections.Training.of(**asked), machine=machine)


@pytest.mark.parametrize(
    ("asked", "machine", "said"),
    [
        pytest.param({"processes": 3}, device.Machine(cuda=True, gpus=2), "has 2 GPUs", id="GPUs"),
        pytest.param({"processes": 2}, MAC, "no collective operations for mps", id="a Mac"),
    ],
)
def test_processes_that_have_no_device_each_are_refused(asked, machine, said):
    with pytest.raises(errors.TrainingError, match=said):
        device.choose(sections.Training.of(**asked), machine=machine)
    wider = device.Machine(cuda=True, gpus=4)
    assert device.choose(sections.Training.of(**asked), machine=wider).device == "cuda"
