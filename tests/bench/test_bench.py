"""The benchmark: processes that take turns, outputs that are compared, what the command prints. No time is judged."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Cnnspec

import cnnspec as package
from cnnspec import machine
from cnnspec.bench import run
from cnnspec.bench.options import BenchError, Network, Options, Peer, Workload, usable_cpus
from cnnspec.bench.processes import PeerFailed, Worker
from cnnspec.bench.results import BenchResult, LeftOut, Measurement, Round, WorkloadResult
from cnnspec.bench.text import bench_lines, left_out_lines
from cnnspec.bench.worker import Session, answer, timed
from cnnspec.graph.training import MeanSquaredError, Train
from cnnspec.view.table import duration
from cnnspec.weights.initial import initial
from cnnspec.wording import cells

TINY = "input: [1, 4, 4]\nlayers:\n  - conv: {channels: 2, kernel: 3, norm: batch_norm}\n  - flatten\n  - dense: 3\n"
QUICK = ("--rounds", "1", "--seconds", "0.05", "--threads", "1")
BRIEF = Options(rounds=2, seconds=0.01, threads=1)
NUMPY, STRICT = Peer("numpy", "numpy"), Peer("strict", "numpy", {"numerics": "strict"})


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return "tiny.yaml"


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Worker]]:
    """The workers that a benchmark starts; none of them outlives it."""
    started: list[Worker] = []

    class Recorded(Worker):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            started.append(self)

    monkeypatch.setattr(run, "Worker", Recorded)
    yield started
    assert [worker.process.poll() for worker in started if worker.process.poll() is None] == []


class TestCommand:
    def test_text(self, cnnspec: Cnnspec, tiny: str) -> None:
        result = cnnspec("bench", tiny, "--backend", "numpy", "--batch", "1,3", "--training", *QUICK)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0] == "tiny: 1 thread, float32, 1 round of 0.05 s for each peer"
        assert re.fullmatch(r"a product of matrices reaches [\d.,]+ GFLOP/s", lines[2])
        assert [line for line in lines if "batch" in line] == [
            "forward, batch 1", "forward, batch 3", "training step, batch 1", "training step, batch 3",
        ]  # fmt: skip
        heading, _, row = lines[5:8]
        assert heading.split() == ["peer", "median", "best", "samples/s", "GFLOP/s", "of", "peak"]
        assert re.fullmatch(r"numpy +[\d.]+ [mµ]s +[\d.]+ [mµ]s .* █+", row)

    def test_json_with_other_peers(self, cnnspec: Cnnspec, tiny: str) -> None:
        for name in ("torch", "onnx", "onnxruntime"):
            pytest.importorskip(name)
        result = cnnspec(
            "bench", tiny, "--backend=numpy", "--against=torch-eager,onnxruntime", "--batch=2", "--training",
            "--option=numpy.numerics=strict", "--format=json", *QUICK,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["spec"] == "tiny"
        assert found["versions"].keys() == {"numpy", "torch-eager", "onnxruntime"}
        forward, step = found["workloads"]
        assert [entry["peer"] for entry in forward["peers"]] == ["numpy", "torch-eager", "onnxruntime"]
        assert forward["reference"] == step["reference"] == "torch-eager"
        assert (forward["mode"], forward["batch"], step["mode"]) == ("forward", 2, "step")
        assert forward["gflop"] * 1e9 == pytest.approx(2 * 2 * (2 * 4 * 9 + 8 * 3))
        assert step["gflop"] == pytest.approx(3 * forward["gflop"])
        numpy, torch, _ = forward["peers"]
        assert torch["ratio"] == torch["best_ratio"] == 1
        assert numpy["ratio"] == pytest.approx(numpy["median_seconds"] / torch["median_seconds"])
        assert numpy["samples_per_second"] == pytest.approx(2 / numpy["median_seconds"])
        assert numpy["best_seconds"] <= numpy["median_seconds"]
        assert found["left_out"] == [
            {"peer": "onnxruntime", "mode": "step", "batch": 2, "reason": "it runs networks, and trains none"}
        ]

    def test_plans(self, cnnspec: Cnnspec, tiny: str) -> None:
        for name in ("onnx", "onnxruntime"):
            pytest.importorskip(name)
        arguments = ("bench", tiny, "--backend=numpy", "--against=onnxruntime", "--batch=1,3", "--training", "--plan")
        result = cnnspec(*arguments, "--numerics", "fast", *QUICK)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert [line for line in lines if "plan of" in line] == [
            "numpy, plan of forward, batch 1", "numpy, plan of forward, batch 3",
        ]  # fmt: skip
        first = lines.index("numpy, plan of forward, batch 1")
        assert lines[first + 1].split()[:3] == ["name", "layers", "method"]
        # Between the figures and the plan a warning may stand that the machine was busy.
        figures = [line for line in lines[:first] if line and "the machine was busy" not in line]
        assert figures[-1].startswith(("numpy ", "onnxruntime "))
        assert "no plan: onnxruntime (forward, batch 1; forward, batch 3): it lists no steps" in lines
        found = json.loads(cnnspec(*arguments, "--format=json", *QUICK).stdout)
        assert [(plan["peer"], plan["batch"], plan["chunk"]) for plan in found["plans"]] == [
            ("numpy", 1, 1), ("numpy", 3, 3),
        ]  # fmt: skip
        assert [entry["peer"] for entry in found["without_plan"]] == ["onnxruntime"] * 2

    def test_no_plans_unless_they_are_asked_for(self, cnnspec: Cnnspec, tiny: str) -> None:
        found = json.loads(cnnspec("bench", tiny, "--backend", "numpy", "--format", "json", *QUICK).stdout)
        assert found["plans"] == found["without_plan"] == []

    @pytest.mark.skipif(usable_cpus() < 2, reason="BLAS has one thread on one CPU")
    @pytest.mark.parametrize("threads", [1, 2])
    def test_threads_of_blas_are_those_of_the_plan(self, tmp_path: Path, threads: int) -> None:
        """The NumPy backend uses as many threads as BLAS, which the worker's environment sets."""
        layers = "[conv: {channels: 64, kernel: 3, padding: same}, conv: {channels: 64, kernel: 3}]"
        graph = package.loads(f"input: [64, 48, 48]\nlayers: {layers}\n").graph
        file = tmp_path / "network.pickle"
        network = Network(graph, initial(graph, 0), Train(loss=MeanSquaredError()), "float32", 0, threads)
        file.write_bytes(pickle.dumps(network))
        with Worker(NUMPY, file, threads) as worker:
            worker.ask("start", NUMPY)
            assert max(step.threads for step in worker.ask("plan", 1)) == threads

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--against", "torch-eagr"], "there is no peer `torch-eagr`; did you mean `torch-eager`?"),
            (["--against", "x"], "there is no peer `x`: there are torch-eager, torch-compile, onnxruntime"),
            (["--backend", "nunpy"], "there is no backend `nunpy`; did you mean `numpy`?"),
            (["--backend", "numpy", "--option", "compile=true"], "none of `numpy` has an option `compile`"),
            (["--backend", "numpy", "--option", "tf32=true"], "none of `numpy` has an option `tf32`"),
            (["--backend", "numpy", "--option", "torch.compile=true"], "`torch` is not among the backends `numpy`"),
            (["--memory-limit", "100B"], "; the limit is 100 B"),
            (["--backend", "numpy", "--dtype", "float12"], "has no dtype `float12`"),
            (["--backend", "numpy", "--option", "numerics=odd"], "nothing to measure: numpy: the option `numerics`"),
        ],
    )
    def test_errors(self, cnnspec: Cnnspec, tiny: str, arguments: list[str], message: str) -> None:
        result = cnnspec("bench", tiny, *arguments, *QUICK)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1

    def test_an_option_has_one_value(self, cnnspec: Cnnspec, tiny: str) -> None:
        for option in ("numerics=strict", "numpy.numerics=strict"):
            result = cnnspec("bench", tiny, "--backend", "numpy", "--numerics", "fast", "--option", option, *QUICK)
            assert result.exit_code == 2
            assert "the option `numerics` is given twice: as the text `fast` and as the text `strict`" in result.stderr

    def test_batches_are_numbers(self, cnnspec: Cnnspec, tiny: str) -> None:
        result = cnnspec("bench", tiny, "--batch", "1,x")
        assert result.exit_code == 2
        assert "'1,x' is not a list of numbers above 0, such as 1,64" in result.stderr


