"""Files of tensors: the same content is the same file."""

import pytest
import torch
from safetensors.torch import load_file

from faceskd.common.files import sha256
from faceskd.common.tensors import read_safetensors, write_safetensors

TENSORS = {"b": torch.arange(6.0).view(2, 3).half(), "a": torch.ones(3, dtype=torch.long)}


@pytest.mark.parametrize("extra", range(9))
def test_a_file_is_read_as_it_was_written_and_its_order_does_not_count(tmp_path, extra):
    metadata = {f"key {i}": "é\n" + "x" * extra for i in range(12)}
    paths = [tmp_path / name for name in ("first", "second", "third")]
    for path, order in zip(paths, (1, -1, 1), strict=True):
        write_safetensors(path, dict(TENSORS), dict(list(metadata.items())[::order]))
    assert len({sha256(path) for path in paths}) == 1
    tensors, found = read_safetensors(paths[0])
    assert found == metadata
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value)
        assert tensors[name].data_ptr() % 64 == 0, "sums would depend on the length of the metadata"
        assert torch.equal(load_file(paths[0])[name], value)
