"""One net through each exporter as people use them; what a file says about this machine is left out of it."""

import warnings
from pathlib import Path

import onnx
import torch

from tests.oracle.nets import Net

OLD_OPSET = 11


def script(net: Net, path: Path, **options) -> None:
    """The TorchScript exporter: torch's default until 2.8, and what most files in use were made with."""
    names = [*net.outputs]
    axes = {name: {0: "batch"} for name in ("input", *names)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"dynamo": False, "dynamic_axes": axes, "input_names": ["input"], "output_names": names, "opset_version": 17} | options
        torch.onnx.export(net.module, (net.features,), path, **settings)


def script_unfolded(net: Net, path: Path) -> None:
    """The same, asked to keep batch normalisation and every constant as it is."""
    script(net, path, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)


def script_old(net: Net, path: Path) -> None:
    """An old operator set, whose initialisers are listed as inputs too."""
    script(net, path, opset_version=OLD_OPSET, keep_initializers_as_inputs=True)


def dynamo(net: Net, path: Path) -> None:
    """The exporter that torch uses now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(
            net.module,
            (net.features,),
            path,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["input"],
            output_names=[*net.outputs],
            external_data=False,
            verbose=False,
        )


def constants(net: Net, path: Path) -> None:
    """A file with its weights in Constant nodes."""
    script(net, path)
    model = onnx.load(path)
    nodes = [onnx.helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    rest = [*nodes, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(rest)
    onnx.save(model, path)


EXPORTERS = {"script": script, "script-unfolded": script_unfolded, "script-old": script_old, "dynamo": dynamo, "constants": constants}


def strip(path: Path) -> None:
    """Leave out what only the exporter's makers read: stack traces, paths, versions."""
    model = onnx.load(path)
    onnx.checker.check_model(model)
    model.doc_string = model.producer_version = ""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:], graph.value_info[:]
        graph.doc_string = ""
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    onnx.save(model, path)
