import collections

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from vanishing_jax.tasks import CharacterLanguageModeling

from .draws import FEW, draws

ROW = "CharacterLanguageModeling"


def texts(task, codes):
    return ["".join(task.alphabet[code] for code in row) for row in np.asarray(codes).tolist()]


def test_windows_come_from_the_text_as_a_ring_and_ask_for_the_next_character():
    drawn = draws(ROW)
    train = "".join(texts(drawn.task, drawn.task.train_text[None]))
    assert train == (3 * "she sells sea shells by the sea shore ")[: len(train)]
    ring = train + train[:5]
    shown = texts(drawn.task, drawn.inputs[:FEW].argmax(axis=2))
    for window, following in zip(shown, texts(drawn.task, drawn.targets[:FEW]), strict=True):
        assert window[1:] == following[:-1] and window + following[-1] in ring
    # Every beginning occurs, the last character of the text included.
    assert {ring[i : i + 5] for i in range(len(train))} == {
        window + following[-1]
        for window, following in zip(
            texts(drawn.task, drawn.inputs.argmax(axis=2)),
            texts(drawn.task, drawn.targets),
            strict=True,
        )
    }


def test_held_out_text_is_the_end_and_is_read_once():
    task = CharacterLanguageModeling(4, text="0123456789" * 10 + "abcdefghijk", test_share=0.1)
    assert len(task.train_text) == 100 and task.input_size == 21
    inputs, targets = task.test
    assert texts(task, inputs.argmax(axis=2)) == ["abcd", "efgh"]
    assert texts(task, targets) == ["bcde", "fghi"]
    assert inputs.dtype == jnp.result_type(float)


def test_baseline_is_the_entropy_of_the_next_character_written_out():
    task = draws(ROW).task
    train = "".join(texts(task, task.train_text[None]))
    pairs = collections.Counter(zip(train, train[1:] + train[0], strict=True))
    present = collections.Counter(train)
    expected = -sum(
        count / len(train) * np.log(count / present[pair[0]]) for pair, count in pairs.items()
    )
    np.testing.assert_allclose(task.baseline, expected, rtol=1e-12)
    # A text in which every character has one successor tells all.
    assert abs(CharacterLanguageModeling(2, text=30 * "abc").baseline) < 1e-12


def test_metric_is_the_loss_in_bits():
    task = draws(ROW).task
    labels = jnp.zeros((2, 4), jnp.int32)
    outputs = jnp.zeros((2, 4, task.output_size))
    bits = eqx.filter_jit(task.metric)(outputs, labels)
    np.testing.assert_allclose(bits, np.log2(task.output_size), rtol=1e-6)


def test_built_in_text_is_the_documentation_of_python():
    task = CharacterLanguageModeling()
    assert task.name == "character language modeling" and task.length == 100
    assert len(task.train_text) + len(task.test_text) > 300_000
    # English: knowing one character leaves 2 to 3 nats of less than log(100).
    assert 2 < task.baseline < 3 < np.log(task.output_size) < 6
    text = "".join(texts(task, task.train_text[None]))
    assert "object" in text and "expression" in text


def test_reads_a_file_and_every_script(tmp_path):
    path = tmp_path / "text"
    path.write_text(9 * "añ漢🙂\n", encoding="utf-8")
    task = CharacterLanguageModeling(2, text=path)
    assert task.alphabet == ("\n", "a", "ñ", "漢", "🙂")
    path.write_bytes(b"\xff\xfe" * 50)
    with pytest.raises(UnicodeDecodeError):
        CharacterLanguageModeling(2, text=path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"text": 10 * "ab"}, "training and test parts exceed `length`, 2; .* has 2 characters"),
        ({"text": ""}, "shorter part has 0"),
        ({"text": 50 * "ab", "test_share": 1.0}, "`test_share` between 0 and 1; got 1.0"),
        ({"length": 0, "text": 50 * "ab"}, "`length` of at least 1"),
    ],
)
def test_too_little_text_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CharacterLanguageModeling(**{"length": 2, **options})
