"""Recipes: a cell, mitigations and an optimizer under one name, such as "tanh+orthogonal+clip".

`names()` lists ready-made ones, `parts()` what they are made of, and `parse` reads any combination;
`predict` says what theory expects of one before it is trained.
"""

from ._parse import names as names
from ._parse import parse as parse
from ._parts import parts as parts
from ._predict import predict as predict
from ._recipe import Recipe as Recipe
