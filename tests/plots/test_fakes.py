"""The fakes that plots and reports are tested with have the fields of the real results."""

import dataclasses
import functools as ft

import pytest

from . import fakes

ROWS = {
    "Diagnosis": lambda d: d,
    "Effect": lambda d: d.effects[0],
    "GradientProfile": lambda d: d.profile,
    "InfluenceMap": lambda d: d.influence,
    "StepEigenvalues": lambda d: d.eigenvalues,
    "ActivationHistory": lambda d: d.activations,
    "Spectrum": lambda d: d.spectrum,
    "LyapunovExponents": lambda d: d.lyapunov,
}


@pytest.mark.parametrize("name", ROWS)
def test_fields(name):
    from vanishing_jax import diagnostics, spectra

    real = getattr(diagnostics, name, None) or getattr(spectra, name)
    fields = {field.name for field in dataclasses.fields(real)}
    computed = ft.cached_property | property | str  # and class variables, such as the unit
    fields |= {n for n in dir(real) if isinstance(getattr(real, n, None), computed)}
    assert set(vars(ROWS[name](fakes.diagnosis()))) <= fields
