"""A network fitted by several processes (ranks), which torch's elastic agent starts and watches, as
`torchrun` does: gloo between CPUs, NCCL between GPUs.

A rank that dies ends the training: the others are stopped, and the next try goes on after the last
epoch that was kept. When the agent itself is killed, the kernel ends its ranks.
"""

import _thread
import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from fairway import errors
from fairway.data import splits
from fairway.training import descent, quiet, resuming, shares
from fairway.training.families import base

STOPPED = (signal.SIGTERM, signal.SIGINT)  # the signals that the agent takes, to stop its ranks
STOP_SECONDS = 5  # that a rank has to end, before it is killed
# A rank that lost another one fails too: the agent is to see the one that was first.
LAST_WORDS_SECONDS = 1.0
WAIT = timedelta(minutes=10)  # for the slowest rank; torch's own for NCCL


@dataclass(frozen=True)
class Work:
    """What a rank is told."""

    section: base.NetworkTraining
    dataset: Path
    version: str
    kept: Path
    resume: bool
    lonely: bool  # all ranks are on this machine


def train(section: base.NetworkTraining, *, run: base.Run) -> resuming.Progressed:
    """Return the history and the best weights of a network that `training.processes` ranks of each node
    fitted.

    Raises what a rank raised of ours, and TrainingError where one of them died.
    """
    told = run.progress if run.progress is not None else lambda row: None
    kept = resuming.read(run.kept, identity=_launch(section, run=run, told=told)[0])
    if kept is None:
        raise errors.TrainingError(f"{run.kept}, which rank 0 wrote, is gone: train again")
    return resuming.progressed(kept)


def join(section: base.NetworkTraining, *, run: base.Run) -> None:
    """Fit this node's part of what `train` fits on the first one."""
    _launch(section, run=run, told=lambda row: None)


def _launch(
    section: base.NetworkTraining, *, run: base.Run, told: Callable[[Mapping[str, Any]], None]
) -> Mapping[int, Any]:
    """Return what each rank of this node returned."""
    work = Work(section, run.data.path, run.version, run.kept, run.resume, run.nodes.count == 1)
    raised: list[BaseException] = []
    with (
        tempfile.TemporaryDirectory(prefix="fairway-ranks-") as folder,
        quiet.launcher(),
        _handlers(raised),
        _telling(told, raised) as writer,
    ):
        config = LaunchConfig(
            min_nodes=run.nodes.count,
            max_nodes=run.nodes.count,
            nproc_per_node=section.processes,
            run_id="fairway",
            **_meeting(run.nodes),
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            signals_to_handle=",".join(one.name for one in STOPPED),
            shutdown_timeout=STOP_SECONDS,
        )
        try:
            returned: Mapping[int, Any] = elastic_launch(config, _rank)(work, writer)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise failed(failure, rank=rank, count=section.processes * run.nodes.count) from error
    return returned


# -- the agent's side ------------------------------------------------------------------------------


def _meeting(nodes: base.Nodes) -> dict[str, Any]:
    """Return where the agents of the nodes find one another."""
    if nodes.count == 1:
        return {
            "rdzv_backend": "c10d",
            "rdzv_endpoint": "localhost:0",
            "local_addr": "localhost",
        }
    return {
        "rdzv_backend": "static",
        "rdzv_endpoint": f"{nodes.address}:{nodes.port}",
        "rdzv_configs": {"rank": nodes.rank},
    }


def failed(failure: ProcessFailure, *, rank: int, count: int) -> errors.FairwayError:
    """Return what became of the rank as an error of ours."""
    # torch writes a word, or what `record` has of an exception
    given: Any = failure.message
    recorded = str(given["message"] if isinstance(given, Mapping) else given)
    name, _, said = recorded.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.FairwayError):
        return kind(said)
    how = (
        f"was ended by {failure.signal_name()}"
        if failure.exitcode < 0
        else f"failed ({' '.join(recorded.split())[:300]})"
    )
    return errors.TrainingError(
        f"rank {rank} of the training's {count} processes {how}, and the others were stopped: "
        "train again, which goes on after the last epoch; with fewer processes it needs less memory"
    )


@contextlib.contextmanager
def _handlers(raised: Sequence[BaseException]) -> Iterator[None]:
    """Put back the signal handlers that the agent replaces, and let a signal that ended it do what it
    would have done; raise what the caller's `told` raised."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in STOPPED} if main else {}
    came: signal.Signals | None = None
    try:
        yield
    except SignalException as error:
        came = error.sigval
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if raised:
        raise raised[0]
    if came is not None:
        signal.raise_signal(came)  # ends the process, or raises KeyboardInterrupt
        raise KeyboardInterrupt


@contextlib.contextmanager
def _telling(
    told: Callable[[Mapping[str, Any]], None], raised: list[BaseException]
) -> Iterator[Connection]:
    """Call `told` with each row that rank 0 sends; what it raises is put aside and ends the training."""
    reader, writer = torch.multiprocessing.get_context("spawn").Pipe(duplex=False)

    def listen() -> None:
        try:
            while (row := reader.recv()) is not None:
                told(row)
        except BaseException as error:
            raised.append(error)
            _thread.interrupt_main(signal.SIGTERM)  # the agent takes it, and stops its ranks

    listener = threading.Thread(target=listen, name="progress", daemon=True)
    listener.start()
    try:
        yield writer
    finally:
        writer.send(None)
        listener.join()
        reader.close()
        writer.close()


# -- a rank's side ---------------------------------------------------------------------------------


def _rank(work: Work, writer: Connection) -> Mapping[str, Any]:
    """Fit this rank's share, and return the identity under which rank 0 kept the state."""
    with quiet.launcher():
        try:
            return _learn(work, writer)
        except Exception:
            time.sleep(LAST_WORDS_SECONDS)
            raise


def _learn(work: Work, writer: Connection) -> Mapping[str, Any]:
    section = work.section
    if section.threads:
        torch.set_num_threads(section.threads)
    data = splits.load(work.dataset)
    choice = descent.chosen(section)
    cuda = choice.device == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    elif work.lonely:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())
    dist.init_process_group("nccl" if cuda else "gloo", timeout=WAIT)
    try:
        run = base.Run(
            data=data,
            version=work.version,
            kept=work.kept,
            resume=work.resume,
            progress=writer.send,
        )
        share = shares.Share(dist.get_rank(), dist.get_world_size())
        descent.learn(section, run=run, choice=choice, share=share)
        return descent.identity(section, run=run, choice=choice)
    finally:
        dist.destroy_process_group()


def _loopback() -> str:
    """Return the interface on which ranks of one machine talk: a name that resolves is not needed."""
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
