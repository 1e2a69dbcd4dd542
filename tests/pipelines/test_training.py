"""The compiled training pipeline: what is committed, and what the checker would have refused."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import compiler, components, dsl

from fairway import errors
from fairway.config import sections
from fairway.pipelines import capacity, compiled, pitfalls

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pipelines"
CHALLENGE = (
    "champion",
    "prepare",
    "tune",
    "train",
    "evaluate",
    "gate",
    "package",
    "deploy",
    "watch-rollout",
    "refuse",
    "tell",
    "notify",
)
RETRAINING = ("label-data", "validate-data", *CHALLENGE)
STEPS = {
    "training.yaml": ("import-data", *CHALLENGE),
    "training-gpu.yaml": ("import-data", *CHALLENGE),
    "many.yaml": ("import-data", *CHALLENGE),
    "retraining.yaml": RETRAINING,
    # kfp numbers a component that stands in two branches
    "monitoring.yaml": ("detect-drift", "decide-retraining", "tell-2", *RETRAINING),
    "batch.yaml": ("champion", "batch-predict", "notify"),
}
EACH = pytest.mark.parametrize("file", STEPS)
PURE = {"tune", "train", "evaluate", "gate"}
CACHED = {file: set() if file == "batch.yaml" else PURE for file in STEPS}
PINNED = "ghcr.io/fairway/pipeline@sha256:" + "0" * 64


def committed(file: str) -> compiled.Documents:
    return compiled.read(FOLDER / file)


def test_compiling_gives_the_committed_bytes(tmp_path):
    """In a process of its own: at each setting of a step kfp searches all modules that are loaded."""
    compiling = [sys.executable, "-W", "ignore", "-m", "pipelines.compile", str(tmp_path)]
    subprocess.run(compiling, cwd=ROOT, check=True)
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert written == {file: (FOLDER / file).read_bytes() for file in STEPS}


@EACH
def test_the_committed_pipeline_is_sound(file):
    assert pitfalls.findings(committed(file), environment="kind") == ()


@EACH
def test_production_refuses_an_image_that_may_change(file):
    found = pitfalls.findings(committed(file), environment="production")
    assert len(found) == len(compiled.containers(committed(file)[0]))
    assert "pinned by digest" in found[0]


def test_only_training_with_a_gpu_asks_for_one():
    with_gpu = [
        name
        for name, one in compiled.containers(committed("training-gpu.yaml")[0]).items()
        if "accelerator" in one["resources"]
    ]
    without = [
        name
        for name, one in compiled.containers(committed("training.yaml")[0]).items()
        if "accelerator" in one["resources"]
    ]
    assert (with_gpu, without) == (["exec-train"], [])


def test_training_on_a_gpu_tolerates_its_taint_has_shared_memory_and_ends_some_day():
    documents = committed("training-gpu.yaml")
    assert (
        compiled.containers(documents[0])["exec-train"]["resources"]["accelerator"]["resourceType"]
        == "nvidia.com/gpu"
    )
    asked = compiled.kubernetes_of(documents, "exec-train")
    assert asked["tolerations"] == [
        {"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}
    ]
    assert [(mount["mountPath"], mount["medium"]) for mount in asked["emptyDirMounts"]] == [
        ("/dev/shm", "Memory")
    ]
    assert int(asked["activeDeadlineSeconds"]) == 24 * 3600


@EACH
def test_every_step_has_limits_and_a_timeout_and_installs_nothing(file):
    documents = committed(file)
    steps = compiled.containers(documents[0])
    assert set(steps) == {f"exec-{name}" for name in STEPS[file]}
    for name, step in steps.items():
        assert {
            "resourceCpuLimit",
            "resourceMemoryLimit",
            "resourceCpuRequest",
            "resourceMemoryRequest",
        } <= set(step["resources"])
        assert int(compiled.kubernetes_of(documents, name)["activeDeadlineSeconds"]) > 0
    assert not pitfalls.INSTALLS.search((FOLDER / file).read_text())


@EACH
def test_only_pure_steps_are_cached(file):
    pipeline = committed(file)[0]
    graphs = [
        pipeline["root"]["dag"],
        *(one["dag"] for one in pipeline["components"].values() if "dag" in one),
    ]
    cached = {
        name
        for graph in graphs
        for name, task in graph["tasks"].items()
        if task.get("cachingOptions", {}).get("enableCache")
    }
    groups = ("condition", "exit-handler", "for-loop")
    assert {name for name in cached if not name.startswith(groups)} == CACHED[file]


def task_of(pipeline, name):
    graphs = [
        pipeline["root"]["dag"],
        *(one["dag"] for one in pipeline["components"].values() if "dag" in one),
    ]
    return next(graph["tasks"][name] for graph in graphs if name in graph["tasks"])


@pytest.mark.parametrize("step", ["package", "deploy", "refuse"])
def test_a_committed_side_effect_whose_cache_is_turned_on_is_found(step):
    documents = copy.deepcopy(committed("training.yaml"))
    task_of(documents[0], step)["cachingOptions"] = {"enableCache": True}
    assert pitfalls.findings(documents, environment="kind") == (
        f"step {step} reads or changes what is outside of the run and its cache is on: "
        "a second run would not do it; set_caching_options(False)",
    )


@pytest.mark.parametrize(
    ("key", "word"), [("resourceCpuLimit", "CPU"), ("resourceMemoryLimit", "memory")]
)
def test_a_committed_step_that_loses_its_limit_is_found(key, word):
    documents = copy.deepcopy(committed("training.yaml"))
    del compiled.containers(documents[0])["exec-evaluate"]["resources"][key]
    assert pitfalls.findings(documents, environment="kind") == (
        f"step evaluate has no {word} limit: set one, or it can take the node from others",
    )


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "python3 -m pip install six"],
        ["pip", "install", "six"],
        ["sh", "-c", "pip3 --quiet install six"],
        ["sh", "-c", "apt-get -y install gcc"],
        ["bash", "-c", "uv pip install six"],
    ],
    ids=" ".join,
)
def test_an_installation_at_run_time_is_found_however_it_is_written(command):
    documents = copy.deepcopy(committed("training.yaml"))
    compiled.containers(documents[0])["exec-gate"]["command"] = command
    assert [
        sentence.split(":")[0] for sentence in pitfalls.findings(documents, environment="kind")
    ] == ["step gate installs packages at run time"]


@pytest.mark.parametrize(
    "command",
    [["echo", "pipeline installed"], ["sh", "-c", "pipx list; installer"], ["apt", "list"]],
    ids=" ".join,
)
def test_what_only_looks_like_an_installation_is_not_found(command):
    documents = copy.deepcopy(committed("training.yaml"))
    compiled.containers(documents[0])["exec-gate"]["command"] = command
    assert pitfalls.findings(documents, environment="kind") == ()


CHANNEL = "inputs.parameter_values['pipelinechannel--gate-Output']"


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (f"{CHANNEL} == 'it's'", "quote"),
        (rf"{CHANNEL} == 'C:\tmp'", "backslash"),
        (f"!({CHANNEL} == 'two\nlines')", "line's end"),
        (f"!({CHANNEL} == 'it's') && {CHANNEL} == 'b'", "quote"),
    ],
    ids=["quote", "backslash", "line", "elif"],
)
def test_a_condition_on_text_that_is_another_when_it_is_evaluated_is_found(condition, word):
    documents = copy.deepcopy(committed("training.yaml"))
    task_of(documents[0], "condition-5")["triggerPolicy"]["condition"] = condition
    [found] = pitfalls.findings(documents, environment="kind")
    assert f"which has a {word} in it" in found


def test_a_branch_of_several_is_no_condition_with_a_quote():
    documents = copy.deepcopy(committed("training.yaml"))
    denied = f"!({CHANNEL} == 'a') && !(int({CHANNEL}) == 3) && {CHANNEL} == 'b'"
    task_of(documents[0], "condition-5")["triggerPolicy"]["condition"] = denied
    assert pitfalls.findings(documents, environment="kind") == ()


def asked(*, data: str = "s3://rows/adult.csv", store: str | None = None, **pipeline: object):
    return sections.Config(
        data=sections.Data.of(source="csv", path=data, target="income"),
        platform=sections.Platform(store=store),
        pipeline=sections.Pipeline.model_validate(pipeline),
    )


def test_steps_have_the_variables_the_secrets_and_the_claims_that_are_named():
    theirs = asked(
        data="pvc://rows/adult.csv",
        store="pvc://kept/models",
        environment={"AWS_ENDPOINT_URL": "http://s3.models.svc:9000"},
        secrets={"AWS_ACCESS_KEY_ID": {"secret": "bucket", "key": "access"}},
    )
    documents = compiled.for_training(theirs)
    steps = compiled.containers(documents[0])
    assert len(steps) == 13
    for name, step in steps.items():
        assert step["env"] == [{"name": "AWS_ENDPOINT_URL", "value": "http://s3.models.svc:9000"}]
        told = compiled.kubernetes_of(documents, name)
        [secret] = told["secretAsEnv"]
        assert secret["secretNameParameter"]["runtimeValue"]["constant"] == "bucket"
        assert secret["keyToEnv"] == [{"envVar": "AWS_ACCESS_KEY_ID", "secretKey": "access"}]
        mounted = {one["mountPath"]: one["constant"] for one in told["pvcMount"]}
        assert mounted == {"/mnt/claims/rows": "rows", "/mnt/claims/kept": "kept"}
    assert "pvcMount" not in compiled.write(compiled.for_training(asked()))


def test_a_configuration_fills_in_image_and_resources_and_is_sound_in_production():
    theirs = asked(
        image=PINNED,
        train=sections.Resources(cpu="7", memory="40Gi", gpu=4),
        evaluate=sections.Resources(memory="3Gi"),
    )
    documents = compiled.for_training(theirs)
    steps = compiled.containers(documents[0])
    assert {step["image"] for step in steps.values()} == {PINNED}
    assert steps["exec-train"]["resources"]["accelerator"]["resourceCount"] == "4"
    assert steps["exec-train"]["resources"]["resourceMemoryLimit"] == "40Gi"
    assert steps["exec-evaluate"]["resources"]["resourceMemoryLimit"] == "3Gi"
    assert pitfalls.findings(documents, environment="production") == ()


@pytest.mark.parametrize("pipeline", compiled.PIPELINES)
def test_each_pipeline_is_sound_in_production_with_gpus_where_they_are_asked_for(pipeline):
    theirs = asked(image=PINNED, train=sections.Resources(cpu="7", memory="40Gi", gpu=2))
    documents = compiled.for_pipeline(compiled.file(pipeline, theirs), theirs)
    assert pitfalls.findings(documents, environment="production") == ()
    steps = compiled.containers(documents[0])
    with_gpu = {name for name, step in steps.items() if "accelerator" in step["resources"]}
    assert with_gpu == ({"exec-train"} & steps.keys())
    for name in with_gpu:
        told = compiled.kubernetes_of(documents, name)
        assert steps[name]["resources"]["accelerator"]["resourceCount"] == "2"
        assert told["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
        assert told["tolerations"][0]["key"] == "nvidia.com/gpu"


@pytest.mark.parametrize("pipeline", ["training", "retraining", "monitoring", "many"])
def test_training_on_several_nodes_is_a_step_that_waits_with_few_resources(pipeline, tmp_path):
    config = asked(
        image=PINNED, nodes=2, workspace="pvc://shared/work", train=sections.Resources(gpu=4)
    )
    documents = compiled.for_pipeline(compiled.file(pipeline, config), config)
    assert pitfalls.findings(documents, environment="production") == ()
    steps = compiled.containers(documents[0])
    assert "exec-train" not in steps
    step = steps[compiled.DISTRIBUTED]
    assert step["image"] == PINNED
    assert step["resources"]["resourceMemoryLimit"] == "2Gi"
    assert "accelerator" not in step["resources"]
    told = compiled.kubernetes_of(documents, compiled.DISTRIBUTED)
    assert told["activeDeadlineSeconds"] == str(24 * 3600)
    assert [one["constant"] for one in told["pvcMount"]] == ["shared"]
    assert not told.keys() & {"tolerations", "emptyDirMounts"}
    assert not compiled.kubernetes_of(documents, "exec-train")
    wanted = {(one.verb, one.resource) for one in capacity.lacking(documents)}
    assert {("create", "trainjobs"), ("get", "pods")} <= wanted
    (tmp_path / "filled.yaml").write_text(compiled.write(documents))
    components.load_component_from_file(str(tmp_path / "filled.yaml"))


def test_a_step_runs_on_the_nodes_that_are_named_with_the_part_of_a_gpu_that_is_named():
    place = sections.Resources(
        gpu=1,
        accelerator="nvidia.com/mig-1g.10gb",
        selector={"nvidia.com/gpu.product": "NVIDIA-H200"},
        tolerations=[{"key": "team", "operator": "Equal", "value": "research"}],
    )
    config = asked(image=PINNED, train=place)
    documents = compiled.for_training(config)
    assert pitfalls.findings(documents, environment="production") == ()
    step = compiled.containers(documents[0])["exec-train"]["resources"]["accelerator"]
    assert (step["resourceType"], step["resourceCount"]) == ("nvidia.com/mig-1g.10gb", "1")
    told = compiled.kubernetes_of(documents, "exec-train")
    assert told["nodeSelector"] == {"labels": {"nvidia.com/gpu.product": "NVIDIA-H200"}}
    assert told["tolerations"] == [
        {"key": "team", "operator": "Equal", "value": "research", "effect": "NoSchedule"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert "nodeSelector" not in compiled.kubernetes_of(documents, "exec-prepare")


@EACH
def test_a_run_goes_a_week_after_its_end_and_does_not_go_on_for_ever(file):
    config = committed(file)[1]["platforms"]["kubernetes"]["pipelineConfig"]
    assert int(config["resourceTtlOnCompletion"]) == 7 * 86_400
    assert int(config["activeDeadlineSeconds"]) == 5 * 86_400


def test_a_search_has_the_resources_of_the_training_and_none_has_few():
    section = {"family": "boosting", "tune": {"choices": {"leaves": [7, 15]}}}
    plain = asked(image=PINNED, train=sections.Resources(cpu="7", gpu=1))
    searching = plain.model_copy(update={"training": sections.Training.of(**section)})
    found = [
        compiled.containers(compiled.for_training(one)[0])["exec-tune"]["resources"]
        for one in (plain, searching)
    ]
    assert [one["resourceCpuLimit"] for one in found] == ["1", "7"]
    assert ["accelerator" in one for one in found] == [False, True]


def test_a_run_of_many_trains_as_many_at_a_time_as_is_asked_for():
    documents = compiled.for_pipeline("many.yaml", asked(image=PINNED, parallel=5))
    assert "parallelismLimit: 5" in compiled.write(documents)


def test_kfp_reads_what_was_filled_in(tmp_path):
    (tmp_path / "filled.yaml").write_text(
        compiled.write(compiled.for_training(asked(image=PINNED)))
    )
    spec = components.load_component_from_file(str(tmp_path / "filled.yaml")).pipeline_spec
    assert spec.deployment_spec["executors"]["exec-train"]["container"]["image"] == PINNED


def test_on_one_machine_no_step_is_tried_again():
    before = committed("training.yaml")
    assert "retryPolicy" in compiled.write(before)
    assert "retryPolicy" not in compiled.write(compiled.tried_once(before))


def test_what_was_filled_in_leaves_the_read_pipeline_alone():
    before = committed("training.yaml")
    kept = copy.deepcopy(before)
    compiled.filled(before, sections.Pipeline(image=PINNED))
    assert before == kept


# -- pipelines that would fail silently ------------------------------------------------------------


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def judged() -> bool:
    return True


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def named(promote: dsl.OutputPath(bool)):
    with open(promote, "w") as file:
        file.write("true")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def acting() -> None:
    from fairway.platforms import choice

    print(choice)


@dsl.component(base_image="python:3.11", packages_to_install=["six"])
def installing() -> None: ...


@dsl.component(base_image="python", install_kfp_package=False)
def moving() -> None: ...


def documents(body, tmp_path: Path) -> compiled.Documents:
    compiler.Compiler().compile(dsl.pipeline(name="made")(body), str(tmp_path / "made.yaml"))
    return compiled.read(tmp_path / "made.yaml")


def bare_condition():
    asked = named()
    with dsl.If(asked.outputs["promote"] == True):  # noqa: E712
        judged()


def nested_bare_condition():
    asked = named()
    with dsl.If(judged().output == True):  # noqa: E712, SIM117 - one group in another is the case
        with dsl.If(asked.outputs["promote"] == True):  # noqa: E712
            judged()
    with dsl.Else():
        judged()


def cached_side_effect():
    acting()


def installs():
    installing()


def moving_image():
    moving()


def bare_gpu():
    judged().set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def listing(values: list[int]) -> str:
    return str(values)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def naming(word: str) -> str:
    return word


def quoted_condition():
    with dsl.If(naming(word="a").output == "it's"):
        judged()
    with dsl.Else():
        judged()


def judged_body():
    judged()


def whole_numbers():
    listing(values=[1, 2])


def looped_numbers():
    with dsl.ParallelFor([1, 2]) as number:
        naming(word=f"{number}")


def oversized():
    naming(word="x" * 130_000)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def pairing(first: str, second: str) -> str:
    return first + second


def oversized_together():
    pairing(first="x" * 70_000, second='"' * 35_001)


def oversized_workflow():
    for _ in range(16):
        naming(word="x" * 110_000)


def sliced():
    measuring()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def measuring() -> None:
    from kfp.dsl import SlicedClassificationMetrics

    print(SlicedClassificationMetrics)


@pytest.mark.parametrize(
    ("tag", "moves"),
    [
        *((tag, True) for tag in ("", ":latest", ":master", ":stable", ":nightly")),
        *((tag, False) for tag in (":0.1.0", ":v2", ":3.11-slim", "@sha256:" + "a" * 64)),
    ],
)
def test_a_tag_that_moves_by_its_name_is_found(tag, moves, tmp_path):
    pipeline, kubernetes = documents(judged_body, tmp_path)
    for container in compiled.containers(pipeline).values():
        container["image"] = f"registry.example:5000/steps{tag}"
    found = pitfalls.findings((pipeline, kubernetes), environment="kind")
    assert any("wanted a tag that does not move" in sentence for sentence in found) == moves


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (quoted_condition, """compares with "it's", which has a quote in it"""),
        (whole_numbers, "parameter values of step listing has the whole number 1 in a list or map"),
        (looped_numbers, "has the whole number 1 in a list or map, where it becomes 1.0"),
        (oversized, "parameter word of step naming has 130002 bytes: wanted at most 122880"),
        (
            oversized_together,
            "parameter second of step pairing has 140006 bytes with the others of its step",
        ),
        (oversized_workflow, "bytes: wanted at most 1572864, what a cluster keeps as one object"),
        (sliced, "step measuring uses SlicedClassificationMetrics"),
        (bare_condition, "named output promote of step named and has no dsl.Else"),
        (nested_bare_condition, "named output promote of step named and has no dsl.Else"),
        (cached_side_effect, "step acting reads or changes what is outside of the run"),
        (installs, "step installing installs packages at run time"),
        (moving_image, "step moving runs python: wanted a tag that does not move"),
        (judged_body, "has no memory limit"),
        (judged_body, "step judged has no CPU limit"),
        (judged_body, "step judged has no timeout"),
        (
            bare_gpu,
            "without a toleration: GPU nodes are usually tainted and it would stay Pending; ",
        ),
        (bare_gpu, "; kubernetes.empty_dir_mount(task, "),
    ],
    ids=[
        "quoted-condition",
        "whole-numbers",
        "looped-numbers",
        "oversized",
        "oversized-together",
        "oversized-workflow",
        "sliced-metrics",
        "bare-condition",
        "nested-bare-condition",
        "cached-side-effect",
        "pip",
        "moving-image",
        "memory",
        "cpu",
        "timeout",
        "toleration",
        "shm",
    ],
)
def test_the_checker_finds(body, words, tmp_path):
    assert any(
        words in sentence
        for sentence in pitfalls.findings(documents(body, tmp_path), environment="kind")
    )


def unnamed_condition():
    with dsl.If(judged().output == True):  # noqa: E712
        judged()


def named_with_else():
    asked = named()
    with dsl.If(asked.outputs["promote"] == True):  # noqa: E712
        judged()
    with dsl.Else():
        judged()


def uncached_side_effect():
    acting().set_caching_options(False)


def large_together_in_two_steps():
    naming(word="x" * 100_000)
    naming(word="x" * 100_000)


@pytest.mark.parametrize(
    "body",
    [unnamed_condition, named_with_else, uncached_side_effect, large_together_in_two_steps],
    ids=lambda body: body.__name__,
)
def test_the_checker_is_silent_on_what_works(body, tmp_path):
    found = pitfalls.findings(documents(body, tmp_path), environment="kind")
    assert [
        sentence for sentence in found if "limit" not in sentence and "timeout" not in sentence
    ] == []


def test_a_pipeline_that_would_fail_silently_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(
        errors.PlatformError,
        match=r"^made\.yaml would fail silently: .*named output promote.*; and \d+ more$",
    ):
        pitfalls.require(documents(bare_condition, tmp_path), environment="kind", what="made.yaml")
