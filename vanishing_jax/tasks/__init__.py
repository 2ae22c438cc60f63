"""Tasks: what a recurrent network is trained on, and what a memoryless one would reach."""

from ._adding import Adding as Adding
from ._base import AbstractTask as AbstractTask
from ._characters import CharacterLanguageModeling as CharacterLanguageModeling
from ._classification import SequenceClassification as SequenceClassification
from ._copy_memory import CopyMemory as CopyMemory
from ._delayed_xor import DelayedXor as DelayedXor
from ._digits import digits as digits
from ._mnist import mnist as mnist
from ._multiplication import Multiplication as Multiplication
from ._named import named as named
from ._padded import Padded as Padded
from ._random_permutation import RandomPermutation as RandomPermutation
from ._temporal_order import TemporalOrder as TemporalOrder
from ._time_series import TimeSeries as TimeSeries
from ._time_series import time_series as time_series
from ._warping import Warping as Warping
