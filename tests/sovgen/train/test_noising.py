"""The forward process against its identities and against diffusers' own schedules."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from sovgen.train import noising

T = 1000
SCHEDULES = {
    "linear": noising.schedule(noising.linear_betas(T, 1e-4, 0.02)),
    "scaled": noising.schedule(noising.scaled_linear_betas(T, 0.00085, 0.012)),
    "zero": noising.schedule(
        noising.zero_terminal_snr(noising.scaled_linear_betas(T, 0.00085, 0.012))
    ),
}


@pytest.fixture(params=SCHEDULES)
def schedule(request: pytest.FixtureRequest) -> noising.Schedule:
    return SCHEDULES[request.param]


def test_variance_is_preserved_at_every_step(schedule: noising.Schedule) -> None:
    total = schedule.alpha.square() + schedule.sigma.square()
    torch.testing.assert_close(total, torch.ones(T), rtol=0, atol=1e-6)


def test_signal_falls_and_noise_grows(schedule: noising.Schedule) -> None:
    assert (schedule.alpha.diff() < 0).all()
    assert (schedule.sigma.diff() >= 0).all()


@pytest.mark.parametrize("zero", [False, True])
def test_schedule_equals_diffusers(zero: bool) -> None:
    theirs = DDIMScheduler(
        T, 0.00085, 0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=zero
    )
    ours = SCHEDULES["zero" if zero else "scaled"]
    torch.testing.assert_close(ours.alpha.square(), theirs.alphas_cumprod, rtol=2e-5, atol=2e-6)


def test_zero_terminal_snr_keeps_the_first_step_and_ends_in_noise() -> None:
    plain, zero = SCHEDULES["scaled"], SCHEDULES["zero"]
    assert zero.alpha[-1] == 0 and zero.sigma[-1] == 1
    assert plain.alpha[-1] > 0.05
    torch.testing.assert_close(zero.alpha[0], plain.alpha[0])
    assert zero.snr(torch.tensor([T - 1])) == 0


def test_velocity_equals_diffusers() -> None:
    x_0, eps = torch.randn(2, 3, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 500, 999])
    theirs = DDIMScheduler(T, 0.00085, 0.012, beta_schedule="scaled_linear")
    alpha, sigma = SCHEDULES["scaled"].at(t, x_0)
    torch.testing.assert_close(
        noising.velocity(x_0, eps, alpha, sigma), theirs.get_velocity(x_0, eps, t),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    torch.testing.assert_close(
        noising.add_noise(x_0, eps, alpha, sigma), theirs.add_noise(x_0, eps, t),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_each_prediction_gives_back_sample_and_noise(prediction: noising.Prediction) -> None:
    x_0, eps = torch.randn(2, 6, 2, 3, 3, generator=torch.Generator().manual_seed(2)).double()
    t = torch.tensor([0, 1, 250, 500, 750, 998])
    alpha, sigma = (v.double() for v in SCHEDULES["scaled"].at(t, x_0))
    x_t = noising.add_noise(x_0, eps, alpha, sigma)
    out = noising.target(prediction, x_0, eps, alpha, sigma)
    # float32 tables of alpha and sigma square to one only within 1e-7; divided by sigma_0 = 0.03
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(noising.sample_of(prediction, out, x_t, alpha, sigma), x_0, **close)
    torch.testing.assert_close(noising.noise_of(prediction, out, x_t, alpha, sigma), eps, **close)


def test_velocity_still_tells_the_sample_when_no_signal_is_left() -> None:
    x_0, eps = torch.randn(2, 1, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    alpha, sigma = SCHEDULES["zero"].at(torch.tensor([T - 1]), x_0)
    v = noising.velocity(x_0, eps, alpha, sigma)
    assert torch.equal(noising.add_noise(x_0, eps, alpha, sigma), eps)
    assert torch.equal(noising.sample_of("v_prediction", v, eps, alpha, sigma), x_0)


def test_min_snr_weighs_errors_in_x0_alike_whatever_is_predicted() -> None:
    snr, gamma = torch.tensor([0.01, 1.0, 5.0, 400.0]), 5.0
    in_sample = noising.min_snr_weight(snr, "sample", gamma)
    assert in_sample.tolist() == pytest.approx([0.01, 1.0, 5.0, 5.0])
    # the error in eps is snr times, that in v snr + 1 times, the error in x_0
    torch.testing.assert_close(noising.min_snr_weight(snr, "epsilon", gamma) * snr, in_sample)
    torch.testing.assert_close(
        noising.min_snr_weight(snr, "v_prediction", gamma) * (snr + 1), in_sample
    )


def test_logit_normal_times_lie_inside_and_lean_as_asked() -> None:
    t = noising.logit_normal(4096, 1.0, 0.5, torch.Generator().manual_seed(0))
    assert 0 < t.min() and t.max() < 1
    assert t.median() == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item(), abs=0.02)


def test_flow_goes_straight_from_the_sample_to_the_noise() -> None:
    x_0, eps = torch.randn(2, 3, 2, 3, 3, generator=torch.Generator().manual_seed(4))
    t = torch.tensor([0.0, 0.3, 1.0])
    x_t, v = noising.flow(x_0, eps, t)
    assert torch.equal(x_t[0], x_0[0]) and torch.equal(x_t[2], eps[2])
    back = x_t - t.view(-1, 1, 1, 1) * v
    torch.testing.assert_close(back, x_0)
    one, _ = noising.flow(x_0, eps, t + 0.1)
    torch.testing.assert_close((one - x_t) / 0.1, v, rtol=1e-3, atol=1e-3)
