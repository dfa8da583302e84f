"""A Ray cluster of two machines, one of which goes away in the middle of its work."""

import time
from pathlib import Path
from typing import Any

import pytest

from instantmesh import backends
from instantmesh.data.asset_names import NamedAsset, find_assets
from instantmesh.data.ray_cluster import run_on_cluster
from instantmesh.data.render_job import Layout, RenderSettings, object_names, render_object

from .made_assets import write_plain

SETTINGS = RenderSettings(Layout.reconstruction, views=8, size_px=64, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # ray warns about its own future
def test_a_machine_that_goes_away_takes_nothing_with_it(tmp_path: Path):
    for index in range(8):
        write_plain(tmp_path / "models" / f"plain{index}.stl", (1, 1 + index / 2, 2))
    models, marks = find_assets([tmp_path / "models"]), tmp_path / "marks"
    marks.mkdir()
    ray: Any = backends.load("ray")
    from ray.cluster_utils import Cluster  # noqa: TID251

    def work(model: NamedAsset) -> str | None:
        import ray  # noqa: TID251

        (marks / f"{ray.get_runtime_context().get_node_id()}.{model.name}").touch()
        time.sleep(0.2)
        return render_object(model, tmp_path / "out", SETTINGS)

    def under_way(node: str) -> set[str]:
        return {path.suffix[1:] for path in marks.glob(f"{node}.*")} - {model.name for model, _ in outcomes}

    outcomes, lost = [], set()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        for outcome in run_on_cluster(work, models):
            outcomes.append(outcome)
            if not lost and (lost := under_way(second.node_id)):
                cluster.remove_node(second, allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost
    assert sorted(model.name for model, _ in outcomes) == [model.name for model in models]  # each once
    assert [reason for _, reason in outcomes] == [None] * 8
    assert object_names(tmp_path / "out") == [model.name for model in models]
    for model in (model for model in models if model.name in lost):
        assert render_object(model, tmp_path / "alone", SETTINGS) is None
        for path in (tmp_path / "alone" / model.name).iterdir():
            assert path.read_bytes() == (tmp_path / "out" / model.name / path.name).read_bytes()
