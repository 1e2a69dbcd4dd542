"""Run by the MLflow environment's own Python: logs models to the server that is named, as its users do.

python logging_models.py SERVER GRAPH
"""

import sys

import mlflow
import mlflow.onnx
import onnx


class Echo(mlflow.pyfunc.PythonModel):
    """What MLflow keeps as a pickle."""

    def predict(self, context, model_input):  # type: ignore[no-untyped-def]
        return model_input


server, graph = sys.argv[1:]
mlflow.set_tracking_uri(server)
mlflow.set_experiment("theirs")
with mlflow.start_run():
    mlflow.onnx.log_model(
        onnx.load(graph), name="graph", registered_model_name="income", pip_requirements=[]
    )
    mlflow.pyfunc.log_model(
        name="echo", python_model=Echo(), registered_model_name="pickled", pip_requirements=[]
    )
mlflow.MlflowClient().set_registered_model_alias("income", "champion", 1)