class TestRun:
    def test_outputs_that_differ_are_a_failure_and_what_cannot_be_done_is_left_out(self, workers: list[Worker]) -> None:
        """Folding batch norm changes the rounding: with no tolerance, that is a mismatch."""
        exact = Options(rounds=1, seconds=0.01, threads=1, tolerance=0)
        odd = Peer("odd", "numpy", {"numerics": "odd"})
        result = run.bench(package.loads(TINY), [odd, NUMPY, STRICT], exact)
        (failure,) = result.failures
        assert re.fullmatch(
            r"strict \(forward, batch 1\): its output differs from that of numpy by [\d.e-]+ of the largest number, "
            r"and the tolerance is 0",
            str(failure),
        )
        (left_out,) = result.left_out
        assert str(left_out).startswith("odd: the option `numerics` is strict")
        assert [m.peer for m in result.workloads[0].measurements] == ["numpy"]

    def test_rounds_take_turns(self, workers: list[Worker]) -> None:
        said: list[str] = []
        result = run.bench(package.loads(TINY), [NUMPY, STRICT], BRIEF, progress=said.append)
        assert [text for text in said if "round" in text] == [
            "forward, batch 1: round 1 of 2, numpy",
            "forward, batch 1: round 1 of 2, strict",
            "forward, batch 1: round 2 of 2, strict",
            "forward, batch 1: round 2 of 2, numpy",
        ]
        (found,) = result.workloads
        assert [(m.peer, len(m.rounds)) for m in found.measurements] == [("numpy", 2), ("strict", 2)]
        assert found.reference is found.measurements[0]
        assert result.peak > 0

    def test_an_output_that_is_not_finite_is_a_failure(self, workers: list[Worker]) -> None:
        spec = package.loads(
            "input: [1]\nlayers:\n  - scale: {value: 1e38, learn: false}\n  - multiply: {a: [], b: []}\n"
        )
        with pytest.raises(BenchError, match=r"numpy \(forward, batch 1\): its output is not finite"):
            run.bench(spec, [NUMPY], BRIEF)

    def test_an_interrupt_ends_the_workers(self, workers: list[Worker]) -> None:
        def interrupt(text: str) -> None:
            if "round 2" in text:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run.bench(package.loads(TINY), [NUMPY], BRIEF, progress=interrupt)
        assert len(workers) == 2

    @pytest.mark.skipif(os.name != "posix", reason="signals")
    def test_a_worker_that_crashes_in_its_turn(self, workers: list[Worker]) -> None:
        def crash(text: str) -> None:
            if text.endswith("round 2 of 2, strict"):
                workers[1].process.kill()

        result = run.bench(package.loads(TINY), [NUMPY, STRICT], BRIEF, progress=crash)
        assert [str(failure) for failure in result.failures] == [
            "strict: its process was ended by SIGKILL, as the system does where memory runs out"
        ]
        assert [(m.peer, len(m.rounds)) for m in result.workloads[0].measurements] == [("numpy", 2)]

    @pytest.mark.skipif(os.name != "posix", reason="signals")
    def test_what_a_process_wrote_last_is_in_the_message(self, tmp_path: Path) -> None:
        file = tmp_path / "network.pickle"
        file.write_bytes(b"no pickle")
        with Worker(NUMPY, file, 1) as worker, pytest.raises(PeerFailed, match=r"ended with status 1: .*Error"):
            worker.ask("start", NUMPY)

    @pytest.mark.skipif(os.name != "posix", reason="signals")
    def test_workers_survive_the_terminals_interrupt(self, tmp_path: Path) -> None:
        """Ctrl-C goes to the process group of the command, which ends the workers itself."""
        with Worker(NUMPY, tmp_path / "network.pickle", 1) as worker:
            assert os.getpgid(worker.process.pid) == worker.process.pid
            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(5) == -signal.SIGTERM


