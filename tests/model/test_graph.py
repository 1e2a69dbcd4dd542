import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fairway import errors
from fairway.model import composed, graph, preprocessing

TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}
ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32)


def save(path, *nodes, inputs, outputs):
    """Write a graph of these nodes; inputs and outputs are name: (type, shape)."""
    given = [helper.make_tensor_value_info(name, *described) for name, described in inputs.items()]
    made = [helper.make_tensor_value_info(name, *described) for name, described in outputs.items()]
    body = helper.make_graph(list(nodes), "made", given, made)
    onnx.save(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path
    )
    return path


def same(
    path,
    *,
    given=TensorProto.FLOAT,
    made=TensorProto.FLOAT,
    name="features",
    output="probabilities",
    width=2,
):
    """Write a graph that answers with what it is given."""
    node = helper.make_node("Cast", [name], [output], to=made)
    return save(
        path, node, inputs={name: (given, [None, width])}, outputs={output: (made, [None, width])}
    )


def run(path, inputs=None, *, width=2):
    return graph.run(
        path, {"features": ROWS} if inputs is None else inputs, output="probabilities", width=width
    )


@pytest.mark.parametrize("given", TYPES)
def test_every_numeric_input_type_is_fed(given, tmp_path):
    assert run(same(tmp_path / "g.onnx", given=TYPES[given])).tolist() == ROWS.tolist()


@pytest.mark.parametrize("made", ["float16", "float32", "float64"])
def test_answers_are_float32_whatever_the_graph_computes_in(made, tmp_path):
    answers = run(same(tmp_path / "g.onnx", made=TYPES[made]))
    assert answers.dtype == np.float32
    assert answers.tolist() == ROWS.tolist()


def test_an_output_of_whole_numbers_is_no_table_of_answers(tmp_path):
    with pytest.raises(
        errors.ModelError, match="wanted one named probabilities, a table of floats"
    ):
        run(same(tmp_path / "g.onnx", made=TensorProto.INT64))


def test_an_input_of_words_is_refused(tmp_path):
    words = {"features": (TensorProto.STRING, [None, 2])}
    node = helper.make_node("Cast", ["features"], ["probabilities"], to=TensorProto.FLOAT)
    path = save(
        tmp_path / "g.onnx",
        node,
        inputs=words,
        outputs={"probabilities": (TensorProto.FLOAT, [None, 2])},
    )
    with pytest.raises(
        errors.ModelError, match=r"the input features of tensor\(string\): wanted one of"
    ):
        run(path)


@pytest.mark.parametrize("name", ["features", "X"])
@pytest.mark.parametrize("output", ["probabilities", "y"])
def test_a_single_matrix_and_a_single_table_may_have_any_name(name, output, tmp_path):
    assert run(same(tmp_path / "g.onnx", name=name, output=output)).shape == (3, 2)


def two_inputs(path, one="numbers", other="image"):
    node = helper.make_node("Concat", [one, other], ["probabilities"], axis=1)
    given = {name: (TensorProto.FLOAT, [None, 1]) for name in (one, other)}
    return save(path, node, inputs=given, outputs={"probabilities": (TensorProto.FLOAT, [None, 2])})


def test_several_inputs_are_fed_by_name_and_what_the_graph_does_not_want_is_left_out(tmp_path):
    inputs = {"image": ROWS[:, 1:], "categories": np.zeros((3, 1)), "numbers": ROWS[:, :1]}
    assert run(two_inputs(tmp_path / "g.onnx"), inputs).tolist() == ROWS.tolist()


def test_an_input_that_the_data_lacks_is_named(tmp_path):
    with pytest.raises(errors.ModelError, match="wants the input 'image': the data has numbers"):
        run(two_inputs(tmp_path / "g.onnx"), {"numbers": ROWS[:, :1]})


def test_the_layout_is_seen_from_the_names_of_the_inputs(tmp_path):
    def layout(path):
        return graph.Graph(path, output="probabilities", width=2).layout

    assert (
        layout(two_inputs(tmp_path / "named.onnx"))
        == layout(same(tmp_path / "n.onnx", name="numbers"))
        == "named"
    )
    assert layout(same(tmp_path / "flat.onnx", name="X")) == "flat"
    with pytest.raises(
        errors.ModelError, match="has the inputs a, b: wanted some of numbers, categories, image"
    ):
        layout(two_inputs(tmp_path / "neither.onnx", "a", "b"))


