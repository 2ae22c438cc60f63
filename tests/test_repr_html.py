"""Results in a notebook: self-contained, escaped, without colors that one theme hides."""

import html.parser

import jax.numpy as jnp
import numpy as np
import pytest


class Reader(html.parser.HTMLParser):
    """Collects tags, attributes and texts; notes what was not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and reader.tags <= {"div", "table", "tbody", "tr", "th", "td"}
    assert {name for name, _ in reader.attributes} <= {"style", "scope"}
    styles = " ".join(value for _, value in reader.attributes)
    assert "url(" not in styles and "background:#" not in styles
    return " ".join(reader.texts)


def test_texts_are_escaped():
    from vanishing_jax._repr_html import table_html

    rows = [("<b>", "1 < 2 & <script>alert(1)</script>")]
    page = table_html("<i>", rows, verdict="healthy", caption="a & b")
    assert "<script>" not in page and "<b>" not in page
    assert "1 < 2 & <script>alert(1)</script>" in read(page)


@pytest.mark.parametrize("factor, verdict", [(0.5, "VANISHING"), (1.0, "HEALTHY")])
def test_a_diagnosis(factor, verdict):
    import vanishing_jax as vj

    cell = vj.FunctionCell(lambda p, s, x: p * s + x, jnp.asarray(factor))
    d = vj.diagnose(cell, np.zeros((6, 20, 1)), state0=jnp.zeros(1))
    text = read(d._repr_html_())
    assert verdict in text and "rate" in text and d.reason in text


def test_a_spectrum():
    import vanishing_jax as vj

    chain = vj.JacobianChain(np.stack([np.diag([0.5, 0.0])] * 4))
    text = read(vj.log_singular_values(chain)._repr_html_())
    assert "-2.77259 to -inf" in text and "exact zeros 1" in text
