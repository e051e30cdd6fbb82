from copy import deepcopy

import pytest
import torch

from scgauge.train._memory_order import in_memory_order


def _run(optimizer_class, *, transposed, layout_of_gradient="same", **options):
    """Weights and averages after three steps, with the optimizer."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 7, generator=generator)
    weight = torch.nn.Parameter(weight.t().contiguous().t() if transposed else weight)
    bias = torch.nn.Parameter(torch.randn(7, generator=generator))
    optimizer = optimizer_class([weight, bias], lr=0.1, weight_decay=1e-2, fused=True, **options)
    for _ in range(3):
        gradient = torch.randn(40, 7, generator=generator)
        weight.grad = torch.empty_like(weight).copy_(gradient) if layout_of_gradient == "same" else gradient
        bias.grad = torch.randn(7, generator=generator)
        optimizer.step()
    state = optimizer.state[weight]
    return [weight.detach(), bias.detach(), *(state[name] for name in sorted(state))], optimizer


@pytest.mark.parametrize("gradient", ["same", "contiguous"])
@pytest.mark.parametrize("options", [{}, {"amsgrad": True}], ids=str)
@pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.AdamW])
def test_equals_the_optimizer_of_torch_to_the_last_bit(optimizer_class, options, gradient):
    expected, _ = _run(optimizer_class, transposed=False, **options)
    found, optimizer = _run(in_memory_order(optimizer_class), transposed=True, layout_of_gradient=gradient, **options)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert torch.equal(one, other)
    assert isinstance(optimizer, optimizer_class)
    assert type(optimizer).__name__ == optimizer_class.__name__


def test_a_state_in_another_order_is_put_in_that_of_its_weights():
    _, usual = _run(torch.optim.Adam, transposed=False)
    _, other = _run(in_memory_order(torch.optim.Adam), transposed=True)
    other.load_state_dict(deepcopy(usual.state_dict()))  # which would share its tensors
    for optimizer in (usual, other):
        for index, parameter in enumerate(optimizer.param_groups[0]["params"]):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
        optimizer.step()
    assert torch.equal(other.param_groups[0]["params"][0], usual.param_groups[0]["params"][0])


def test_transposed_weights_are_not_copied():
    def copied(optimizer_class):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            _run(optimizer_class, transposed=True)
        step = [event for event in profile.events() if event.name == "aten::_fused_adam_"]
        assert len(step) == 3
        return {child.name for event in step for child in event.cpu_children} & {"aten::contiguous", "aten::copy_"}

    # The day torch does not copy them any more this class has no use.
    assert copied(torch.optim.Adam)
    assert not copied(in_memory_order(torch.optim.Adam))


def test_other_optimizers_stay_what_they_are():
    assert in_memory_order(torch.optim.SGD) is torch.optim.SGD