class TestWorker:
    @pytest.fixture
    def session(self) -> Session:
        graph = package.loads(TINY).graph
        return Session(Network(graph, {}, Train(), "float32", 0, 1))

    def test_a_package_that_is_not_installed(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        for name, missing, extra in (
            ("onnxruntime", "onnx and onnxruntime are", "bench"),
            ("torch-eager", "torch is", "torch"),
        ):
            status, reason = answer(session, "start", (Peer.against(name),))
            assert (status, reason) == ("left out", f'{missing} not installed: pip install "cnnspec[{extra}]"')

    def test_errors_become_answers(self, session: Session) -> None:
        def fails() -> None:
            raise MemoryError("Unable to allocate 3 TiB")

        session.calls[Workload("forward", 1)] = fails
        found = answer(session, "measure", (Workload("forward", 1), 0.01))
        assert found == ("failed", "out of memory: Unable to allocate 3 TiB")
        assert answer(session, "measure", (Workload("forward", 2), 0.01))[0] == "failed"

    def test_at_least_one_call_is_timed(self) -> None:
        calls: list[int] = []
        found = timed(lambda: calls.append(1), 1e-9)
        assert (found.calls, len(calls)) == (1, 2)
        assert found.best == found.median > 0


class TestText:
    @pytest.fixture
    def result(self) -> BenchResult:
        workload = WorkloadResult(
            Workload("forward", 64), 36_049_920, 100e9,
            [
                Measurement("numpy", [Round(2e-3, 1e-3, 9), Round(4e-3, 2e-3, 9), Round(3e-3, 2e-3, 9)]),
                Measurement("torch-eager", [Round(4e-3, 4e-3, 9), Round(4e-3, 4e-3, 9), Round(4e-3, 4e-3, 9)]),
            ],
        )  # fmt: skip
        workload.reference = workload.measurements[1]
        about = {"cpu": "A Processor", "instructions": "AVX2", "system": "Linux", "python": "3.11"}
        return BenchResult("lenet", Options(threads=2), about, "2026-01-01", {"numpy": "numpy 2.4"}, [workload])

    def test_table(self, result: BenchResult) -> None:
        text = "\n".join(bench_lines(result, None, lambda text, role: text))
        assert text == (
            "lenet: 2 threads, float32, 5 rounds of 0.5 s for each peer\n"
            "A Processor, AVX2; numpy 2.4\n"
            "a product of matrices reaches 100.0 GFLOP/s\n"
            "\n"
            "forward, batch 64; ratios of times to torch-eager, below 1 is faster\n"
            "peer          median     best  samples/s  GFLOP/s  of peak  ratio  best ratio\n"
            + "─" * 109
            + "\nnumpy        3.00 ms  1.00 ms     21,333     12.0   12.0 %   0.75        0.25  "
            + "█" * 30
            + "\ntorch-eager  4.00 ms  4.00 ms     16,000     9.01    9.0 %   1.00        1.00  "
            + "█" * 22
            + "\n\nmedians of numpy are above 1.5 × the best: the machine was busy; repeat, or use fewer --threads"
        )

    @pytest.mark.parametrize("width", [45, 60, 80, 100, 120])
    def test_width(self, result: BenchResult, width: int) -> None:
        lines = bench_lines(result, width, lambda text, role: text.replace("█", "#"))
        assert max(map(cells, lines[4:])) <= width
        assert sum("##" in line for line in lines) == 2

    def test_left_out(self) -> None:
        entries = [LeftOut("a", Workload("step", n), "no") for n in (1, 2)] + [LeftOut("b", None, "gone")]
        assert left_out_lines(entries) == ["a (training step, batch 1; training step, batch 2): no", "b: gone"]

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (12.34, "12.3 s"),
            (0.5, "500 ms"),
            (0.0042, "4.20 ms"),
            (42e-6, "42.0 µs"),
            (2e-7, "0.20 µs"),
            (1.0, "1.00 s"),
        ],
    )
    def test_duration(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text


class TestMachine:
    def test_linux(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        info = tmp_path / "cpuinfo"
        monkeypatch.setattr(machine, "CPU_INFO", info)
        info.write_text("model name\t: One\nflags\t\t: fpu avx2 avx512f\n\nmodel name\t: Two\n")
        assert machine.describe_machine()["cpu"] == "One"
        assert machine.describe_machine()["instructions"] == "AVX-512"
        info.write_text("model name\t: One\nflags\t\t: fpu avx2\n")
        assert machine.describe_machine()["instructions"] == "AVX2"

    def test_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "none")
        assert machine.describe_machine()["instructions"] == ""


def test_a_ratio_is_the_median_within_rounds() -> None:
    ours = Measurement("a", [Round(2.0, 1.0, 1), Round(30.0, 3.0, 1), Round(3.0, 3.0, 1)])
    other = Measurement("b", [Round(4.0, 2.0, 1), Round(30.0, 2.0, 1), Round(4.0, 4.0, 1)])
    assert ours.ratio(other) == 0.75
    assert ours.best_ratio(other) == 0.5
    assert np.isclose(ours.median, 3)
