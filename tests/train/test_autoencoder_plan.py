"""The proximal step: exact zeros where the penalty is stronger than the gradient, the optimum elsewhere."""

import numpy as np
import torch
from sklearn.linear_model import Lasso

from scgauge.train import proximal_step


def test_adam_with_proximal_steps_solves_the_lasso():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 12))
    y = x @ np.r_[2.0, -1.0, 0.5, np.zeros(9)] + rng.normal(size=200)
    penalty = 0.2
    expected = Lasso(alpha=penalty, fit_intercept=False, tol=1e-12).fit(x, y).coef_
    data, target = torch.from_numpy(x), torch.from_numpy(y)
    w = torch.nn.Parameter(torch.zeros(12, dtype=torch.float64))
    optimizer = torch.optim.Adam([w], lr=0.02, eps=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 900)
    for _ in range(900):
        optimizer.zero_grad()
        (0.5 * (data @ w - target).square().mean()).backward()
        optimizer.step()
        proximal_step(optimizer, [w], penalty)
        schedule.step()
    found = w.detach().numpy()
    np.testing.assert_array_equal(found == 0, expected == 0)
    # Adam's momentum leaves differences of the size of its last steps
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_only_the_named_parameters_shrink():
    one, other = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([one, other], lr=0.1)
    (one.sum() + other.sum()).backward()
    optimizer.step()
    before = other.detach().clone()
    proximal_step(optimizer, [one], 100.0)
    assert (one == 0).all()
    torch.testing.assert_close(other.detach(), before)