def test_of_two_tables_the_one_of_the_name_or_else_of_the_width_is_taken(tmp_path):
    nodes = [
        helper.make_node("Identity", ["features"], ["first"]),
        helper.make_node("ReduceSum", ["features"], ["second"]),
    ]
    tables = {"first": (TensorProto.FLOAT, [None, 2]), "second": (TensorProto.FLOAT, [1, 1])}
    path = save(
        tmp_path / "g.onnx",
        *nodes,
        inputs={"features": (TensorProto.FLOAT, [None, 2])},
        outputs=tables,
    )
    assert graph.Graph(path, output="probabilities", width=2).output == "first"
    assert graph.Graph(path, output="second", width=2).output == "second"


def test_an_output_of_the_name_whose_shape_the_graph_does_not_say_is_taken(tmp_path):
    """As a Loop, an If or a Reshape by data leave it."""
    nodes = [
        helper.make_node("Shape", ["features"], ["size"]),
        helper.make_node("Reshape", ["features", "size"], ["y"]),
    ]
    path = save(
        tmp_path / "g.onnx",
        *nodes,
        helper.make_node("Identity", ["y"], ["probabilities"]),
        inputs={"features": (TensorProto.FLOAT, None)},
        outputs={"probabilities": (TensorProto.FLOAT, None)},
    )
    assert graph.Graph(path, output="probabilities", width=2).output == "probabilities"


def test_many_rows_are_answered_in_chunks_as_few_are(tmp_path):
    many = np.arange(2 * (2 * graph.CHUNK + 1), dtype=np.float32).reshape(-1, 2)
    assert np.array_equal(run(same(tmp_path / "g.onnx"), {"features": many}), many)


def test_no_rows_get_no_answers(tmp_path):
    assert run(same(tmp_path / "g.onnx"), {"features": ROWS[:0]}).shape == (0, 2)


def test_one_column_may_come_without_its_axis(tmp_path):
    nodes = [helper.make_node("Squeeze", ["features"], ["probabilities"])]
    made = {"probabilities": (TensorProto.FLOAT, [None])}
    path = save(
        tmp_path / "g.onnx",
        *nodes,
        inputs={"features": (TensorProto.FLOAT, [None, 1])},
        outputs=made,
    )
    assert run(path, {"features": ROWS[:, :1]}, width=1).tolist() == [[1.0], [3.0], [5.0]]


def test_another_number_of_columns_is_refused(tmp_path):
    with pytest.raises(errors.ModelError, match=r"answers with shape \[3, 2\]: wanted \[3, 3\]"):
        run(same(tmp_path / "g.onnx"), width=3)


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, 1e300], ids=["nan", "infinite", "beyond float32"]
)
def test_an_answer_that_is_no_finite_number_is_refused(value, tmp_path):
    path = same(tmp_path / "g.onnx", given=TensorProto.DOUBLE, made=TensorProto.DOUBLE)
    with pytest.raises(graph.NotFinite, match="NaN or infinity in 1 of 2 rows"):
        run(path, {"features": np.array([[0.0, 1.0], [0.0, value]])})


def test_a_width_that_the_graph_does_not_take_is_told_in_one_sentence(tmp_path):
    with pytest.raises(
        errors.ModelError, match=r"cannot be run on 3 rows \(.*\): wanted inputs features \[n, 3\]"
    ) as told:
        run(same(tmp_path / "g.onnx"), {"features": np.zeros((3, 3))})
    assert "onnxruntime_src" not in str(told.value)


def test_the_same_columns_give_the_same_answers_named_and_flat(tmp_path):
    steps = [{"op": "scale", "mean": 1.0, "std": 2.0}]
    entries = [{"name": name, "kind": "number", "steps": steps} for name in ("a", "b")]
    prepared = preprocessing.Preprocessor.load({"version": 1, "features": entries})
    columns = {"a": np.array([1.0, 3.0]), "b": np.array([5.0, 7.0])}
    answers = []
    for layout, name in (("named", "numbers"), ("flat", "X")):
        opened = graph.Graph(
            same(tmp_path / f"{layout}.onnx", name=name), output="probabilities", width=2
        )
        answers.append(composed.Composed(prepared, opened, layout=layout)(columns).tolist())
    assert answers[0] == answers[1] == [[0.0, 2.0], [1.0, 3.0]]


def test_two_inputs_are_no_flat_layout(tmp_path):
    opened = graph.Graph(two_inputs(tmp_path / "g.onnx"), output="probabilities", width=2)
    with pytest.raises(errors.ModelError, match="wanted one input for the flat layout"):
        composed.Composed(preprocessing.Preprocessor([]), opened, layout="flat")
